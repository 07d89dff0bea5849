"""Releasing edit sessions: by their holders, or against their wish."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from django.contrib.auth.models import User
from django.db.models import Max
from django.db.models.functions import Now

from events_app.database.round_trip import Statement, rows_of
from sessions_app.errors import DomainError, Forbidden, NotFound
from sessions_app.models.edit_session import EditSession
from sessions_app.models.edit_session_manager import Found, all_steps
from sessions_app.models.edit_session_queryset import EditSessionQuerySet
from sessions_app.models.ended_session import EndedSession, EndReason
from sessions_app.models.item import of_item
from sessions_app.models.results import Ended
from sessions_app.models.workstation import Workstation
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
Outcome = list[EndedSession] | DomainError


class _Asked(NamedTuple):
    """A session that somebody wants to end."""

    found: Found
    user_id: int
    key: str


_ASKED: Final = Statement(
    lambda ids: (
        EditSession.objects.filter(pk__any=ids)
        .order_by("pk")
        .values_list(*Found._fields, "user_id", "item__key")
    )
)
_LOCK: Final = Statement(lambda ids: EditSession.objects.filter(pk__any=ids).locking_to_end())


def release_one(user: User, part_number: str, session_id: uuid.UUID) -> EndedSession:
    """End one session of a user at the user's wish.

    Raises:
        NotFound: it has ended already, or is of another item.
        Forbidden: another user holds it.
    """
    [outcome] = release_set([Release(user, [session_id], part_number)])
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome[0]


def release_many(user: User, session_ids: Ids) -> list[EndedSession]:
    """End sessions at their holder's wish: those that are this user's and have not ended; in steps.

    Args:
        user: who wishes it.
        session_ids: the sessions, on whichever workstations of the user.
    """
    [outcome] = release_set([Release(user, session_ids)])
    assert not isinstance(outcome, DomainError)
    return outcome


def release_set(requests: Sequence[Release]) -> list[Outcome]:
    """Decide and carry out many requests together, each by itself; in steps, which are each one transaction.

    Returns:
        The outcome of each, in their order: the records of what it ended, or why it was refused. A session that
        several of them name is ended by the first.
    """
    asked = _read({pk for request in requests for pk in request.session_ids})
    decided = [_allowed(request, asked) for request in requests]
    allowed = {pk for one in decided if not isinstance(one, DomainError) for pk in one}
    ended = _end_asked({pk: one for pk, one in asked.items() if pk in allowed})
    return [
        one
        if isinstance(one, DomainError)
        else _ended(request, [ended.pop(pk) for pk in one if pk in ended])
        for request, one in zip(requests, decided, strict=True)
    ]


def _read(ids: Ids) -> dict[uuid.UUID, _Asked]:
    found = (_Asked(Found(*row[:-2]), *row[-2:]) for row in rows_of(_ASKED(ids)))
    return {one.found.pk: one for one in found}


def _allowed(request: Release, asked: Mapping[uuid.UUID, _Asked]) -> list[uuid.UUID] | DomainError:
    """Return which of its sessions a request may end, or its refusal."""
    there = [asked[pk] for pk in request.session_ids if pk in asked]
    if request.part_number is not None:
        there = [one for one in there if _is_called(one, request.part_number)]
        if not there:
            return _gone()
        if there[0].user_id != request.user.pk:
            return Forbidden("Another user holds this edit session.")
    return [one.found.pk for one in there if one.user_id == request.user.pk]


def _is_called(asked: _Asked, part_number: str) -> bool:
    """Return whether a session's item has, or had, this part number."""
    if asked.key == name_key(part_number):
        return True
    return EditSession.objects.filter(of_item(part_number), pk=asked.found.pk).exists()


def _end_asked(asked: Mapping[uuid.UUID, _Asked]) -> dict[uuid.UUID, EndedSession]:
    """End sessions, in steps; return the records by the sessions' ids."""
    known = [asked]

    def step(also: Ids) -> Ended:
        Workstation.objects.lock(also)
        # What has been read is enough for the first step; one that is tried again reads again.
        now = known.pop() if known else _read(asked.keys())
        found = [one.found for one in now.values()]
        return EditSession.objects.end_found(found, _LOCK, EndReason.RELEASED)

    return {record.session_id: record for record in all_steps(step)} if asked else {}


def _ended(request: Release, records: list[EndedSession]) -> Outcome:
    """Return the outcome of a request that has ended these."""
    return _gone() if request.part_number is not None and not records else records


def _gone() -> NotFound:
    return NotFound("There is no such session, or it has ended.")


def force_release(session_id: uuid.UUID, by: str, note: str) -> EndedSession:
    """End one session against its holder's wish.

    Args:
        session_id: the session.
        by: the name of who does it.
        note: why.

    Raises:
        NotFound: if it has ended already.
    """
    return _end_one(session_id, EndReason.FORCE_RELEASED, ended_by=by, note=note)


def force_release_all(session_ids: Ids, by: str, note: str) -> list[EndedSession]:
    """End sessions against their holders' wish: those of them that have not ended; in steps.

    Args:
        session_ids: the sessions.
        by: the name of who does it.
        note: why.
    """
    sessions = EditSession.objects.filter(pk__in=session_ids)
    return _end_any(sessions, EndReason.FORCE_RELEASED, ended_by=by, note=note)


def release_all(workstation_id: uuid.UUID, ended_by: str = "") -> list[EndedSession]:
    """End every session of one workstation at its user's wish, or an administrator's, whom the records name.

    In steps, until all have ended that were there at the beginning.
    """
    held = EditSession.objects.filter(workstation_id=workstation_id)
    held = held.filter(acquired_at__lte=held.aggregate(last=Max("acquired_at"))["last"] or Now())

    def step(also: Ids) -> Ended:
        Workstation.objects.lock({workstation_id, *also})
        return EditSession.objects.end(held, EndReason.RELEASED, ended_by=ended_by)

    return all_steps(step)


def _end_one(
    session_id: uuid.UUID, reason: EndReason, ended_by: str = "", note: str = ""
) -> EndedSession:
    ended = _end_any(
        EditSession.objects.filter(pk=session_id), reason, ended_by=ended_by, note=note
    )
    if not ended:
        raise _gone()
    return ended[0]


def _end_any(
    candidates: EditSessionQuerySet,
    reason: EndReason,
    *,
    ended_by: str = "",
    note: str = "",
) -> list[EndedSession]:
    """End sessions whose workstations need no lock; in steps, until all have ended."""
    return all_steps(EditSession.objects.ending(candidates, reason, ended_by=ended_by, note=note))
