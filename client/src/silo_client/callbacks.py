"""Calling a program's callbacks, in the thread that it wants, and noticing those that cannot be called."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable

from silo_client.common.visible import get_logger
from silo_client.data import Conflict, HandoffRequest, Lost
from silo_client.sessions.edit_session import EditSession

logger = get_logger()

CLOSE_SECONDS = 2.0
# Longer than a window is drawn or a file is opened. A recompute may take longer; then the call comes after all.
LATE_SECONDS = 60.0
# More than a person reads.
REMEMBERED = 100
SHOWN_CHARACTERS = 300

Call = Callable[[], Any]
Dispatch = Callable[[Call], Any]
OnLost = Callable[[EditSession, Lost], Any]
OnConflict = Callable[[EditSession, Conflict], Any]
OnHandoffRequest = Callable[[HandoffRequest], Any]
OnEvent = Callable[[str, Mapping[str, Any]], Any]
OnRefused = Callable[[Exception], Any]


@dataclass(frozen=True)
class Undelivered:
    """A call of a callback that `dispatch` has refused, or has not had made for a minute.

    Args:
        callback: the callback's name, such as `on_lost`.
        arguments: what it would have got.
        why: why it was not called.
    """

    callback: str
    arguments: tuple[Any, ...]
    why: str

    def __str__(self) -> str:
        arguments = ", ".join(map(repr, self.arguments))
        if len(arguments) > SHOWN_CHARACTERS:
            arguments = f"{arguments[:SHOWN_CHARACTERS]}…"
        return f"{self.callback}({arguments}) {self.why}"


@dataclass
class _Waiting:
    """A call that `dispatch` has got, and that has not begun."""

    callback: str
    arguments: tuple[Any, ...]
    since: float

    @property
    def undelivered(self) -> Undelivered:
        return Undelivered(
            self.callback,
            self.arguments,
            f"has not been called {LATE_SECONDS:.0f} s after `dispatch` got it",
        )


class Callbacks:
    """Calls functions one after the other.

    Args:
        dispatch: takes a function and has it called, in a GUI's thread for example; a thread of its own by default.
    """

    def __init__(self, dispatch: Dispatch | None) -> None:
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._dispatch = dispatch
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: dict[int, _Waiting] = {}
        # The latest of those that have waited too long.
        self._late: dict[int, _Waiting] = {}
        self._refused: deque[Undelivered] = deque(maxlen=REMEMBERED)
        self._timer: threading.Timer | None = None
        self._closed = False
        if dispatch is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="silo callbacks")
            self._thread.start()

    def call(self, name: str, function: Callable[..., Any] | None, *arguments: Any) -> bool:
        """Have a function called; None is ignored.

        Args:
            name: the callback's name, for messages.
            function: the function.
            arguments: what it gets.

        Returns:
            Whether it was or will be called, as far as `dispatch` says.
        """
        if function is None:
            return True
        if self._dispatch is None:
            self._calls.put(partial(_call, name, function, arguments))
            return True
        number = next(self._numbers)
        with self._lock:
            self._waiting[number] = _Waiting(name, arguments, time.monotonic())
            self._look_later()
        try:
            self._dispatch(partial(self._begin, number, name, function, arguments))
        except Exception as error:
            with self._lock:
                if self._take(number) is None:
                    return True  # It was called before `dispatch` failed.
                lost = Undelivered(name, arguments, f"was refused by `dispatch`: {error!r}")
                self._refused.append(lost)
            logger.exception("a callback is lost: %s", lost)
            return False
        return True

    @property
    def undelivered(self) -> list[Undelivered]:
        """The latest calls that `dispatch` refused, and the latest that it got a minute ago and that have not begun."""
        with self._lock:
            return [*self._refused, *(one.undelivered for one in self._late.values())]

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Finish the calls that are queued, and wait for them so many seconds, unless a callback closes.

        The wait is limited because a callback may wait for the very thread that closes.
        """
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
        if self._thread is not None:
            self._calls.put(None)
            if self._thread is not threading.current_thread():
                self._thread.join(seconds)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()

    def _begin(
        self, number: int, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> None:
        with self._lock:
            waited = self._take(number)
        if waited is not None and (seconds := time.monotonic() - waited.since) >= LATE_SECONDS:
            logger.warning("%s is called after all, %.0f s late", name, seconds)
        _call(name, function, arguments)

    def _take(self, number: int) -> _Waiting | None:
        """Return a call that has not begun, and wait for it no longer. Called under the lock."""
        return self._waiting.pop(number, None) or self._late.pop(number, None)

    def _look_later(self) -> None:
        """Look, after a while, whether calls have begun. Called under the lock."""
        if self._timer is None and not self._closed:
            self._timer = threading.Timer(LATE_SECONDS, self._look)
            self._timer.daemon = True
            with suppress(RuntimeError):  # The interpreter ends.
                self._timer.start()

    def _look(self) -> None:
        now = time.monotonic()
        with self._lock:
            self._timer = None
            late = {
                number: one
                for number, one in self._waiting.items()
                if now - one.since >= LATE_SECONDS
            }
            for number in late:
                self._late[number] = self._waiting.pop(number)
                if len(self._late) > REMEMBERED:
                    del self._late[next(iter(self._late))]
            if self._waiting:
                self._look_later()
        for one in late.values():
            logger.error("a callback may be lost: %s", one.undelivered)


def _call(name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        function(*arguments)
    except (Exception, SystemExit):
        # A callback that fails must not keep later ones from being called.
        logger.exception("the callback %s failed", name)
