"""A clock that never goes back, is the same in all processes, and goes on while the machine sleeps."""

import sys
import time


def now() -> float:
    """Return the seconds since some moment before the machine's last start.

    `time.monotonic` stands still while a machine sleeps, on Linux and macOS: a lease of before would still seem valid
    when the lid is opened.
    """
    if sys.platform.startswith("linux"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.monotonic()
