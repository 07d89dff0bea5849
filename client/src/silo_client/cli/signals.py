"""The signals that end a command."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Signals that end a command: from `kill`, or the end of its terminal.
ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
# Signals that the terminal sends to a command and to its children alike.
TYPED = [getattr(signal, name) for name in ("SIGINT", "SIGQUIT") if hasattr(signal, name)]
# The signal that a child, or an orphan of a child, has ended.
CHILDREN = [getattr(signal, name) for name in ("SIGCHLD",) if hasattr(signal, name)]

Handler = Callable[[int, Any], Any]


class Terminated(BaseException):
    """A signal asks this process to end. `with` blocks then release its sessions.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def handling(numbers: list[int], handler: Handler) -> Iterator[None]:
    """Handle signals in a block. Signals that are ignored already, as under `nohup`, stay ignored.

    A command that is started in the block does not inherit the handler; it would inherit an ignored signal.
    """
    before: dict[int, Any] = {}
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def terminated(number: int, frame: FrameType | None) -> None:
    """Raise `Terminated`; a handler."""
    raise Terminated(number)
