"""The locks that edit sessions are: an object of an item at a context level."""

import uuid
from collections.abc import Collection, Iterable
from typing import NamedTuple, Protocol, TypeVar

from django.db.models import Q


class AboutLock(Protocol):
    """A row about a lock: a session, its record or a place in line."""

    @property
    def item_id(self) -> uuid.UUID: ...

    @property
    def context_level(self) -> str: ...

    @property
    def object_id(self) -> str: ...


Row = TypeVar("Row", bound=AboutLock)


class Lock(NamedTuple):
    """One object of one item at one context level; an empty `object_id` is the whole item."""

    item_id: uuid.UUID
    context_level: str
    object_id: str

    @classmethod
    def of(cls, row: AboutLock) -> "Lock":
        """Return the lock that a session, its record or a place in line is about."""
        return cls(row.item_id, row.context_level, row.object_id)


def rows_about(locks: Collection[Lock]) -> Q:
    """Return a condition that rows of these locks meet; others may too: check `Lock.of` afterwards.

    Three lists instead of a thousand alternatives, which PostgreSQL would plan one by one.
    """
    return Q(
        item__any={lock.item_id for lock in locks},
        context_level__any={lock.context_level for lock in locks},
        object_id__any={lock.object_id for lock in locks},
    )


def by_lock(rows: Iterable[Row], locks: Collection[Lock]) -> dict[Lock, Row]:
    """Return the rows of just these locks, of which each has at most one."""
    wanted = set(locks)
    return {lock: row for row in rows if (lock := Lock.of(row)) in wanted}
