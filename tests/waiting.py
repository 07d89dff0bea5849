"""Waiting for conditions, never for a fixed time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

WAITING_FOR_LOCKS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""

# How often a condition is looked at, and how long it may take before the test has failed.
STEP_SECONDS = 0.02
PATIENCE_SECONDS = 20.0
# How often a thread wakes up that sees whether it could, and what is no standstill.
TICK_SECONDS = 0.01
LATE_SECONDS = 0.05


def eventually(
    condition: Callable[[], Any],
    what: str = "",
    within: float = PATIENCE_SECONDS,
    step: float = STEP_SECONDS,
) -> Any:
    """Return the condition's first true value.

    Args:
        condition: called until it returns something true.
        what: for the message of the failure.
        within: seconds.
        step: seconds between two looks.

    Raises:
        AssertionError: if it stays false.
    """
    deadline = time.monotonic() + within
    while True:
        # Looked at once more after that: this process may have stood still meanwhile.
        is_over = time.monotonic() >= deadline
        if value := condition():
            return value
        assert not is_over, f"not within {within} s: {what or condition}"
        threading.Event().wait(step)


@contextmanager
def standstill() -> Iterator[Callable[[], float]]:
    """Measure for how long this process was kept from running during the block, by other processes or by the host.

    A bound of what the process does by itself leaves that out. What keeps Python's interpreter for itself is not told
    apart from it.

    Yields:
        a function that returns the seconds so far.
    """
    over, last, lost = threading.Event(), time.monotonic(), 0.0

    def late() -> float:
        too_late = time.monotonic() - last - TICK_SECONDS
        return too_late if too_late > LATE_SECONDS else 0.0

    def tick() -> None:
        nonlocal last, lost
        while not over.wait(TICK_SECONDS):
            lost += late()
            last = time.monotonic()

    ticking = threading.Thread(target=tick, daemon=True)
    ticking.start()
    try:
        yield lambda: lost + late()
    finally:
        over.set()
        ticking.join()


def waiting_for_locks() -> int:
    """Return how many of the database's connections wait for somebody's lock."""
    with connection.cursor() as cursor:
        # Within a transaction it would show the same again and again.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(WAITING_FOR_LOCKS)
        return int(cursor.fetchone()[0])
