"""Releasing edit sessions: by their holders, or against their wish."""

import uuid
from collections.abc import Collection

from django.contrib.auth.models import User
from django.db.models import Max
from django.db.models.functions import Now

from sessions_app.errors import NotFound
from sessions_app.models.edit_session import EditSession
from sessions_app.models.edit_session_manager import all_steps
from sessions_app.models.edit_session_queryset import EditSessionQuerySet
from sessions_app.models.ended_session import EndedSession, EndReason
from sessions_app.models.results import Ended
from sessions_app.models.workstation import Workstation

Ids = Collection[uuid.UUID]


def release(session_id: uuid.UUID) -> EndedSession:
    """End one session at its holder's wish.

    Raises:
        NotFound: if it has ended already.
    """
    return _end_one(session_id, EndReason.RELEASED)


def release_many(user: User, session_ids: Ids) -> list[EndedSession]:
    """End sessions at their holder's wish: those that are this user's and have not ended; in steps.

    Args:
        user: who wishes it.
        session_ids: the sessions, on whichever workstations of the user.
    """
    return _end_any(EditSession.objects.filter(pk__in=session_ids, user=user), EndReason.RELEASED)


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
        raise NotFound("There is no such session, or it has ended.")
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
