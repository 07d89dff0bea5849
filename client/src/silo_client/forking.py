"""A forked child of a program neither uses nor ends what belongs to its parent.

A child gets copies of all objects, of the ends of all pipes and of locked files, and locks held by threads that it does
not have. So each object of a connected workstation first checks, before it waits for a lock, which process owns it.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

from silo_client.errors import ForkedError


class Owner:
    """The process in which this object was made."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether that is this process."""
        return os.getpid() == self._pid

    def check(self) -> None:
        """Check that it is this process.

        Raises:
            ForkedError: this process is a forked child of it.
        """
        if not self.is_here:
            raise ForkedError(
                f"The workstation belongs to process {self._pid}, and this is a forked child of it:"
                " connect in the child, after the fork."
            )


# Objects with descriptors, which in a child would keep open what the parent closes, and functions that close them.
_to_close: weakref.WeakKeyDictionary[Any, Callable[[Any], Any]] = weakref.WeakKeyDictionary()


def close_in_child(one: Any, close: Callable[[Any], Any]) -> None:
    """Have an object's descriptors closed in each child that is forked while the object exists.

    Args:
        one: the object.
        close: closes its descriptors, changes nothing of the parent's, and keeps no reference to the object.
    """
    _to_close[one] = close


def _close_all() -> None:
    for one, close in list(_to_close.items()):
        close(one)
    _to_close.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_all)
