"""Telling a program when its workstation is connected, and when its sessions are certain."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, NamedTuple

from silo_client.common import clock

# Longer than this no change stays unnoticed, whatever has caused it.
LOOK_SECONDS = 1.0
# While something is not certain, no message tells when it is again.
UNCERTAIN_SECONDS = 0.2
# Between two tries to tell a program whose `dispatch` refuses calls: each is logged.
LONGEST_RETRY_SECONDS = 60.0

OnState = Callable[[bool, bool], Any]


class State(NamedTuple):
    """What `Workstation.connected` and `Workstation.valid` say."""

    connected: bool
    valid: bool


# What a program knows before it is told anything.
UNKNOWN = State(False, False)


class StateWatch:
    """Calls a callback with the state whenever that is another one than it was told last.

    Looks at messages of the helper, at the end of the lease, and now and then. The callback always gets the state of
    the moment in which it is called: one that has passed by then is not told.

    Args:
        read: returns the state, and until when `clock.now` says that it is certain. May wait for the thread that reads
            messages.
        call: has a function called where callbacks are wanted; see `Callbacks.call`.
    """

    def __init__(self, read: Callable[[], tuple[State, float]], call: Callable[..., bool]) -> None:
        self.callback: OnState | None = None
        self._read = read
        self._call = call
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._messages = 0
        # The present state, the last one for which a call was had, and the last one that the callback was told.
        self._state = self._sent = self._told = UNKNOWN

    def tell(self, callback: OnState | None) -> None:
        """Tell this callback the present state, and each change from now on; tell nobody where it is None."""
        with self._changed:
            self.callback = callback
            self._sent = self._told = UNKNOWN
            self._messages += 1
            self._changed.notify_all()
            if callback is not None and self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, daemon=True, name="silo state")
                self._thread.start()

    def look(self) -> None:
        """Look now: something has happened. Waits for nothing."""
        with self._changed:
            self._messages += 1
            self._changed.notify_all()

    def close(self) -> None:
        """Tell nothing any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        retry, retry_at = LOOK_SECONDS, 0.0
        while True:
            with self._changed:
                seen = self._messages
            state, until = self._read()
            with self._changed:
                if self._closed:
                    return
                self._state = state
                sent, callback = self._sent, self.callback
                if is_due := state != sent and time.monotonic() >= retry_at:
                    # Before the call: a callback that is set meanwhile is told by one of its own.
                    self._sent = state
            if is_due:
                # The call may come later: what was told until then decides whether there is something to tell.
                if self._call("on_state", self._tell):
                    retry = LOOK_SECONDS
                else:
                    with self._changed:
                        if self.callback is callback:
                            self._sent = sent
                    retry_at = time.monotonic() + retry
                    retry = min(2 * retry, LONGEST_RETRY_SECONDS)
            with self._changed:
                if not self._closed and self._messages == seen:
                    self._changed.wait(_pause(state, until))
                if self._closed:
                    return

    def _tell(self) -> None:
        """Call the callback with the present state, unless it was the last one that it was told."""
        with self._changed:
            state, callback = self._state, self.callback
            if self._closed or callback is None or state == self._told:
                return
            self._told = state
        callback(*state)


def _pause(state: State, until: float) -> float:
    if all(state):
        return min(max(until - clock.now(), 0.0) + 0.001, LOOK_SECONDS)
    return UNCERTAIN_SECONDS
