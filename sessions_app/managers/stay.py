"""Heartbeat, arrival and departure of workstations, grace and idleness, as their sessions see it."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from events_app.database.lock_retry import with_lock_retry
from events_app.log import event_log
from events_app.presence.outages import observed_for
from sessions_app import channels, payloads
from sessions_app.managers.end import Ending, Ids
from sessions_app.models.item import Item
from sessions_app.models.workstation import Workstation

if TYPE_CHECKING:
    from sessions_app.models.edit_session import EditSession


class Staying(Ending):
    """The part of `EditSession.objects` that keeps sessions, and lets those go that nobody keeps."""

    def touch_heartbeat(
        self,
        workstation_ids: Iterable[uuid.UUID],
        only: Q | None = None,
        *,
        wait: bool = True,
    ) -> int:
        """Keep the sessions of these workstations alive, in one statement; return how many there are.

        The rows are locked in id order, so that touches and ends that overlap do not deadlock.

        Args:
            workstation_ids: the workstations.
            only: which of their sessions.
            wait: whether to wait for those that somebody else has locked, and perhaps ends, at this moment.
        """
        rows = self.filter(only or Q(), workstation_id__in=list(workstation_ids)).order_by("pk")
        in_order = rows.select_for_update(no_key=True, skip_locked=not wait).values("pk")
        return int(self.filter(pk__in=in_order).update(last_heartbeat=Now()))

    def arrive(self, workstation_ids: Ids) -> None:
        """Keep the sessions of these workstations alive, whose rows the caller has locked: they are here."""
        with transaction.atomic():
            back = self.come_back(workstation_ids)
            self.touch_heartbeat(workstation_ids)
            event_log.append(back)

    def leave(self, workstation_ids: Ids, grace: timedelta) -> bool:
        """Release the sessions of these workstations, whose rows the caller has locked: they are gone.

        With a grace they are only said to be away; `end_grace` releases them. It also ends what is more than one step.

        Returns:
            Whether there is more than one step, which `end_grace` ends as soon as it is called.

        Raises:
            NeedsLocks: see `with_lock_retry`.
        """
        left = Workstation.objects.filter(pk__in=workstation_ids)
        if not grace:
            left.filter(idle_since__isnull=False).update(idle_since=None)
            ended = self.release_for_workstation(workstation_ids, leaving=workstation_ids)
            if ended.more:
                left.filter(Exists(self._held())).update(away_since=F("departed_at"))
            return ended.more
        with transaction.atomic():
            left.update(away_since=F("departed_at"))
            told = self._lock_items_of(self.filter(workstation__in=workstation_ids))
            event_log.append([payloads.away_event(*session) for session in told])
        return False

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

        with_lock_retry(step)
        return True

    def graces_over(self, grace: timedelta) -> models.QuerySet[Workstation]:
        """Return the workstations that `end_grace` is about."""
        return Workstation.objects.away(grace).filter(observed_for(grace))

    def _held(self) -> models.QuerySet["EditSession"]:
        """Return what a workstation of an outer query holds."""
        held: models.QuerySet[EditSession] = self.filter(workstation=OuterRef("pk"))
        return held

    def come_back(
        self,
        workstation_ids: Ids,
        *,
        active: Ids = (),
        idle: Mapping[uuid.UUID, datetime] | None = None,
        also_lock: Ids = (),
    ) -> list[event_log.NewEvent]:
        """Forget the departures of these (locked) workstations: what they hold does not end with one of before.

        Locks the items of what is told of, and others that the caller is going to need.

        Args:
            workstation_ids: who is here.
            active: those of them at which somebody is.
            idle: those at which nobody is, which is news, and since when.
            also_lock: further items.

        Returns:
            The events that tell of it, to be appended at the end of the transaction.
        """
        idle = idle or {}
        here = Workstation.objects.filter(pk__in=workstation_ids)
        changed = Q(pk__in=workstation_ids, away_since__isnull=False) | Q(pk__in=idle)
        changed |= Q(pk__in=active, idle_since__isnull=False)
        ids = list(Workstation.objects.filter(changed).values_list("pk", flat=True))
        told = (
            self._lock_items_of(self.filter(workstation__in=ids), also_lock)
            if ids or also_lock
            else []
        )
        # Without a grace nobody was told that they are away: what is left of them was about to end.
        events = [
            payloads.back_event(session, to)
            for session, to in told
            if session.workstation_id in workstation_ids
            and session.workstation.away_since
            and settings.SESSIONS_GRACE
        ]
        here.forget_departure()
        if active and ids:
            events += [
                payloads.active_event(s, to)
                for s, to in told
                if s.workstation_id in active and s.workstation.idle_since
            ]
            Workstation.objects.filter(pk__in=active, idle_since__isnull=False).update(
                idle_since=None
            )
        if idle:
            Workstation.objects.become_idle(idle)
            events += self._idle_events(told, idle)
        return events

    def _idle_events(
        self,
        told: Iterable[tuple["EditSession", set[str]]],
        idle: Mapping[uuid.UUID, datetime],
    ) -> list[event_log.NewEvent]:
        events = []
        for session, audience in told:
            if since := idle.get(session.workstation_id):
                session.workstation.idle_since = since
                events.append(payloads.idle_event(session, audience))
        return events

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
