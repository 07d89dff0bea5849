"""A `connect` under way, in a thread of its own: its caller can leave at any time, whatever the thread waits for."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Generic, Protocol, TypeVar

from silo_client.errors import CancelledError, ServerUnavailableError, SiloError
from silo_client.network.time_limit import TimeLimit, deadline, limited

# What a call itself may need beyond its `patience`, on a busy machine.
MARGIN_SECONDS = 0.5
# How soon a cancelled call returns.
CANCEL_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 3600.0


class Connected(Protocol):
    """What is connected: a workstation."""

    def close(self) -> Any:
        """Disconnect."""


Made = TypeVar("Made", bound=Connected)


class Connecting(Generic[Made]):
    """One call of `connect`.

    Args:
        patience: seconds within which it is to end.
    """

    def __init__(self, patience: float) -> None:
        self.limit = TimeLimit(time.monotonic() + patience, TimeLimit(deadline()))
        # Called when the caller has left, to wake the thread; set by what the thread does.
        self.wake: Callable[[SiloError], Any] | None = None
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._made: Made | None = None
        self._failure: BaseException | None = None
        self._has_left = False

    def run(self, work: Callable[[], Made], cancel: threading.Event | None) -> Made:
        """Have a thread do the work, and wait for it.

        Args:
            work: connects, within the limit.
            cancel: is set to have this return at once. The thread then ends what it has begun.

        Raises:
            CancelledError: `cancel` was set.
            ServerUnavailableError: the time is over.
        """
        threading.Thread(target=self._run, args=(work,), daemon=True, name="silo connect").start()
        try:
            while not self._done.wait(self._pause(cancel)):
                self._check(cancel)
            if cancel is not None and cancel.is_set():
                raise CancelledError("The connecting was cancelled.")
        except BaseException as error:
            self._leave(error)
            raise
        if self._failure is not None:
            raise self._failure
        assert self._made is not None
        return self._made

    def check(self) -> None:
        """Check, in the thread, that the caller still waits.

        Raises:
            CancelledError: it does not.
        """
        if self._has_left:
            raise CancelledError("The connecting was cancelled.")

    def _check(self, cancel: threading.Event | None) -> None:
        if cancel is not None and cancel.is_set():
            raise CancelledError("The connecting was cancelled.")
        if time.monotonic() > self.limit.deadline + MARGIN_SECONDS:
            raise ServerUnavailableError("The workstation was not connected in time.")

    def _pause(self, cancel: threading.Event | None) -> float:
        until_late = self.limit.deadline + MARGIN_SECONDS - time.monotonic()
        longest = LONGEST_WAIT_SECONDS if cancel is None else CANCEL_SECONDS
        return max(0.01, min(until_late, longest))

    def _leave(self, why: BaseException) -> None:
        """Have the thread end, and what it has made closed."""
        with self._lock:
            self._has_left = True
            made = self._made
        self.limit.end()
        if made is not None:
            threading.Thread(target=made.close, daemon=True, name="silo cancel").start()
        elif self.wake is not None:
            self.wake(why if isinstance(why, SiloError) else CancelledError("Interrupted."))

    def _run(self, work: Callable[[], Made]) -> None:
        try:
            with limited(self.limit):
                made = work()
            with self._lock:
                if not self._has_left:
                    self._made = made
                    return
            made.close()
        except BaseException as error:
            self._failure = error
        finally:
            self._done.set()
