"""Steps over many candidates of which one may fail by itself: it is quarantined and logged, and all others go on.

A step that fails is tried again in smaller parts, down to one candidate. A candidate that fails alone is quarantined
for a while. If a second one of the same group (an item, mostly) fails alone, the whole group is.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import psycopg
from django.db import DatabaseError, Error, connection

from events_app.database.unavailable import is_statement_error
from sessions_app.steps import Pace

logger = logging.getLogger(__name__)

# Into so many parts a step is cut that has failed. Each failure may take the whole time that a lock is waited for: a
# thousand candidates are down to one after four of them.
PARTS: Final = 10
# If so many fail by themselves, the fault is elsewhere.
MAX_QUARANTINED: Final = 100

Result = TypeVar("Result")


class Candidate(NamedTuple):
    """One of the candidates: its id, the group of those that may fail with it, and what else was read of it."""

    id: Any
    group: Any
    row: Any = None


def ids_of(candidates: Iterable[Candidate]) -> list[Any]:
    """Return the ids of these candidates."""
    return [one.id for one in candidates]


class QuarantiningSteps(Generic[Result]):
    """Work in steps over candidates of one kind.

    Args:
        what: what is done, for the log.
        find: returns the next candidates, without those of these ids and groups: as many as are looked for at once.
        name: returns the fields of a candidate in the log, by its id.
        act: does it for these candidates, in a transaction of its own.
        pace: how many of them a step does; without it a step does all that were found.
        quarantine_seconds: how long a candidate that fails alone is left out; None for as long as this object lives.
    """

    def __init__(
        self,
        what: str,
        find: Callable[[Collection[Any], Collection[Any]], Sequence[Candidate]],
        name: Callable[[Any], Mapping[str, Any]],
        act: Callable[[Sequence[Candidate]], Result],
        *,
        pace: Pace | None = None,
        quarantine_seconds: float | None = None,
    ) -> None:
        self._what = what
        self._find = find
        self._name = name
        self._act = act
        self._pace = pace
        self._aside_seconds = quarantine_seconds
        # When each was quarantined, by the monotonic clock.
        self._quarantined: dict[Any, float] = {}
        self._groups_quarantined: dict[Any, float] = {}
        self._groups_with_one: dict[Any, float] = {}
        # What was found, and is not yet done.
        self._found: Sequence[Candidate] = ()
        # What is left of steps that failed.
        self._parts: list[Sequence[Candidate]] = []

    @property
    def waiting(self) -> bool:
        """Whether some that were found, or failed in a larger part, are still to be done."""
        return bool(self._found or self._parts)

    def step(self) -> tuple[bool, Result | None]:
        """Do a step of it.

        Returns:
            Whether there was anything to do, and what the step returned, or None where it failed.

        Raises:
            Exception: whatever the step failed with, if the database is away, or too many fail.
        """
        self._forget()
        things = self._next()
        if not things:
            return False, None
        try:
            if self._pace is None:
                return True, self._act(things)
            with self._pace.step(len(things)):
                return True, self._act(things)
        except Exception as error:
            if not _is_its_own(error):
                self._forget_found()
                raise
            self._failed(things, error)
            return True, None

    def _next(self) -> Sequence[Candidate]:
        while self._parts:
            if part := self._not_quarantined(self._parts.pop(0)):
                return part
        while True:
            if not self._found:
                self._found = self._find(self._quarantined.keys(), self._groups_quarantined.keys())
            size = self._pace.size if self._pace else len(self._found)
            things, self._found = self._found[:size], self._found[size:]
            if not things:
                return ()
            if step := self._not_quarantined(things):
                return step

    def _not_quarantined(self, things: Sequence[Candidate]) -> Sequence[Candidate]:
        return [thing for thing in things if thing.group not in self._groups_quarantined]

    def _forget_found(self) -> None:
        self._found = ()
        self._parts.clear()

    def _failed(self, things: Sequence[Candidate], error: Exception) -> None:
        if len(things) > 1:
            size = -(-len(things) // PARTS)
            parts = [things[start : start + size] for start in range(0, len(things), size)]
            self._parts = [*parts, *self._parts]
            logger.warning(
                "%s failed; it is tried again in parts", self._what, extra={"error": error}
            )
            return
        [thing] = things
        now = time.monotonic()
        self._quarantined[thing.id] = now
        extra = {**self._name(thing.id), "error": error}
        logger.error("%s failed and is quarantined", self._what, extra=extra)
        if thing.group in self._groups_with_one:
            self._groups_quarantined[thing.group] = now
        self._groups_with_one[thing.group] = now
        if len(self._quarantined) >= MAX_QUARANTINED:
            self._forget_found()
            raise error

    def _forget(self) -> None:
        """Try again what was quarantined long enough ago."""
        if self._aside_seconds is None:
            return
        since = time.monotonic() - self._aside_seconds
        for some in (self._quarantined, self._groups_quarantined, self._groups_with_one):
            for key in [key for key, at in some.items() if at < since]:
                del some[key]


def _is_its_own(error: Exception) -> bool:
    """Say whether a step failed by what it did, and not because the database is away."""
    if not isinstance(error, Error):
        return True
    if isinstance(error.__cause__, psycopg.Error) and error.__cause__.sqlstate is not None:
        alone = is_statement_error(error)
    else:
        # The connection is gone, perhaps because of the step.
        alone = _database_answers()
    _leave_what_is_broken()
    return alone


def _leave_what_is_broken() -> None:
    """Have the next statement open another connection, if this one was ended."""
    if connection.connection and not connection.in_atomic_block and not connection.is_usable():
        connection.close()


def _database_answers() -> bool:
    _leave_what_is_broken()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, Error):
        return False
    return True
