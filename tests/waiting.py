"""Waiting for conditions, never for a fixed time."""

import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connection

WAITING_FOR_LOCKS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""

# How often a condition is looked at, and how long it may take before the test has failed.
STEP_SECONDS = 0.02
PATIENCE_SECONDS = 20.0


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
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"not within {within} s: {what or condition}"
        threading.Event().wait(step)


def waiting_for_locks() -> int:
    """Return how many of the database's connections wait for somebody's lock."""
    with connection.cursor() as cursor:
        # Within a transaction it would show the same again and again.
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute(WAITING_FOR_LOCKS)
        return int(cursor.fetchone()[0])
