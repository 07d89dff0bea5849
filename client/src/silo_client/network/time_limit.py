"""Until when the requests of a thread may go on. A limit holds whatever the server, or a helper, does."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class TimeLimit:
    """A limit for all requests of one thread, inside of a block. Other threads may end it.

    Args:
        ends: when `time.monotonic` is there, they end. May be changed.
        outer: a limit around this one, which stays.
    """

    def __init__(self, ends: float, outer: TimeLimit | None = None) -> None:
        self.ends = ends
        self._outer = outer
        self._has_ended = False

    def end(self) -> None:
        """Have no further step begin, whatever happens to `ends`."""
        self._has_ended = True

    @property
    def deadline(self) -> float:
        """When the first of the limits ends."""
        if self._has_ended:
            return 0.0
        return min(self.ends, self._outer.deadline) if self._outer else self.ends


_limit: ContextVar[TimeLimit | None] = ContextVar("silo_time_limit", default=None)


@contextmanager
def limited(limit: TimeLimit) -> Iterator[None]:
    """Have this limit hold for what this thread requests inside of the block."""
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


@contextmanager
def until(ends: float) -> Iterator[None]:
    """Have what this thread requests inside of the block end when `time.monotonic` is at that point."""
    with limited(TimeLimit(ends, _limit.get())):
        yield


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Have every call of `silo_client` by this thread, inside of the block, return or raise within so many seconds.

    Example: `with within(1): places = workstation.api.line("A01-0002")`. A shorter `patience` of a call stays.
    """
    with until(time.monotonic() + seconds):
        yield


def deadline() -> float:
    """Return when the requests of this thread end; infinity without a limit."""
    limit = _limit.get()
    return limit.deadline if limit else math.inf


def left(most: float = math.inf) -> float:
    """Return how many seconds are left for this thread's requests, at least 0 and at most so many."""
    return max(0.0, min(most, deadline() - time.monotonic()))
