"""Every end of an edit session, and what follows from it in the same transaction: whose turn it is, who is freed."""

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import models, transaction
from django.db.models import Max
from django.db.models.functions import Now

from events_app.database.lock_retry import NeedsLocks, with_lock_retry
from events_app.log import event_log
from events_app.presence.outages import observed_for
from sessions_app import channels, payloads
from sessions_app.errors import NotFound
from sessions_app.locks import Lock, rows_about
from sessions_app.managers.acquire import Acquiring
from sessions_app.managers.conflicts import take_away
from sessions_app.models.edit_session_queryset import Holders
from sessions_app.models.ended_session import EndedSession, EndReason
from sessions_app.models.item import Item
from sessions_app.models.place_in_line import PlaceInLine
from sessions_app.models.results import Acquired, Ended
from sessions_app.models.workstation import Workstation
from sessions_app.steps import STEP_NODE_KEYS, STEP_SESSIONS, few_enough

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from sessions_app.models.abstract_edit_session import AbstractEditSession
    from sessions_app.models.edit_session import EditSession

Ids = Collection[uuid.UUID]
# Whose turn it is for each of these locks, if anybody's; their workstations are locked.
Turns = Callable[[Collection[Lock]], Sequence[PlaceInLine]]


class Ending(Acquiring):
    """The part of `EditSession.objects` that ends sessions."""

    def release(self, session_id: uuid.UUID) -> EndedSession:
        """End one session at its holder's wish.

        Raises:
            NotFound: if it has ended already.
        """
        return self._end_one(session_id, EndReason.RELEASED)

    def release_many(self, user: "User", session_ids: Ids) -> list[EndedSession]:
        """End sessions at their holder's wish: those that are this user's and have not ended; in steps.

        Args:
            user: who wishes it.
            session_ids: the sessions, on whichever workstations of the user.
        """
        return self._end_any(self.filter(pk__in=session_ids, user=user), EndReason.RELEASED)

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

    def force_release_all(self, session_ids: Ids, by: str, note: str) -> list[EndedSession]:
        """End sessions against their holders' wish: those of them that have not ended; in steps.

        Args:
            session_ids: the sessions.
            by: the name of who does it.
            note: why.
        """
        sessions = self.filter(pk__in=session_ids)
        return self._end_any(sessions, EndReason.FORCE_RELEASED, ended_by=by, note=note)

    def release_for_workstation(
        self,
        workstation_ids: Iterable[uuid.UUID],
        reason: EndReason = EndReason.DISCONNECTED,
        *,
        ended_by: str = "",
        leaving: Ids = (),
    ) -> Ended:
        """End a step of the sessions of these workstations, whose rows the caller has locked; see `end`."""
        held = self.filter(workstation_id__in=list(workstation_ids))
        return self.end(held, reason, ended_by=ended_by, leaving=leaving)

    def release_all(self, workstation_id: uuid.UUID, ended_by: str = "") -> list[EndedSession]:
        """End every session of one workstation at its user's wish, or an administrator's, whom the records name.

        In steps, until all have ended that were there at the beginning.
        """
        held = self.filter(workstation_id=workstation_id)
        held = held.filter(
            acquired_at__lte=held.aggregate(last=Max("acquired_at"))["last"] or Now()
        )

        def step(also: Ids) -> Ended:
            Workstation.objects.lock({workstation_id, *also})
            return self.end(held, EndReason.RELEASED, ended_by=ended_by)

        return _all_steps(step)

    def expire_stale(
        self,
        timeout: timedelta,
        limit: int | None = None,
        *,
        only_observed: bool = False,
        among: Ids | None = None,
    ) -> list[EndedSession]:
        """End the sessions without a heartbeat for longer than `timeout`, a step of them.

        Args:
            timeout: how long a session lives without a heartbeat.
            limit: at most so many.
            only_observed: end nothing unless some server has been there to hear a heartbeat for all that time.
            among: only these.

        Returns:
            The records of those that ended.
        """
        stale = self.to_expire(timeout, only_observed=only_observed)
        if among is not None:
            stale = stale.filter(pk__in=among)
        return with_lock_retry(self._ending(stale, EndReason.EXPIRED, limit=limit)).records

    def to_expire(self, timeout: timedelta, *, only_observed: bool) -> Any:
        """Return the sessions that `expire_stale` ends."""
        stale = self.stale(timeout)
        return stale.filter(observed_for(timeout)) if only_observed else stale

    def expire_idle(
        self, timeout: timedelta, limit: int, among: Ids | None = None
    ) -> list[EndedSession]:
        """End the sessions of workstations that nobody has touched for longer than `timeout`, a step of them.

        A session that it got meanwhile, by its turn in a line, is given as long.

        Args:
            timeout: how long somebody may be away.
            limit: at most so many sessions.
            among: only these.
        """
        idle = Workstation.objects.idle(timeout).filter(observed_for(timeout))
        candidates = self.to_expire_idle(timeout)
        if among is not None:
            candidates = candidates.filter(pk__in=among)
        found = dict(candidates.values_list("pk", "workstation_id")[:limit])
        if not found:
            return []

        def operation(also: Ids) -> list[EndedSession]:
            Workstation.objects.lock({*found.values(), *also})
            # Who is back has said so in this row, under this lock: asked again by a later statement.
            still = set(idle.filter(pk__in=set(found.values())).values_list("pk", flat=True))
            ending = [pk for pk, workstation in found.items() if workstation in still]
            return self.end(self.filter(pk__in=ending), EndReason.IDLE).records

        return with_lock_retry(operation)

    def to_expire_idle(self, timeout: timedelta) -> Any:
        """Return the sessions that `expire_idle` ends."""
        idle = Workstation.objects.idle(timeout).filter(observed_for(timeout))
        return self.older_than(timeout).filter(workstation__in=idle)

    def release_deactivated(self, among: Ids | None = None) -> list[EndedSession]:
        """Release what deactivated users hold; of these sessions, if they are given, a step.

        An acquire that was under way when its user was deactivated has either seen that, under the lock of its
        workstation, or what it acquired is seen here, a sweep later at the most.
        """
        held = self.of_deactivated()
        if among is not None:
            held = held.filter(pk__in=among)
        step = self._ending(held, EndReason.FORCE_RELEASED, note="The user was deactivated.")
        return _all_steps(step) if among is None else with_lock_retry(step).records

    def of_deactivated(self) -> Any:
        """Return the sessions of users who are not active."""
        return self.filter(user__is_active=False)

    def end(
        self,
        candidates: models.QuerySet["EditSession"],
        reason: EndReason,
        *,
        limit: int | None = None,
        ended_by: str = "",
        note: str = "",
        leaving: Ids = (),
        turns: Turns | None = None,
        told_first: Sequence[event_log.NewEvent] = (),
    ) -> Ended:
        """End sessions, a step of them: the only way there is. Row, record, events and turns go in one transaction.

        Args:
            candidates: those to end. Its conditions are of the session's own columns: they are checked again
                when the rows are locked.
            reason: how they end.
            limit: at most so many; never more than one step.
            ended_by: who ends them, if it is not their user.
            note: why they are ended by force.
            leaving: workstations, locked by the caller, that lose their places in line with it.
            turns: whose turn it is then, if it is not the line that says so.
            told_first: events of the caller's, which come before those of the ends.

        Returns:
            What this call ended, in the order of the sessions' ids, and what it gave.

        Raises:
            NeedsLocks: it is the turn of a workstation that another transaction has locked, or an item was merged.
        """
        most = min(limit or STEP_SESSIONS, STEP_SESSIONS)
        rows = candidates.values_list("pk", "item_id", "context_level", "object_id", "node_keys")
        sized = [
            ((pk, Lock(item, level, name)), size)
            for pk, item, level, name, size in rows[: most + 1]
        ]
        found = dict(few_enough(sized[:most], STEP_NODE_KEYS))
        if not found and not leaving:
            return Ended()
        with transaction.atomic(savepoint=False):
            items = {lock.item_id for lock in found.values()}
            if len(Item.objects.lock(items)) < len(items):
                # One was merged into another meanwhile, which has the sessions now: looked for again.
                raise NeedsLocks(())
            if leaving:
                PlaceInLine.objects.filter(workstation__in=leaving).delete()
            next_ones = (turns or PlaceInLine.objects.turns)(set(found.values()))
            ending: Sequence[AbstractEditSession] = list(
                candidates.filter(pk__in=found)
                .select_related("item", "user", "workstation")
                .defer("dependency_cone")
                .annotate(ended_at=Now())
                .order_by("pk")
                .select_for_update(of=("self",))
            )
            holders = self.holders(items)
            locked, ending = ending, self.few_enough(ending, holders)
            # Who else holds a session on the items. Those that end here are told of their own end only: of two
            # that end at the same moment neither holds the item any more.
            take_away(ending, holders)
            audiences = channels.audiences_of(holders, items)
            freed = self.freed(ending, holders)
            records = EndedSession.objects.bulk_create(
                EndedSession.of(session, reason, ended_by, note) for session in ending
            )
            self.filter(pk__in=[session.pk for session in ending]).delete()
            free = {Lock.of(record) for record in records}
            places = [place for place in next_ones if Lock.of(place) in free]
            granted, met = self._grant(places, holders)
            event_log.append(
                [
                    *told_first,
                    *payloads.end_events(records, audiences),
                    *payloads.grant_events(granted, audiences),
                    *(payloads.resolved_event(left, ended) for left, ended in freed),
                    *met,
                ]
            )
        return Ended(records, granted, more=len(found) < len(sized) or len(ending) < len(locked))

    def grant_what_is_free(self, limit: int) -> list[Acquired]:
        """Give what is free though somebody stands in line for it: all were away when it ended.

        Args:
            limit: at most so many.
        """
        waiting = PlaceInLine.objects.of_free_locks().reachable()
        return self.grant_free(waiting.order_by("number").values_list("pk", flat=True)[:limit])

    def grant_free(self, places: Ids) -> list[Acquired]:
        """Give what these places wait for to the first in its line, if it is free.

        Where somebody else has one of their workstations locked, they are left to the next call.
        """
        found = {
            Lock.of(place)
            for place in PlaceInLine.objects.filter(pk__in=list(places)).defer("dependency_cone")
        }
        if not found:
            return []

        try:
            return self._grant_free(found)
        except NeedsLocks as busy:
            theirs = PlaceInLine.objects.filter(rows_about(found), workstation__in=busy.keys)
            found -= {Lock.of(place) for place in theirs.defer("dependency_cone")}
        with suppress(NeedsLocks):
            return self._grant_free(found)
        return []

    def _grant_free(self, locks: Collection[Lock]) -> list[Acquired]:
        items = {lock.item_id for lock in locks}
        with transaction.atomic():
            Item.objects.lock(items)
            free = set(locks) - self.held(locks).keys()
            holders = self.holders(items)
            audiences = channels.audiences_of(holders, items)
            granted, met = self._grant(PlaceInLine.objects.turns(free), holders)
            event_log.append([*payloads.grant_events(granted, audiences), *met])
        return granted

    def _grant(
        self, places: Sequence[PlaceInLine], holders: Holders
    ) -> tuple[list[Acquired], list[event_log.NewEvent]]:
        """Give these places, whose items and workstations are locked, what they wait for; it is free.

        Args:
            places: the places.
            holders: who holds how much on their items.

        Returns:
            What they got, and what tells of whom that meets.
        """
        if not places:
            return [], []
        PlaceInLine.objects.filter(pk__in=[place.pk for place in places]).delete()
        sessions = self.begin(
            self.model(
                item=place.item,
                workstation=place.workstation,
                user=place.workstation.user,
                connection_id=place.connection_id,
                context_level=place.context_level,
                object_id=place.object_id,
                dependency_cone=place.dependency_cone,
                note=place.note,
            )
            for place in places
        )
        conflicts = self.conflicts(sessions, {session.pk for session in sessions}, holders)
        granted = [
            Acquired(session, conflicts=conflicts.of.get(session.pk, [])) for session in sessions
        ]
        return granted, [*conflicts.events(sessions)]

    def _end_one(
        self, session_id: uuid.UUID, reason: EndReason, ended_by: str = "", note: str = ""
    ) -> EndedSession:
        ended = self._end_any(self.filter(pk=session_id), reason, ended_by=ended_by, note=note)
        if not ended:
            raise NotFound("There is no such session, or it has ended.")
        return ended[0]

    def _end_any(
        self,
        candidates: models.QuerySet["EditSession"],
        reason: EndReason,
        *,
        ended_by: str = "",
        note: str = "",
    ) -> list[EndedSession]:
        """End sessions whose workstations need no lock; in steps, until all have ended."""
        return _all_steps(self._ending(candidates, reason, ended_by=ended_by, note=note))

    def _ending(
        self, candidates: models.QuerySet["EditSession"], reason: EndReason, **options: Any
    ) -> Callable[[Ids], Ended]:
        """Return the step that ends sessions whose workstations need no lock."""

        def step(also: Ids) -> Ended:
            Workstation.objects.lock(also)
            return self.end(candidates, reason, **options)

        return step


def _all_steps(step: Callable[[Ids], Ended]) -> list[EndedSession]:
    """Take a step, each in a transaction of its own, until nothing is left to end; return the records."""
    records = []
    while True:
        ended = with_lock_retry(step)
        records += ended.records
        if not ended.more:
            return records
