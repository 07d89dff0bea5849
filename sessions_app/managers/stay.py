"""Heartbeat, arrival and departure of workstations, grace and idleness, as their sessions see it."""

import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from events_app import event_log, presence_store
from events_app.observation import observed_for
from events_app.restarting import restarting
from sessions_app import channels, payloads
from sessions_app.errors import NotConnected
from sessions_app.managers.end import Ending, Ids
from sessions_app.managers.own import lock_own_workstation
from sessions_app.models.item import Item
from sessions_app.models.workstation import Workstation

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from sessions_app.models.edit_session import EditSession

# What a client says of its idleness is whole seconds and comes late: the same thing said twice differs by less.
IDLE_JITTER = timedelta(seconds=5)


class Staying(Ending):
    """The part of `EditSession.objects` that keeps sessions, and lets those go that nobody keeps."""

    def touch_heartbeat(self, workstation_ids: Iterable[uuid.UUID]) -> int:
        """Keep the sessions of these workstations alive, in one statement; return how many there are.

        The rows are locked in id order, so that touches and ends that overlap do not deadlock.
        """
        rows = self.filter(workstation_id__in=list(workstation_ids))
        in_order = rows.order_by("pk").select_for_update(no_key=True).values("pk")
        return int(self.filter(pk__in=in_order).update(last_heartbeat=Now()))

    def alive(
        self,
        user: "User",
        workstation_id: uuid.UUID,
        connection_id: uuid.UUID | None = None,
        idle_seconds: float | None = None,
    ) -> None:
        """Note that a client is there: it has received a heartbeat, or has no stream and lives by this alone.

        Args:
            user: who says so; the workstation must be theirs.
            workstation_id: the workstation.
            connection_id: the stream whose heartbeat it acknowledges; None for all that it has.
            idle_seconds: for how long nobody has touched the workstation; less than a heartbeat is active. None
                if the client does not say.

        Raises:
            NotFound: no such workstation.
            Forbidden: somebody else's workstation, or a deactivated user.
            NotConnected: that stream has ended; a late acknowledgement of it keeps nothing alive.
        """
        with transaction.atomic():
            lock_own_workstation(user, workstation_id)
            acknowledged = presence_store.acknowledge(workstation_id, connection_id)
            if connection_id and not acknowledged:
                raise NotConnected("This event stream has ended; open a new one.")
            here = Workstation.objects.filter(pk=workstation_id)
            here.update(last_seen=Now())
            idle = None if idle_seconds is None else timedelta(seconds=idle_seconds)
            active = idle is not None and idle < settings.SESSIONS_IDLE_FROM
            events = self.come_back([workstation_id], active=active)
            if idle and not active:
                events += self._note_idle(workstation_id, idle)
            self.touch_heartbeat([workstation_id])
            event_log.append(events)

    def arrive(self, workstation_ids: Ids) -> None:
        """Keep the sessions of these workstations alive, whose rows the caller has locked: they are here."""
        with transaction.atomic():
            back = self.come_back(workstation_ids)
            self.touch_heartbeat(workstation_ids)
            event_log.append(back)

    def leave(self, workstation_ids: Ids, grace: timedelta) -> None:
        """Release the sessions of these workstations, whose rows the caller has locked: they are gone.

        With a grace they are only said to be away; `end_grace` releases them. It also ends what is more than one step.

        Raises:
            Busy: see `restarting`.
        """
        left = Workstation.objects.filter(pk__in=workstation_ids)
        if not grace:
            left.filter(idle_since__isnull=False).update(idle_since=None)
            if self.release_for_workstation(workstation_ids, leaving=workstation_ids).more:
                left.filter(Exists(self._held())).update(away_since=F("departed_at"))
            return
        with transaction.atomic():
            left.update(away_since=F("departed_at"))
            told = self._lock_items_of(self.filter(workstation__in=workstation_ids))
            event_log.append([payloads.away_event(*session) for session in told])

    def end_grace(self, grace: timedelta, limit: int, among: Ids | None = None) -> bool:
        """Release the sessions of workstations that departed longer ago than `grace` and have not come back: a step.

        Args:
            grace: how long they had; 0 for those of whose sessions their departure ended the first step only.
            limit: at most so many workstations.
            among: only these.

        Returns:
            Whether there may be more.
        """
        over = self.graces_over(grace)
        if among is not None:
            over = over.filter(pk__in=among)
        candidates = set(over.values_list("pk", flat=True)[:limit])
        if not candidates:
            return False

        def step(also: Ids) -> None:
            Workstation.objects.lock({*candidates, *also})
            # Who came back has said so in this row, under this lock: asked again by a later statement.
            gone = list(over.filter(pk__in=candidates).values_list("pk", flat=True))
            self.release_for_workstation(gone, leaving=gone)
            left = Workstation.objects.filter(~Exists(self._held()), pk__in=gone)
            left.update(away_since=None, idle_since=None)

        restarting(step)
        return True

    def graces_over(self, grace: timedelta) -> models.QuerySet[Workstation]:
        """Return the workstations that `end_grace` is about."""
        return Workstation.objects.away(grace).filter(observed_for(grace))

    def _held(self) -> models.QuerySet["EditSession"]:
        """Return what a workstation of an outer query holds."""
        held: models.QuerySet[EditSession] = self.filter(workstation=OuterRef("pk"))
        return held

    def come_back(
        self, workstation_ids: Ids, *, active: bool = False, also_lock: Ids = ()
    ) -> list[event_log.NewEvent]:
        """Forget the departures of these (locked) workstations: what they hold does not end with one of before.

        Locks the items of what is told of, and others that the caller is going to need.

        Args:
            workstation_ids: who is here.
            active: somebody is at them, too.
            also_lock: further items.

        Returns:
            The events that tell of it, to be appended at the end of the transaction.
        """
        here = Workstation.objects.filter(pk__in=workstation_ids)
        changed = Q(away_since__isnull=False)
        if active:
            changed |= Q(idle_since__isnull=False)
        ids = list(here.filter(changed).values_list("pk", flat=True))
        told = (
            self._lock_items_of(self.filter(workstation__in=ids), also_lock)
            if ids or also_lock
            else []
        )
        # Without a grace nobody was told that they are away: what is left of them was about to end.
        events = [
            payloads.back_event(session, to)
            for session, to in told
            if session.workstation.away_since and settings.SESSIONS_GRACE
        ]
        here.forget_departure()
        if active and ids:
            events += [payloads.active_event(s, to) for s, to in told if s.workstation.idle_since]
            here.filter(idle_since__isnull=False).update(idle_since=None)
        return events

    def _note_idle(self, workstation_id: uuid.UUID, idle: timedelta) -> list[event_log.NewEvent]:
        here = Workstation.objects.filter(pk=workstation_id)
        if not here.become_idle(idle, IDLE_JITTER):
            return []
        told = self._lock_items_of(self.filter(workstation=workstation_id))
        return [payloads.idle_event(*session) for session in told]

    def _lock_items_of(
        self, sessions: models.QuerySet["EditSession"], also_lock: Ids = ()
    ) -> list[tuple["EditSession", set[str]]]:
        """Lock the items of sessions of locked workstations; return each session with who is told of it."""
        items = set(sessions.values_list("item_id", flat=True)) | set(also_lock)
        Item.objects.lock(items)
        audiences = channels.audiences_of(self.holders(items), items)
        named = sessions.select_related("item", "user", "workstation").defer("dependency_cone")
        return [
            (session, audiences[session.item_id])
            for session in named.filter(item_id__in=items).order_by("pk")
        ]
