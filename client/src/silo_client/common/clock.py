"""A clock that only grows, is the same in all processes, and goes on while the machine sleeps."""

import sys
import time


def now() -> float:
    """Return seconds since some moment before the machine's last start.

    `time.monotonic` stands still in a machine that sleeps, on Linux and macOS: what was true before the lid was closed
    would still seem to be fresh after it is opened.
    """
    if sys.platform.startswith("linux"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.monotonic()
