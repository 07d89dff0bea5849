"""Giving memory that is free back to the system."""

import ctypes
from collections.abc import Callable
from typing import Any


def _trim() -> Callable[[int], Any] | None:
    """Return what does it, where the C library has such a function: the one of GNU keeps free memory for itself."""
    try:
        trim: Callable[[int], Any] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    return trim


_malloc_trim = _trim()


def return_to_system() -> None:
    """Give the system what is free: after large bodies that is many times what is in use. It takes milliseconds."""
    if _malloc_trim is not None:
        _malloc_trim(0)
