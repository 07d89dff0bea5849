"""Writes a line to every stream that had none for the keep-alive time: in groups, from one task, with no timer each."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

# The streams of one group have their lines at once.
GROUP_SECONDS: Final = 0.1
# The longest sleep, as a share of the keep-alive time and in seconds: a stream that is added meanwhile needs its line
# later than that.
SLEEP_SHARE: Final = 0.25
SLEEP_SECONDS: Final = 1.0


class Quiet(Protocol):
    """The methods of a stream that are called here."""

    @property
    def written_at(self) -> float:
        """When something was written last, or would have been if its client read."""

    @property
    def is_open(self) -> bool:
        """Whether lines may still be written."""

    def keep_alive(self) -> None:
        """Write a line."""


class KeepAlives:
    """One per process. `run` is its task.

    A stream is in one group: that of the moment at which it needs a line if nothing else is written to it until then.
    At that moment it gets its line, or moves on to the group of a later moment.

    Args:
        seconds: the most between two writes to a stream.
        now: a clock that only grows.
    """

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._groups: dict[int, list[Quiet]] = {}

    def add(self, stream: Quiet) -> None:
        """Keep a stream alive until it is closed."""
        self._groups.setdefault(self._due(stream.written_at), []).append(stream)

    async def run(self) -> None:
        """Write lines until cancelled."""
        while True:
            await asyncio.sleep(self.pause())
            self.tick()

    def pause(self) -> float:
        """Return for how many seconds no line is due: while nothing is open, the process sleeps on."""
        longest = max(GROUP_SECONDS, min(SLEEP_SECONDS, self._seconds * SLEEP_SHARE))
        if not self._groups:
            return longest
        return min(longest, max(GROUP_SECONDS, min(self._groups) * GROUP_SECONDS - self._now()))

    def tick(self) -> None:
        """Write the lines that are due."""
        now = self._now()
        current = int(now / GROUP_SECONDS)
        for group in [group for group in self._groups if group <= current]:
            for stream in self._groups.pop(group):
                if not stream.is_open:
                    continue
                due = self._due(stream.written_at)
                if due <= current:
                    stream.keep_alive()
                    due = self._due(now)
                self._groups.setdefault(max(due, current + 1), []).append(stream)

    def _due(self, written_at: float) -> int:
        """Return the group of a stream. It begins a group's time before the line has to be there."""
        return int((written_at + self._seconds) / GROUP_SECONDS) - 1
