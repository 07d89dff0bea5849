"""A forked child of a program has nothing of what its parent has: it neither uses it nor ends it.

A child gets copies of all objects, of the ends of all pipes and of locked files; and locks that a thread held which it
has not. So whatever belongs to a connected workstation asks first, before it waits for any lock, whose it is.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

from silo_client.errors import ForkedError


class Owner:
    """The process in which this was made."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether that is this process."""
        return os.getpid() == self._pid

    def check(self) -> None:
        """See that it is.

        Raises:
            ForkedError: this is a child of it.
        """
        if not self.is_here:
            raise ForkedError(
                f"The workstation is that of process {self._pid}, and this is a forked child of it:"
                " connect in the child, after the fork."
            )


# By what they close in a child: descriptors, which would keep open what the parent closes.
_to_close: weakref.WeakKeyDictionary[Any, Callable[[Any], Any]] = weakref.WeakKeyDictionary()


def close_in_child(one: Any, close: Callable[[Any], Any]) -> None:
    """Have something called with this, in each child that is forked while this is there.

    Args:
        one: what has descriptors.
        close: closes them, and changes nothing that is the parent's. A function that keeps no reference to it.
    """
    _to_close[one] = close


def _close_all() -> None:
    for one, close in list(_to_close.items()):
        close(one)
    _to_close.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_all)
