"""Releasing edit sessions: by their holders, or against their wish."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from django.contrib.auth.models import User
from django.db import Error

from events_app.database.lock_retry import with_lock_retry
from events_app.database.round_trip import Statement, rows_of, together
from sessions_app.errors import DomainError, Forbidden, NotFound
from sessions_app.models.edit_session import EditSession
from sessions_app.models.ended_session import EndReason, Record
from sessions_app.models.item import Item, of_item
from sessions_app.models.results import Ended, Manner, Step, all_steps
from sessions_app.models.session_rows import Found
from sessions_app.models.workstation import Workstation
from sessions_app.steps import STEP_SESSIONS, batched
from sessions_app.text import name_key

Ids = Collection[uuid.UUID]


@dataclass(frozen=True)
class Release:
    """A request to end sessions at their holder's wish.

    Args:
        user: who wishes it.
        session_ids: the sessions, on whichever workstations of the user.
        part_number: the item of the one session, where it is asked for by that; None for any sessions, of which those
            are skipped that have ended or are another user's.
    """

    user: User
    session_ids: Ids
    part_number: str | None = None


# What a request ended, or its refusal.
Outcome = list[Record] | DomainError | Error


# Each goes by one index of one table, so that PostgreSQL's plan of it is right for any number of rows.
_ITEMS: Final = Statement(lambda keys: Item.objects.filter(key__any=keys).values_list("key", "pk"))
_HELD: Final = Statement(
    lambda workstations: (
        EditSession.objects.filter(workstation__any=workstations).order_by().values_list("pk")
    )
)


class _Asked(NamedTuple):
    """The sessions that a set of requests is about: those that are there, and the items that are named, by key."""

    sessions: dict[uuid.UUID, Found]
    items: dict[str, uuid.UUID]


def release_many(user: User, session_ids: Ids) -> list[Record]:
    """End sessions at their holder's wish: those that are this user's and have not ended; in steps.

    Args:
        user: who wishes it.
        session_ids: the sessions, on whichever workstations of the user.
    """
    [outcome] = release_set([Release(user, session_ids)])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def release_set(requests: Sequence[Release]) -> list[Outcome]:
    """Decide and carry out many requests together, each by itself; in steps, which are each one transaction.

    Returns:
        The outcome of each, in their order: the records of what it ended, why it was refused, or the error of a later
        step. A session that several of them name is ended by the first.
    """
    allowed: list[Ids | DomainError] = []
    ended: dict[uuid.UUID, Record] = {}

    def step(also: Ids) -> Ended:
        Workstation.objects.lock(also)
        asked = _read(requests)
        if not ended:
            # What has ended in a step before is not asked for again.
            allowed[:] = [_allowed(request, asked) for request in requests]
        ids = {pk for some in allowed if not isinstance(some, DomainError) for pk in some}
        found = [one for pk, one in asked.sessions.items() if pk in ids]
        return EditSession.objects.end_found(
            found, EditSession.objects.any_to_end.locking, Manner(EndReason.RELEASED), commits=True
        )

    failure: Error | None = None
    more = True
    while more:
        try:
            done = with_lock_retry(step)
        except Error as error:
            if not ended:
                raise
            # What a step before has ended stays so, and is told to those who asked for it.
            failure = error
            break
        ended |= {record.session_id: record for record in done.records}
        more = done.more
    return [
        some if isinstance(some, DomainError) else _ended(request, some, ended, failure)
        for request, some in zip(requests, allowed, strict=True)
    ]


def _read(requests: Sequence[Release]) -> _Asked:
    ids = {pk for request in requests for pk in request.session_ids}
    keys = {name_key(one.part_number) for one in requests if one.part_number is not None}
    sessions, items = together(EditSession.objects.any_to_end.reading(ids), _ITEMS(keys))
    found = (Found(*row) for row in sessions)
    return _Asked({one.pk: one for one in found}, dict(items))


def _allowed(request: Release, asked: _Asked) -> Ids | DomainError:
    """Return which of its sessions a request may end, or its refusal."""
    there = [asked.sessions[pk] for pk in request.session_ids if pk in asked.sessions]
    if (number := request.part_number) is not None:
        item = asked.items.get(name_key(number))
        there = [one for one in there if one.item_id == item or _was_called(one, number)]
        if not there:
            return _gone()
        if there[0].user_id != request.user.pk:
            return Forbidden("Another user holds this edit session.")
    return [one.pk for one in there if one.user_id == request.user.pk]


def _was_called(found: Found, part_number: str) -> bool:
    """Return whether a session's item has, or had, this part number."""
    return EditSession.objects.filter(of_item(part_number), pk=found.pk).exists()


def _ended(
    request: Release, wanted: Ids, ended: dict[uuid.UUID, Record], failure: Error | None
) -> Outcome:
    """Return the outcome of a request: the records of what it has ended, which it takes from `ended`."""
    if failure is not None and not ended.keys() >= set(wanted):
        return failure
    records = [ended.pop(pk) for pk in wanted if pk in ended]
    return _gone() if request.part_number is not None and not records else records


def _gone() -> NotFound:
    return NotFound("There is no such session, or it has ended.")


def force_release(session_id: uuid.UUID, by: str, note: str) -> Record:
    """End one session against its holder's wish.

    Args:
        session_id: the session.
        by: the name of who does it.
        note: why.

    Raises:
        NotFound: if it has ended already.
    """
    ended = force_release_all([session_id], by, note)
    if not ended:
        raise _gone()
    return ended[0]


def force_release_all(session_ids: Ids, by: str, note: str) -> list[Record]:
    """End sessions against their holders' wish: those of them that have not ended; in steps.

    Args:
        session_ids: the sessions.
        by: the name of who does it.
        note: why.
    """
    sessions = EditSession.objects.filter(pk__any=session_ids)
    manner = Manner(EndReason.FORCE_RELEASED, by, note)
    return all_steps(EditSession.objects.ending(sessions, manner))


def release_all(workstation_id: uuid.UUID, ended_by: str = "") -> list[Record]:
    """End every session of one workstation at its user's wish, or an administrator's, whom the records name.

    In steps, until all have ended that were there at the beginning.
    """
    held = sorted(pk for (pk,) in rows_of(_HELD([workstation_id])))
    manner, statements = Manner(EndReason.RELEASED, ended_by), EditSession.objects.any_to_end

    def step_of(some: Ids) -> Step:
        def step(also: Ids) -> Ended:
            Workstation.objects.lock({workstation_id, *also})
            return EditSession.objects.end_found(
                statements.found(some), statements.locking, manner, commits=True
            )

        return step

    return [record for some in batched(held, STEP_SESSIONS) for record in all_steps(step_of(some))]
