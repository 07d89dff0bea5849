"""Calling a program's callbacks, in the thread that it wants."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from typing import Any, Callable

from silo_client.common.visible import get_logger
from silo_client.data import Conflict, HandoffRequest, Lost
from silo_client.sessions.edit_session import EditSession

logger = get_logger()

CLOSE_SECONDS = 2.0

Call = Callable[[], Any]
Dispatch = Callable[[Call], Any]
OnLost = Callable[[EditSession, Lost], Any]
OnConflict = Callable[[EditSession, Conflict], Any]
OnHandoffRequest = Callable[[HandoffRequest], Any]
OnEvent = Callable[[str, Mapping[str, Any]], Any]
OnRefused = Callable[[Exception], Any]


class Callbacks:
    """Calls functions one after the other.

    Args:
        dispatch: takes a function and has it called, in a GUI's thread for example; a thread of its own by default.
    """

    def __init__(self, dispatch: Dispatch | None) -> None:
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._dispatch = dispatch or self._calls.put
        self._thread: threading.Thread | None = None
        if dispatch is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="silo callbacks")
            self._thread.start()

    def call(self, function: Callable[..., Any] | None, *arguments: Any) -> None:
        """Have a function called; None is ignored."""
        if function is not None:
            chosen = function
            try:
                self._dispatch(lambda: _call(chosen, arguments))
            except Exception:
                logger.exception("a callback could not be dispatched")

    def close(self) -> None:
        """Finish the calls that are queued, and wait for them a little, unless a callback closes.

        The wait is limited because a callback may wait for the very thread that closes.
        """
        if self._thread is not None:
            self._calls.put(None)
            if self._thread is not threading.current_thread():
                self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        function(*arguments)
    except (Exception, SystemExit):
        # A callback that fails must not keep later ones from being called.
        logger.exception("a callback failed")
