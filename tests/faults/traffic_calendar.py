"""When and for how long the random traffic is troubled, and what was done to it."""

import os
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.history import Limits

SECONDS = float(os.environ.get("SILO_TEST_SECONDS", "120"))
SEED = os.environ.get("SILO_TEST_SEED") or str(random.SystemRandom().randrange(10**6))

# Short enough that some sessions expire, longer than any server is stopped.
TIMEOUT_SECONDS = 12.0
HEARTBEAT_SECONDS = 0.5
LONGEST_STOP_SECONDS = 6.0
TIMINGS = {
    "SILO_SESSION_TIMEOUT_MINUTES": str(TIMEOUT_SECONDS / 60),
    "SILO_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
}
# Others are told of idleness once in a heartbeat.
LIMITS = Limits(timeout=TIMEOUT_SECONDS, settle=TIMEOUT_SECONDS + 8, idle_step=HEARTBEAT_SECONDS)
# From the end of a fault until everything is as if it had not been: a dead server is found dead by another that has
# itself beaten for two seconds, a relay connects again.
AFTERMATH_SECONDS = 4.0

# Faults begin in the first part of each round; what is promised without them is seen in the second.
ROUND_SECONDS, STORM_SECONDS = 24.0, 10.0


@dataclass
class Faults:
    """What was done to the service, and when it could not keep its promises."""

    counts: Counter[str] = field(default_factory=Counter)
    times: list[tuple[float, float]] = field(default_factory=list)
    absences: tuple[list[tuple[float, float]], ...] = ([], [])

    def note(self, kind: str, begin: float, server: int | None = None) -> None:
        """Note a fault that has just ended, and whether a server was away for it."""
        now = time.monotonic()
        self.counts[kind] += 1
        self.times.append((begin, now + AFTERMATH_SECONDS))
        if server is not None:
            self.absences[server].append((begin, now))

    @property
    def outages(self) -> list[tuple[float, float]]:
        """When both servers were away at once, until one has beaten for a while."""
        both = [
            (max(a, b), min(a_end, b_end) + AFTERMATH_SECONDS)
            for a, a_end in self.absences[0]
            for b, b_end in self.absences[1]
        ]
        return [(begin, end) for begin, end in both if begin < end]


class Calendar:
    """Says when a fault may begin, and when the traffic is over."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._begin = time.monotonic()
        self._over = threading.Event()

    @property
    def is_over(self) -> bool:
        return time.monotonic() - self._begin >= self._seconds or self._over.is_set()

    def next_fault(self, seconds: float) -> bool:
        """Wait so long, and for a storm; false when the traffic is over."""
        self.wait(seconds)
        passed = (time.monotonic() - self._begin) % ROUND_SECONDS
        if passed > STORM_SECONDS:
            self.wait(ROUND_SECONDS - passed)
        return not self.is_over

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the traffic is over."""
        left = self._begin + self._seconds - time.monotonic()
        self._over.wait(max(0.0, min(seconds, left)))

    def end(self) -> None:
        """Nobody waits any more."""
        self._over.set()
