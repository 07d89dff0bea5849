"""Asking for somebody's edit session, handing one over, and proving that one is live."""

import uuid
from collections.abc import Collection
from typing import TYPE_CHECKING

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
from sessions_app.managers.alive import Living
from sessions_app.models.ended_session import EndReason
from sessions_app.models.item import Item, of_item
from sessions_app.models.place_in_line import PlaceInLine
from sessions_app.models.results import Acquired
from sessions_app.models.workstation import Workstation
from sessions_app.operations.access import check_connected, lock_own_workstation
from sessions_app.roles import Role

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from sessions_app.models.edit_session import EditSession


class HandingOff(Living):
    """The part of `EditSession.objects` in which users ask each other."""

    def request_handoff(
        self,
        user: "User",
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
        from sessions_app.models.handoff_request import HandoffRequest  # which imports EditSession

        with transaction.atomic():
            if workstation_id is not None:
                lock_own_workstation(user, workstation_id)
            session = self._lock_item_of(session_id)
            if session.user_id == user.pk:
                raise OwnSession("This edit session is your own.")
            asked = HandoffRequest.objects.filter(
                session=session, user=user, workstation=workstation_id
            )
            if not asked.update(requested_at=Now()):
                HandoffRequest.objects.create(
                    session=session, user=user, workstation_id=workstation_id
                )
            event_log.append(
                [payloads.handoff_requested_event(session, user, workstation_id, message)]
            )

    def hand_off(
        self, user: "User", session_id: uuid.UUID, to_workstation_id: uuid.UUID
    ) -> Acquired:
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
            session = self._lock_item_of(session_id)
            if session.user_id != user.pk:
                raise Forbidden("This edit session is somebody else's.")
            session.item.check_not_retired()
            # Asked after the lock of the workstation, under which it would leave.
            target = Workstation.objects.select_related("user").get(pk=to_workstation_id)
            place = self._place_of(target, session)
            place.dependency_cone = place.dependency_cone or session.dependency_cone

            def to_target(locks: Collection[Lock]) -> list[PlaceInLine]:
                return [place]

            ended = self.end(self.filter(pk=session_id), EndReason.HANDED_OFF, turns=to_target)
            # It stays under the lock of its item, so it has ended now.
            [acquired] = ended.granted
            return acquired

    def take_over(
        self,
        user: "User",
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
            items = list(self.filter(pk=session_id).values_list("item_id", flat=True))
            # An acquire by hand: as any other, it says that somebody is there.
            here = self.come_back([workstation_id], active=[workstation_id], also_lock=items)
            workstation.away_since = workstation.idle_since = None
            session = self._lock_item_of(session_id)
            session.item.check_not_retired()
            place = self._own_place(workstation, session) or self._place_for(workstation, session)
            place.workstation = workstation
            place.dependency_cone = place.dependency_cone or session.dependency_cone
            place.connection_id = connection_id

            def to_taker(locks: Collection[Lock]) -> list[PlaceInLine]:
                return [place]

            ended = self.end(
                self.filter(pk=session_id),
                EndReason.FORCE_RELEASED,
                ended_by=user.get_username(),
                note=reason,
                turns=to_taker,
                told_first=here,
            )
            # It stays under the lock of its item, so it has ended now.
            [acquired] = ended.granted
            return acquired

    def verify(self, part_number: str, session_id: uuid.UUID, fencing_token: int) -> "EditSession":
        """Return a session, with its names, if it is live with this token.

        Raises:
            StaleToken: if it is not: it has ended, or the token is another one's.
        """
        session = (
            self.with_names()
            .filter(of_item(part_number), pk=session_id, fencing_token=fencing_token)
            .first()
        )
        if session is None:
            raise StaleToken("This session has ended, or the token is not its own: do not write.")
        live: EditSession = session
        return live

    def _lock_item_of(self, session_id: uuid.UUID) -> "EditSession":
        """Lock the item of a session, under which it stays; return the session with its names.

        Raises:
            NotFound: if it has ended.
        """
        items = list(self.filter(pk=session_id).values_list("item_id", flat=True))
        Item.objects.lock(items)
        session = self.with_names().filter(pk=session_id).first()
        if session is None:
            raise NotFound("There is no such session, or it has ended.")
        if session.item_id not in items:
            # That was merged into another one meanwhile.
            return self._lock_item_of(session_id)
        live: EditSession = session
        return live

    def _place_of(self, target: Workstation, session: "EditSession") -> PlaceInLine:
        """Return the target's place in line for this session, or one for having asked.

        Raises:
            NotConnected, NotAnEditor, NotRequested: see `hand_off`.
        """
        from sessions_app.models.handoff_request import HandoffRequest  # which imports EditSession

        if not Workstation.objects.served().filter(pk=target.pk).exists():
            raise NotConnected("That workstation has no event stream open.")
        if not Role.EDITOR.users().filter(pk=target.user_id).exists():
            raise NotAnEditor("The user of that workstation may not edit.")
        if place := self._own_place(target, session):
            return place
        asked = Q(workstation=target) | Q(workstation=None, user=target.user_id)
        if not HandoffRequest.objects.filter(asked, session=session).exists():
            raise NotRequested("That workstation has not asked, and does not stand in line.")
        return self._place_for(target, session)

    def _own_place(self, workstation: Workstation, session: "EditSession") -> PlaceInLine | None:
        """Lock a workstation's place in the line for what a session holds; return it, or None without one."""
        place: PlaceInLine | None = (
            PlaceInLine.objects.filter(rows_about([Lock.of(session)]), workstation=workstation)
            .select_related("item", "workstation__user")
            .select_for_update(of=("self",))
            .first()
        )
        return place

    def _place_for(self, workstation: Workstation, session: "EditSession") -> PlaceInLine:
        """Return a place, not saved, by which a workstation gets what a session holds."""
        return PlaceInLine(
            item=session.item,
            workstation=workstation,
            context_level=session.context_level,
            object_id=session.object_id,
        )
