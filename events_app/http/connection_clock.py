"""Limits how long a connection may take for each part of a request and of its answer.

A client that sends or reads a byte from time to time is not idle, and would keep a connection for ever. So each part
has a deadline from its beginning, extended by the bytes that have passed since.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final


class Phase(Enum):
    """The phase of a connection."""

    # Each is one object, and looked up with every request.
    __hash__ = object.__hash__

    # Between requests.
    IDLE = auto()
    # A request has begun to come, its headers are not all here.
    HEAD = auto()
    # Its body comes.
    BODY = auto()
    # The server reads no more of the body, for now.
    HELD = auto()
    # Its sender is known, and there is memory for it.
    LARGE_BODY = auto()
    # The request is the application's, or its answer a stream that goes on.
    ANSWERED = auto()
    # The answer is complete, and the client has not read all of it.
    SENDING = auto()
    # It was refused, and ends within seconds.
    REFUSED = auto()


# Where nothing has been sent. Browsers and proxies keep connections for their next request.
IDLE_SECONDS: Final = 60.0
# Headers are a packet or two.
HEAD_SECONDS: Final = 20.0
# The time for a body or an answer beside its size, and the slowest allowed rate: a bad line to a site is five times as
# fast.
TRANSFER_SECONDS: Final = 30.0
BYTES_PER_SECOND: Final = 50_000

_SECONDS: Final = {
    Phase.IDLE: IDLE_SECONDS,
    Phase.HEAD: HEAD_SECONDS,
    Phase.BODY: TRANSFER_SECONDS,
    Phase.LARGE_BODY: TRANSFER_SECONDS,
    Phase.SENDING: TRANSFER_SECONDS,
}


class ConnectionClock:
    """Knows in which phase a connection is, since when, and when that has taken too long.

    Args:
        reactor: of which it has the time.
        passed: returns how many bytes have passed, in a phase where that counts; it only grows within one phase.
        too_late: called once a phase has taken too long.
    """

    def __init__(
        self, reactor: Any, passed: Callable[[], int], too_late: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._passed = passed
        self._too_late = too_late
        self._key: tuple[Phase, int] | None = None
        self._begun = 0.0
        self._passed_before = 0
        self._call: Any = None

    def enter_phase(self, phase: Phase, number: int) -> bool:
        """Set the phase, and the number of the request; return whether it has changed."""
        if self._key == (phase, number):
            return False
        self._key = phase, number
        if seconds := _SECONDS.get(phase):
            self._begun = self._reactor.seconds()
            self._passed_before = self._passed()
            self._look_within(seconds)
        return True

    def _look_within(self, seconds: float) -> None:
        """Have `_look` called by then. A call that comes earlier does no harm, and most phases end before theirs."""
        if self._call is None:
            self._call = self._reactor.callLater(seconds, self._look)
        elif self._call.getTime() > self._begun + seconds:
            self._call.reset(seconds)

    def stop(self) -> None:
        """The connection has ended."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    def _look(self) -> None:
        assert self._key is not None
        self._call = None
        seconds = _SECONDS.get(self._key[0])
        if seconds is None:
            return
        passed = self._passed() - self._passed_before
        late_at = self._begun + seconds + passed / BYTES_PER_SECOND
        left = late_at - self._reactor.seconds()
        if left > 0:
            self._call = self._reactor.callLater(left, self._look)
        else:
            self._too_late()
