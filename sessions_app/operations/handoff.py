"""Asking for another user's edit session, handing one over, taking one over, and proving that one is live."""

import uuid
from collections.abc import Collection

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from events_app.log import event_log
from sessions_app import payloads
from sessions_app.errors import (
    Forbidden,
    NotAnEditor,
    NotConnected,
    NotFound,
    NotRequested,
    OwnSession,
    StaleToken,
)
from sessions_app.locks import Lock, rows_about
from sessions_app.models.abstract_edit_session import AbstractEditSession
from sessions_app.models.edit_session import EditSession
from sessions_app.models.ended_session import EndReason
from sessions_app.models.handoff_request import HandoffRequest
from sessions_app.models.item import Item, of_item
from sessions_app.models.place_in_line import PlaceInLine
from sessions_app.models.results import Acquired, Manner
from sessions_app.models.workstation import Workstation
from sessions_app.operations import presence
from sessions_app.operations.access import check_connected, lock_own_workstation
from sessions_app.roles import Role


def request(
    user: User,
    session_id: uuid.UUID,
    message: str,
    workstation_id: uuid.UUID | None = None,
) -> None:
    """Tell the holder's workstation who would like to have its session, and why.

    Args:
        user: who asks.
        session_id: the session.
        message: why.
        workstation_id: the asker's workstation that wants it; None for any of theirs.

    Raises:
        NotFound: no such workstation, or the session has ended.
        Forbidden: the workstation is somebody else's.
        OwnSession: it is the asker's own.
    """
    with transaction.atomic():
        if workstation_id is not None:
            lock_own_workstation(user, workstation_id)
        session = _lock_item_of(session_id)
        if session.user_id == user.pk:
            raise OwnSession("This edit session is your own: release it, or hand it off.")
        asked = HandoffRequest.objects.filter(
            session_id=session.pk, user=user, workstation=workstation_id
        )
        if not asked.update(requested_at=Now()):
            HandoffRequest.objects.create(
                session_id=session.pk, user=user, workstation_id=workstation_id
            )
        event_log.append([payloads.handoff_requested_event(session, user, workstation_id, message)])


def hand_off(user: User, session_id: uuid.UUID, to_workstation_id: uuid.UUID) -> Acquired:
    """End a session and begin the target's, in one transaction.

    Args:
        user: who hands over; the session must be theirs, on whichever workstation.
        session_id: the session.
        to_workstation_id: who gets it: connected, of an editor, and has asked or stands in line for it.

    Returns:
        The new session.

    Raises:
        NotFound: no such workstation, or the session has ended.
        Forbidden: the session is somebody else's.
        NotConnected, NotAnEditor, NotRequested: the target is not one that can have it.
    """
    with transaction.atomic():
        if not Workstation.objects.lock([to_workstation_id]):
            raise NotFound("There is no such workstation.")
        session = _lock_item_of(session_id)
        if session.user_id != user.pk:
            raise Forbidden("Another user holds this edit session.")
        session.item.check_not_retired()
        # Asked after the lock of the workstation, under which it would leave.
        target = Workstation.objects.select_related("user").get(pk=to_workstation_id)
        place = _place_of(target, session)
        place.dependency_cone = place.dependency_cone or session.dependency_cone

        def to_target(locks: Collection[Lock]) -> list[PlaceInLine]:
            return [place]

        ended = EditSession.objects.end(
            EditSession.objects.filter(pk=session_id),
            Manner(EndReason.HANDED_OFF, turns=to_target),
        )
        # It stays under the lock of its item, so it has ended now.
        [acquired] = ended.granted
        return acquired


def take_over(
    user: User,
    session_id: uuid.UUID,
    workstation_id: uuid.UUID,
    reason: str,
    connection_id: uuid.UUID | None = None,
) -> Acquired:
    """End somebody's session by force and begin one's own, in one transaction and ahead of the line.

    Args:
        user: the admin; the workstation must be theirs.
        session_id: the session.
        workstation_id: who gets it.
        reason: why; it is kept.
        connection_id: the stream that the client has open. If it has ended, the client has too.

    Returns:
        The new session. Its cone is that of the workstation's place in the line, if it has one, else the old one.

    Raises:
        NotFound: no such workstation, or the session has ended.
        Forbidden: somebody else's workstation, or the user was deactivated meanwhile.
        NotConnected: the connection has ended.
    """
    with transaction.atomic():
        workstation = lock_own_workstation(user, workstation_id)
        if connection_id:
            check_connected(workstation_id, connection_id)
        items = list(EditSession.objects.filter(pk=session_id).values_list("item_id", flat=True))
        # An acquire by hand: as any other, it says that somebody is there.
        here = presence.come_back([workstation_id], active=[workstation_id], also_lock=items)
        workstation.away_since = workstation.idle_since = None
        session = _lock_item_of(session_id)
        session.item.check_not_retired()
        place = _own_place(workstation, session) or _place_for(workstation, session)
        place.workstation = workstation
        place.dependency_cone = place.dependency_cone or session.dependency_cone
        place.connection_id = connection_id

        def to_taker(locks: Collection[Lock]) -> list[PlaceInLine]:
            return [place]

        ended = EditSession.objects.end(
            EditSession.objects.filter(pk=session_id),
            Manner(
                EndReason.FORCE_RELEASED,
                ended_by=user.get_username(),
                note=reason,
                turns=to_taker,
                told_first=here,
            ),
        )
        # It stays under the lock of its item, so it has ended now.
        [acquired] = ended.granted
        return acquired


def verify(part_number: str, session_id: uuid.UUID, fencing_token: int) -> AbstractEditSession:
    """Return a session, with its names, if it is live with this token.

    Raises:
        StaleToken: if it is not: it has ended, or the token is another one's.
    """
    session = (
        EditSession.objects.with_names()
        .filter(of_item(part_number), pk=session_id, fencing_token=fencing_token)
        .first()
    )
    if session is None:
        raise StaleToken("This session has ended, or the token is not its own: do not write.")
    return session


def _lock_item_of(session_id: uuid.UUID) -> AbstractEditSession:
    """Lock the item of a session, under which it stays; return the session with its names.

    Raises:
        NotFound: if it has ended.
    """
    items = list(EditSession.objects.filter(pk=session_id).values_list("item_id", flat=True))
    Item.objects.lock(items)
    session = EditSession.objects.with_names().filter(pk=session_id).first()
    if session is None:
        raise NotFound("There is no such session, or it has ended.")
    if session.item_id not in items:
        # That was merged into another one meanwhile.
        return _lock_item_of(session_id)
    return session


def _place_of(target: Workstation, session: AbstractEditSession) -> PlaceInLine:
    """Return the target's place in line for this session, or one for having asked.

    Raises:
        NotConnected, NotAnEditor, NotRequested: see `hand_off`.
    """
    if not Workstation.objects.served().filter(pk=target.pk).exists():
        raise NotConnected(
            "The target workstation has no open event stream: hand off when it is connected."
        )
    if not Role.EDITOR.users().filter(pk=target.user_id).exists():
        raise NotAnEditor(
            "The user of that workstation is not an editor: choose another workstation."
        )
    if place := _own_place(target, session):
        return place
    asked = Q(workstation=target) | Q(workstation=None, user=target.user_id)
    if not HandoffRequest.objects.filter(asked, session_id=session.pk).exists():
        raise NotRequested(
            "That workstation has neither requested a hand-off of this session nor stands in line for it."
        )
    return _place_for(target, session)


def _own_place(workstation: Workstation, session: AbstractEditSession) -> PlaceInLine | None:
    """Lock a workstation's place in the line for what a session holds; return it, or None without one."""
    return (
        PlaceInLine.objects.filter(rows_about([Lock.of(session)]), workstation=workstation)
        .select_related("item", "workstation__user")
        .select_for_update(of=("self",))
        .first()
    )


def _place_for(workstation: Workstation, session: AbstractEditSession) -> PlaceInLine:
    """Return a place, not saved, by which a workstation gets what a session holds."""
    return PlaceInLine(
        item=session.item,
        workstation=workstation,
        context_level=session.context_level,
        object_id=session.object_id,
    )
