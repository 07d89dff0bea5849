"""Work that is too much for one transaction, done in steps: each is bounded, and each commits something.

A transaction that ends or grants sessions holds the locks of its items, for which other transactions wait. PostgreSQL
ends a transaction that waits or idles longer than the time-outs in `silo/database.py`: a step takes far less, on a busy
machine, too.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

# Sessions of one step: it takes some 100 ms where no sessions interfere, a second or two where all do.
STEP_SESSIONS: Final = 1_000
# Node keys of the cones of one step's sessions: as many as a batch may have.
STEP_NODE_KEYS: Final = 100_000
# Workstations of one step.
STEP_WORKSTATIONS: Final = 500

Thing = TypeVar("Thing")


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
