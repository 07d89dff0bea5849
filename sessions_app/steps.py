"""Work that is too much for one transaction, done in steps: each is bounded, and each commits something.

A transaction that ends or grants sessions holds the locks of its items, for which other transactions wait. PostgreSQL
ends a transaction that waits or idles longer than the time-outs in `silo/database.py`: a step takes far less, on a busy
machine, too.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

# Sessions of one step: it takes some 100 ms where no sessions interfere, a second or two where all do.
STEP_SESSIONS: Final = 1_000
# Node keys of the cones of one step's sessions: as many as a batch may have.
STEP_NODE_KEYS: Final = 100_000
# Workstations of one step.
STEP_WORKSTATIONS: Final = 500

# How long a step of the sweep takes: an acquire of one of its items waits for no more.
PACE_SECONDS: Final = 0.05
# No smaller steps are taken, however busy the machine is: each costs some milliseconds whatever it does.
PACE_LEAST: Final = 100

Thing = TypeVar("Thing")


class Pace:
    """How many things a step does, so that it takes `PACE_SECONDS`: learnt from the steps before."""

    def __init__(self) -> None:
        self.size = 200

    @contextmanager
    def step(self, count: int) -> Iterator[None]:
        """Time a step of so many things. Only a full one may make the next one larger, and at most twice as large."""
        begun = time.perf_counter()
        yield
        took = time.perf_counter() - begun
        if took > PACE_SECONDS or count >= self.size:
            fits = int(count * PACE_SECONDS / max(took, PACE_SECONDS / 2))
            self.size = max(PACE_LEAST, min(fits, STEP_SESSIONS))


def few_enough(sized: Iterable[tuple[Thing, int]], room: int) -> list[Thing]:
    """Return the first of these things that are together no larger than `room`; the first one at least.

    Args:
        sized: the things, each with its size.
        room: how large they may be together.
    """
    few: list[Thing] = []
    for thing, size in sized:
        room -= size
        if room < 0 and few:
            break
        few.append(thing)
    return few


def batched(things: Sequence[Thing], size: int) -> Iterator[Sequence[Thing]]:
    """Yield the things in their order, `size` at a time."""
    for start in range(0, len(things), size):
        yield things[start : start + size]
