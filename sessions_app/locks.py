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
    items, levels, objects = lists_about(locks)
    return about(items, levels, objects)


def about(items: Collection[uuid.UUID], levels: Collection[str], objects: Collection[str]) -> Q:
    """Return the condition of `rows_about`, of the lists of `lists_about`."""
    return Q(item__any=items, context_level__any=levels, object_id__any=objects)


def lists_about(locks: Collection[Lock]) -> tuple[set[uuid.UUID], set[str], set[str]]:
    """Return the items, the context levels and the objects of these locks."""
    return (
        {lock.item_id for lock in locks},
        {lock.context_level for lock in locks},
        {lock.object_id for lock in locks},
    )


def by_lock(rows: Iterable[Row], locks: Collection[Lock]) -> dict[Lock, Row]:
    """Return the rows of just these locks, of which each has at most one."""
    wanted = set(locks)
    return {lock: row for row in rows if (lock := Lock.of(row)) in wanted}
