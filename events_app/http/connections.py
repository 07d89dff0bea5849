"""Bounds the connections of a server, and ends idle or unfinished ones for new ones.

A connection costs a descriptor, and the process needs some for the database, files and threads. So connections leave a
reserve. Connections without a whole request end first, because no client waits for their answer.
"""

import logging
import resource
import time
from collections import defaultdict
from enum import Enum, auto
from typing import Any, Final

from events_app.http.connection_clock import Phase

logger = logging.getLogger(__name__)

# Descriptors of the process for all but connections: a server without any has some 20, and its pool a dozen more.
RESERVE: Final = 100
# Connections beyond the limit that get an answer saying so. Further ones are only closed.
TURNED_AWAY: Final = 32
# Connections that have sent a part of a request, or whose body is not let in yet: each may have 160 kB in memory, its
# headers, the body that is read at once, and what has come behind them. Honest ones are complete within moments.
MOST_UNFINISHED: Final = 1_000
# A line of the log at most this often.
TELL_SECONDS: Final = 10.0

_UNFINISHED: Final = frozenset({Phase.HEAD, Phase.BODY, Phase.HELD})


class Room(Enum):
    """Whether there is room for one more connection."""

    AVAILABLE = auto()
    FULL = auto()
    OVERFULL = auto()


def most() -> int:
    """Return how many connections the process may have, by its limit of descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft - RESERVE - TURNED_AWAY, soft // 4)


class _Evictable:
    """Connections by their address, in the order in which they came into a phase."""

    def __init__(self) -> None:
        self._of: dict[str, dict[Any, None]] = defaultdict(dict)
        self._address: dict[Any, str] = {}

    def __len__(self) -> int:
        return len(self._address)

    def add(self, channel: Any, address: str) -> None:
        self._of[address][channel] = None
        self._address[channel] = address

    def remove(self, channel: Any) -> None:
        address = self._address.pop(channel, None)
        if address is not None:
            del self._of[address][channel]
            if not self._of[address]:
                del self._of[address]

    def oldest(self) -> Any:
        """Return the oldest of the address that has most; None if there is none."""
        if not self._of:
            return None
        most_of_all = max(self._of, key=lambda address: len(self._of[address]))
        return next(iter(self._of[most_of_all]))


class Connections:
    """The connections of one server.

    Args:
        limit: how many there may be.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._all: set[Any] = set()
        self._idle = _Evictable()
        self._unfinished = _Evictable()
        self._told = float("-inf")

    def __len__(self) -> int:
        return len(self._all)

    def room(self) -> Room:
        """Return whether one more may be accepted, after ending one that is idle or unfinished if it has to be."""
        if len(self._all) < self._limit:
            return Room.AVAILABLE
        self._tell("connection limit reached")
        if len(self._all) >= self._limit + TURNED_AWAY:
            return Room.OVERFULL
        leaving = self._idle.oldest() or self._unfinished.oldest()
        if leaving is None:
            return Room.FULL
        self._end(leaving)
        return Room.AVAILABLE

    def opened(self, channel: Any) -> None:
        """A connection was accepted."""
        self._all.add(channel)

    def closed(self, channel: Any) -> None:
        """A connection has ended."""
        self._all.discard(channel)
        self._idle.remove(channel)
        self._unfinished.remove(channel)

    def enter_phase(self, channel: Any, address: str, phase: Phase) -> None:
        """A connection has come into another phase."""
        self._idle.remove(channel)
        self._unfinished.remove(channel)
        if phase is Phase.IDLE:
            self._idle.add(channel, address)
        elif phase in _UNFINISHED:
            self._unfinished.add(channel, address)
            if len(self._unfinished) > MOST_UNFINISHED:
                self._tell("too many unfinished requests")
                self._end(self._unfinished.oldest())

    def _end(self, channel: Any) -> None:
        self._idle.remove(channel)
        self._unfinished.remove(channel)
        channel.evict()

    def _tell(self, what: str) -> None:
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            logger.warning("%s", what, extra={"connections": len(self._all), "limit": self._limit})
