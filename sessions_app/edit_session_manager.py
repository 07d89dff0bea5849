"""How edit sessions come, live and go. Locks and their order: docs/architecture.md, "One order of locks"."""

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Now

from events_app import event_log, presence_store
from events_app.models import Connection
from events_app.observation import observed_for
from sessions_app import channels, payloads
from sessions_app.edit_session_queryset import EditSessionQuerySet
from sessions_app.errors import Forbidden, HardInterference, NotConnected, NotFound, StaleToken
from sessions_app.models.ended_session import EndedSession, EndReason
from sessions_app.models.item import Item
from sessions_app.models.workstation import Workstation

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from sessions_app.models.edit_session import EditSession


@dataclass(frozen=True)
class Wanted:
    """What a workstation wants to edit."""

    part_number: str
    context_level: str
    object_id: str = ""
    dependency_cone: Sequence[str] = ()


@dataclass(frozen=True)
class Conflict:
    """Another workstation's session whose cone meets the wanted one's."""

    session: "EditSession"
    shared: Sequence[str]


@dataclass(frozen=True)
class Acquired:
    """The answer to an acquire: the session, whether it was held already, and whom it meets."""

    session: "EditSession"
    existing: bool = False
    conflicts: Sequence[Conflict] = field(default_factory=list)


class EditSessionManager(models.Manager.from_queryset(EditSessionQuerySet)):  # type: ignore[misc]
    """Every change of an edit session goes through here."""

    def acquire(
        self,
        user: "User",
        workstation_id: uuid.UUID,
        wanted: Wanted,
        connection_id: uuid.UUID | None = None,
    ) -> Acquired:
        """Give a workstation the session that it wants, or the one it has.

        Args:
            user: who asks; the workstation must be theirs.
            workstation_id: the workstation.
            wanted: what it wants to edit.
            connection_id: the stream that the client has open. If it has ended, the client has too.

        Raises:
            NotFound: no such workstation or item.
            Forbidden: somebody else's workstation, or the user was deactivated meanwhile.
            NotConnected: the connection has ended.
            HardInterference: another workstation holds the object.
        """
        with transaction.atomic():
            workstation = self._lock_own_workstation(user, workstation_id)
            if (
                connection_id
                and not Connection.objects.filter(pk=connection_id, key=workstation_id).exists()
            ):
                raise NotConnected("The event stream of this connection has ended; open a new one.")
            item = _find_item(wanted.part_number)
            back: list[event_log.NewEvent] = []
            if workstation.departed_at is None:
                Item.objects.lock([item.pk])
            else:
                back = self._come_back([workstation_id], also_lock=[item.pk])
            held = (
                self.with_names()
                .filter(item=item, context_level=wanted.context_level, object_id=wanted.object_id)
                .first()
            )
            if held and held.workstation_id != workstation_id:
                raise _hard_interference(held)
            meeting = (
                self.with_names()
                .order_by("pk")
                .meeting(item.pk, workstation_id, wanted.object_id, wanted.dependency_cone)
            )
            conflicts = [Conflict(other, other.shared) for other in meeting]
            if held:
                if wanted.dependency_cone:
                    self.filter(pk=held.pk).update(dependency_cone=list(wanted.dependency_cone))
                self.touch_heartbeat([workstation_id])
                event_log.append(back)
                held.refresh_from_db(fields=["last_heartbeat", "dependency_cone"])
                return Acquired(held, existing=True, conflicts=conflicts)
            session = self.create(
                item=item,
                workstation=workstation,
                user=user,
                context_level=wanted.context_level,
                object_id=wanted.object_id,
                dependency_cone=list(wanted.dependency_cone),
            )
            audience = channels.audiences(self.filter(item=item), [item.pk])[item.pk]
            interference = "soft" if conflicts else "none"
            event_log.append([*back, payloads.acquired_event(session, interference, audience)])
        return Acquired(session, conflicts=conflicts)

    def touch_heartbeat(self, workstation_ids: Iterable[uuid.UUID]) -> int:
        """Keep the sessions of these workstations alive, in one statement; return how many there are.

        The rows are locked in id order, so that touches and ends that overlap do not deadlock.
        """
        rows = self.filter(workstation_id__in=list(workstation_ids))
        in_order = rows.order_by("pk").select_for_update(no_key=True).values("pk")
        return int(self.filter(pk__in=in_order).update(last_heartbeat=Now()))

    def expire_stale(
        self, timeout: timedelta, limit: int | None = None, *, only_observed: bool = False
    ) -> list[EndedSession]:
        """End the sessions without a heartbeat for longer than `timeout`.

        Args:
            timeout: how long a session lives without a heartbeat.
            limit: at most so many.
            only_observed: end nothing unless some server has been there to hear a heartbeat for all that time.

        Returns:
            The records of those that ended.
        """
        stale = self.stale(timeout)
        if only_observed:
            stale = stale.filter(observed_for(timeout))
        return self.end(stale, EndReason.EXPIRED, limit=limit)

    def alive(
        self, user: "User", workstation_id: uuid.UUID, connection_id: uuid.UUID | None = None
    ) -> None:
        """Note that a client is there: it has received a heartbeat, or has no stream and lives by this alone.

        Args:
            user: who says so; the workstation must be theirs.
            workstation_id: the workstation.
            connection_id: the stream whose heartbeat it acknowledges; None for all that it has.

        Raises:
            NotFound: no such workstation.
            Forbidden: somebody else's workstation, or a deactivated user.
            NotConnected: that stream has ended; a late acknowledgement of it keeps nothing alive.
        """
        with transaction.atomic():
            self._lock_own_workstation(user, workstation_id)
            acknowledged = presence_store.acknowledge(workstation_id, connection_id)
            if connection_id and not acknowledged:
                raise NotConnected("This event stream has ended; open a new one.")
            Workstation.objects.filter(pk=workstation_id).update(last_seen=Now())
            self.arrive([workstation_id])

    def arrive(self, workstation_ids: Collection[uuid.UUID]) -> None:
        """Keep the sessions of these workstations alive, whose rows the caller has locked: they are here."""
        with transaction.atomic():
            back = self._come_back(workstation_ids)
            self.touch_heartbeat(workstation_ids)
            event_log.append(back)

    def leave(self, workstation_ids: Collection[uuid.UUID], grace: timedelta) -> None:
        """Release the sessions of these workstations, whose rows the caller has locked: they are gone.

        With a grace they are only said to be away; `end_grace` releases them.
        """
        if not grace:
            self.release_for_workstation(workstation_ids)
            return
        with transaction.atomic():
            away = Workstation.objects.filter(pk__in=workstation_ids)
            away.update(away_since=F("departed_at"))
            sessions = self.filter(workstation__in=away)
            event_log.append(self._events_of_all(sessions, payloads.away_event))

    def end_grace(self, grace: timedelta, limit: int) -> list[EndedSession]:
        """Release the sessions of workstations that departed longer ago than `grace` and have not come back.

        Args:
            grace: how long they had.
            limit: at most so many workstations.
        """
        over = Workstation.objects.away(grace).filter(observed_for(grace))
        candidates = list(over.values_list("pk", flat=True)[:limit])
        if not candidates:
            return []
        with transaction.atomic():
            # Who came back has said so in this row, under this lock.
            gone = over.lock(candidates)
            ended = self.release_for_workstation([workstation.pk for workstation in gone])
            Workstation.objects.filter(pk__in=[w.pk for w in gone]).update(away_since=None)
            return ended

    def release_deactivated(self, limit: int | None = None) -> list[EndedSession]:
        """Release what deactivated users hold.

        An acquire that was under way when its user was deactivated has either seen that, under the lock of its
        workstation, or what it acquired is seen here, a sweep later at the most.
        """
        users = get_user_model().objects.filter(is_active=False)
        return self.end(
            self.filter(user__in=users),
            EndReason.FORCE_RELEASED,
            limit=limit,
            note="The user was deactivated.",
        )

    def release(self, session_id: uuid.UUID) -> EndedSession:
        """End one session at its holder's wish.

        Raises:
            NotFound: if it has ended already.
        """
        return self._end_one(session_id, EndReason.RELEASED)

    def force_release(self, session_id: uuid.UUID, by: str, note: str) -> EndedSession:
        """End one session against its holder's wish.

        Args:
            session_id: the session.
            by: the name of who does it.
            note: why.

        Raises:
            NotFound: if it has ended already.
        """
        return self._end_one(session_id, EndReason.FORCE_RELEASED, ended_by=by, note=note)

    def release_for_workstation(
        self, workstation_ids: Iterable[uuid.UUID], reason: EndReason = EndReason.DISCONNECTED
    ) -> list[EndedSession]:
        """End every session of these workstations, whose rows the caller has locked."""
        return self.end(self.filter(workstation_id__in=list(workstation_ids)), reason)

    def release_all(self, workstation_id: uuid.UUID) -> list[EndedSession]:
        """End every session of one workstation at its user's wish, or an administrator's."""
        with transaction.atomic():
            Workstation.objects.lock([workstation_id])
            return self.release_for_workstation([workstation_id], EndReason.RELEASED)

    def verify(self, part_number: str, session_id: uuid.UUID, fencing_token: int) -> "EditSession":
        """Return a session, with its names, if it is live with this token.

        Raises:
            StaleToken: if it is not: it has ended, or the token is another one's.
        """
        session = (
            self.with_names()
            .filter(pk=session_id, item__part_number=part_number, fencing_token=fencing_token)
            .first()
        )
        if session is None:
            raise StaleToken("This session has ended, or the token is not its own: do not write.")
        live: EditSession = session
        return live

    def end(
        self,
        candidates: models.QuerySet["EditSession"],
        reason: EndReason,
        *,
        limit: int | None = None,
        ended_by: str = "",
        note: str = "",
    ) -> list[EndedSession]:
        """End sessions: the only way there is. Row, record and event go in one transaction.

        Args:
            candidates: those to end. Its conditions are of the session's own columns: they are checked again
                when the rows are locked.
            reason: how they end.
            limit: at most so many.
            ended_by: who ends them by force.
            note: why they are ended by force.

        Returns:
            The records of those that this call ended, in the order of the sessions' ids.
        """
        found = dict(candidates.values_list("pk", "item_id")[:limit])
        if not found:
            return []
        with transaction.atomic():
            Item.objects.lock(set(found.values()))
            ending = list(
                candidates.filter(pk__in=found)
                .select_related("item", "user", "workstation")
                .defer("dependency_cone")
                .annotate(ended_at=Now())
                .order_by("pk")
                .select_for_update(of=("self",))
            )
            records = EndedSession.objects.bulk_create(
                EndedSession.of(session, reason, ended_by, note) for session in ending
            )
            self.filter(pk__in=[session.pk for session in ending]).delete()
            event_log.append(self._events_of_end(records))
        return records

    def _end_one(
        self, session_id: uuid.UUID, reason: EndReason, ended_by: str = "", note: str = ""
    ) -> EndedSession:
        ended = self.end(self.filter(pk=session_id), reason, ended_by=ended_by, note=note)
        if not ended:
            raise NotFound("There is no such session, or it has ended.")
        return ended[0]

    def _events_of_end(self, records: Sequence[EndedSession]) -> list[event_log.NewEvent]:
        items = {record.item_id for record in records}
        # Who else holds a session on the item. Those that end here are told of their own end only: of two that
        # end at the same moment neither holds it any more.
        audiences = channels.audiences(self.filter(item_id__in=items), items)
        events = []
        for record in records:
            if record.reason == EndReason.FORCE_RELEASED:
                events.append(payloads.force_released_event(record))
            events.append(payloads.released_event(record, audiences[record.item_id]))
        return events

    def _lock_own_workstation(self, user: "User", workstation_id: uuid.UUID) -> Workstation:
        locked = Workstation.objects.lock([workstation_id])
        if not locked:
            raise NotFound("There is no such workstation; register it first.")
        workstation = locked[0]
        if workstation.user_id != user.pk:
            raise Forbidden("This workstation is somebody else's.")
        # Asked after the lock: a deactivation releases under the same lock, before or after this.
        if not get_user_model().objects.filter(pk=user.pk, is_active=True).exists():
            raise Forbidden("This user is deactivated.")
        return workstation

    def _come_back(
        self, workstation_ids: Collection[uuid.UUID], also_lock: Collection[uuid.UUID] = ()
    ) -> list[event_log.NewEvent]:
        """Forget the departures of these (locked) workstations: what they hold does not end with one of before.

        Locks the items of what they held while away, and others that the caller is going to need.

        Returns:
            The events that tell of it, to be appended at the end of the transaction.
        """
        here = Workstation.objects.filter(pk__in=workstation_ids)
        away = list(here.filter(away_since__isnull=False).values_list("pk", flat=True))
        sessions = self.filter(workstation_id__in=away)
        events = self._events_of_all(sessions, payloads.back_event, also_lock)
        here.forget_departure()
        return events

    def _events_of_all(
        self,
        sessions: models.QuerySet["EditSession"],
        event: Callable[["EditSession", set[str]], event_log.NewEvent],
        also_lock: Collection[uuid.UUID] = (),
    ) -> list[event_log.NewEvent]:
        """Lock the items of the sessions and return one event for each session."""
        items = set(sessions.values_list("item_id", flat=True)) | set(also_lock)
        Item.objects.lock(items)
        audiences = channels.audiences(self.filter(item_id__in=items), items)
        named = sessions.select_related("item", "user", "workstation").defer("dependency_cone")
        return [
            event(session, audiences[session.item_id])
            for session in named.filter(item_id__in=items).order_by("pk")
        ]


def _find_item(part_number: str) -> Item:
    item = Item.objects.filter(part_number=part_number).first()
    if item is None:
        raise NotFound("There is no such item.")
    return item


def _hard_interference(held: "EditSession") -> HardInterference:
    return HardInterference(
        f"{held.user.get_username()} is editing this on {held.workstation.name}.",
        holder=payloads.holder_json(held),
    )
