"""The signals that end a command."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# How a command is ended by others: by `kill`, or by the end of its terminal.
ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
# What the terminal sends to a command and to what it runs alike.
TYPED = [getattr(signal, name) for name in ("SIGINT", "SIGQUIT") if hasattr(signal, name)]
# A child, or an orphan of one's, has ended.
CHILDREN = [getattr(signal, name) for name in ("SIGCHLD",) if hasattr(signal, name)]

Handler = Callable[[int, Any], Any]


class Terminated(BaseException):
    """A signal asks this process to end. It is no error: `with` blocks release what is held.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def handling(numbers: list[int], handler: Handler) -> Iterator[None]:
    """Have signals handled in a block. What is ignored already, under `nohup` say, stays so.

    A command that is started in the block does not inherit the handler; it would inherit that they are ignored.
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
