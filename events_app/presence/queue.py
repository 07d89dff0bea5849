"""The writer's queue of arrivals and departures. One key that fails does not delay the others for long."""

import time
import uuid
from collections.abc import Callable, Container, Hashable, Iterator
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Final, Generic, TypeVar

from events_app.database.unavailable import backoff

Entry = TypeVar("Entry")

# A presence key, or the id of a stream without one, and the user whose stream it is.
Key = tuple[uuid.UUID, int | None]

# Into how many parts a set that fails is divided, down to single keys.
PARTS: Final = 10
# The most of the writer's time that keys which fail alone may take.
FAILING_SHARE: Final = 1 / 4


@dataclass(eq=False)
class WriteSet(Generic[Entry]):
    """A set of entries that are written in one transaction, by their keys.

    Args:
        entries: the entries of each key, in the order in which they came.
        failures: how often in a row it has failed at this size.
        failed_at: when they failed last, by a clock that only grows.
        not_before: when they are tried again.
    """

    entries: dict[Key, list[Entry]] = field(default_factory=dict)
    failures: int = 0
    failed_at: float = float("-inf")
    not_before: float = float("-inf")

    def __iter__(self) -> Iterator[Entry]:
        return (entry for some in self.entries.values() for entry in some)

    @property
    def has_failed(self) -> bool:
        """Whether it has failed before, by itself or as a part of a set."""
        return self.failed_at > float("-inf")

    @property
    def alone(self) -> bool:
        """Whether it is of one key."""
        return len(self.entries) == 1


class PresenceQueue(Generic[Entry]):
    """Entries of one kind, first come first served by their keys.

    Sets that have failed are queued apart, and alternate with the others. They are divided until the keys that fail
    alone are found.

    Args:
        now: a clock that only grows.
        owner: returns the owner of an entry, and so of its key. Where more keys wait than are taken at once, owners
            take turns.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        owner: Callable[[Entry], Hashable] = lambda entry: None,
    ) -> None:
        self._now = now
        self._owner = owner
        self._waiting: dict[Key, list[Entry]] = {}
        self._failed: list[WriteSet[Entry]] = []
        self._apart: dict[Key, WriteSet[Entry]] = {}
        self._failed_next = False
        # Until when keys that fail alone have to wait, having had their share.
        self._alone_from = float("-inf")

    def __contains__(self, key: object) -> bool:
        return key in self._waiting or key in self._apart

    def add(self, key: Key, entry: Entry) -> None:
        """Queue an entry."""
        self._waiting.setdefault(key, []).append(entry)

    def take(self, count: int, without: Container[Key] = ()) -> WriteSet[Entry] | None:
        """Take the next set, of at most so many keys; None if nothing is due.

        Args:
            count: of keys.
            without: keys that have to wait.
        """
        failed = self._due(without)
        if failed and self._failed_next:
            return self._take_failed(failed, without)
        taken: dict[Key, list[Entry]] = {}
        for key in self._in_turns() if len(self._waiting) > count else list(self._waiting):
            if len(taken) == count:
                break
            if key in without:
                continue
            if key in self._apart:
                # Its earlier entries have failed: it has to wait with them.
                self._apart[key].entries[key] += self._waiting.pop(key)
            else:
                taken[key] = self._waiting.pop(key)
        if taken:
            self._failed_next = True
            return WriteSet(taken)
        return self._take_failed(failed, without) if failed else None

    def _in_turns(self) -> Iterator[Key]:
        """Return the keys that wait: the first one of each owner, then the second one of each, and so on."""
        keys: dict[Hashable, list[Key]] = {}
        for key, some in self._waiting.items():
            keys.setdefault(self._owner(some[0]), []).append(key)
        turns = zip_longest(*keys.values())
        return (key for turn in turns for key in turn if key is not None)

    def keep_only(self, keys: Container[Key]) -> list[Entry]:
        """Drop the entries of all keys but these, and return them."""
        dropped = [one for key, some in self._waiting.items() if key not in keys for one in some]
        self._waiting = {key: some for key, some in self._waiting.items() if key in keys}
        for key, write_set in list(self._apart.items()):
            if key not in keys:
                dropped += write_set.entries.pop(key)
                del self._apart[key]
        self._failed = [write_set for write_set in self._failed if write_set.entries]
        return dropped

    def put_back(self, write_set: WriteSet[Entry]) -> None:
        """Queue a set first again: it has not failed."""
        if write_set.has_failed:
            self._failed.insert(0, write_set)
            self._apart.update(dict.fromkeys(write_set.entries, write_set))
            return
        for key, some in write_set.entries.items():
            some += self._waiting.pop(key, [])
        self._waiting = write_set.entries | self._waiting

    def failed(
        self, write_set: WriteSet[Entry], *, seconds: float, divide: bool
    ) -> list[WriteSet[Entry]]:
        """Queue a set behind the others, after a failure.

        Args:
            write_set: the set that failed.
            seconds: how long that took.
            divide: whether one of its keys may be the cause.

        Returns:
            The parts in which it is retried.
        """
        parts = [write_set]
        if divide and not write_set.alone:
            parts = _parts(write_set)
        for part in parts:
            part.failures += part is write_set
            part.failed_at = self._now()
            self._apart.update(dict.fromkeys(part.entries, part))
        if write_set.alone and divide:
            write_set.not_before = self._now() + backoff(write_set.failures)
            self._alone_from = self._now() + seconds * (1 / FAILING_SHARE - 1)
        self._failed += parts
        return parts

    @property
    def not_failing_alone(self) -> Iterator[Entry]:
        """All entries except those of keys that have failed alone."""
        for some in self._waiting.values():
            yield from some
        for write_set in self._failed:
            if not (write_set.alone and write_set.failures):
                yield from write_set

    def due_in(self, without: Container[Key] = ()) -> float | None:
        """In how many seconds a failed set is due; None if there is none, or all have to wait."""
        times = (self._due_at(write_set) for write_set in self._tried_again(without))
        first = min(times, default=None)
        return None if first is None else max(0.0, first - self._now())

    def _due(self, without: Container[Key]) -> WriteSet[Entry] | None:
        now = self._now()
        return next((one for one in self._tried_again(without) if self._due_at(one) <= now), None)

    def _tried_again(self, without: Container[Key]) -> Iterator[WriteSet[Entry]]:
        for write_set in self._failed:
            if any(key not in without for key in write_set.entries):
                yield write_set

    def _due_at(self, write_set: WriteSet[Entry]) -> float:
        return (
            max(write_set.not_before, self._alone_from) if write_set.alone else write_set.not_before
        )

    def _take_failed(self, write_set: WriteSet[Entry], without: Container[Key]) -> WriteSet[Entry]:
        self._failed_next = False
        waiting = {key: some for key, some in write_set.entries.items() if key in without}
        taken = write_set
        if waiting:
            # Both parts have another size than the set that failed.
            others = {key: some for key, some in write_set.entries.items() if key not in waiting}
            taken = replace(write_set, entries=others, failures=0)
            write_set.entries, write_set.failures = waiting, 0
        else:
            self._failed.remove(write_set)
        for key in taken.entries:
            del self._apart[key]
        return taken


def _parts(write_set: WriteSet[Entry]) -> list[WriteSet[Entry]]:
    keys = list(write_set.entries)
    size = max(1, len(keys) // PARTS)
    return [
        WriteSet({key: write_set.entries[key] for key in keys[start : start + size]})
        for start in range(0, len(keys), size)
    ]
