"""Returns free memory to the system, after large bodies."""

import ctypes
from collections.abc import Callable
from typing import Any


def _trim() -> Callable[[int], Any] | None:
    """Return the C library's function for it, if there is one: the GNU library keeps free memory for itself."""
    try:
        trim: Callable[[int], Any] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    return trim


_malloc_trim = _trim()


def return_to_system() -> None:
    """Return free memory to the system: after large bodies it is many times the memory in use. It takes
    milliseconds."""
    if _malloc_trim is not None:
        _malloc_trim(0)
