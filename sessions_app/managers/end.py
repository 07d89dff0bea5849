"""Every end of an edit session, and what follows from it in the same transaction: whose turn it is, who is freed."""

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import models, transaction
from django.db.models.functions import Now

from events_app import event_log
from events_app.observation import observed_for
from events_app.restarting import Busy, restarting
from sessions_app import channels, payloads
from sessions_app.errors import NotFound
from sessions_app.locks import Lock, rows_about
from sessions_app.managers.acquire import Acquired, Acquiring
from sessions_app.models.ended_session import EndedSession, EndReason
from sessions_app.models.item import Item
from sessions_app.models.place_in_line import PlaceInLine
from sessions_app.models.workstation import Workstation

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from sessions_app.models.edit_session import EditSession

Ids = Collection[uuid.UUID]
# Whose turn it is for each of these locks, if anybody's; their workstations are locked.
Turns = Callable[[Collection[Lock]], Sequence[PlaceInLine]]


@dataclass(frozen=True)
class Ended:
    """What ended, and who got what was free then."""

    records: list[EndedSession]
    granted: list[Acquired]


class Ending(Acquiring):
    """The part of `EditSession.objects` that ends sessions."""

    def release(self, session_id: uuid.UUID) -> EndedSession:
        """End one session at its holder's wish.

        Raises:
            NotFound: if it has ended already.
        """
        return self._end_one(session_id, EndReason.RELEASED)

    def release_many(self, user: "User", session_ids: Ids) -> list[EndedSession]:
        """End sessions at their holder's wish: those that are this user's and have not ended, in one transaction.

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
        """End sessions against their holders' wish: those of them that have not ended, in one transaction.

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
    ) -> list[EndedSession]:
        """End every session of these workstations, whose rows the caller has locked; see `end`."""
        held = self.filter(workstation_id__in=list(workstation_ids))
        return self.end(held, reason, ended_by=ended_by, leaving=leaving).records

    def release_all(self, workstation_id: uuid.UUID, ended_by: str = "") -> list[EndedSession]:
        """End every session of one workstation at its user's wish, or an administrator's, whom the records name."""

        def operation(also: Ids) -> list[EndedSession]:
            Workstation.objects.lock({workstation_id, *also})
            return self.release_for_workstation(
                [workstation_id], EndReason.RELEASED, ended_by=ended_by
            )

        return restarting(operation)

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
        return self._end_any(stale, EndReason.EXPIRED, limit=limit)

    def expire_idle(self, timeout: timedelta, limit: int) -> list[EndedSession]:
        """End the sessions of workstations that nobody has touched for longer than `timeout`.

        A session that it got meanwhile, by its turn in a line, is given as long.

        Args:
            timeout: how long somebody may be away.
            limit: at most so many sessions.
        """
        idle = Workstation.objects.idle(timeout).filter(observed_for(timeout))
        candidates = self.older_than(timeout).filter(workstation__in=idle)
        found = dict(candidates.values_list("pk", "workstation_id")[:limit])
        if not found:
            return []

        def operation(also: Ids) -> list[EndedSession]:
            Workstation.objects.lock({*found.values(), *also})
            # Who is back has said so in this row, under this lock: asked again by a later statement.
            still = set(idle.filter(pk__in=set(found.values())).values_list("pk", flat=True))
            ending = [pk for pk, workstation in found.items() if workstation in still]
            return self.end(self.filter(pk__in=ending), EndReason.IDLE).records

        return restarting(operation)

    def release_deactivated(self, limit: int | None = None) -> list[EndedSession]:
        """Release what deactivated users hold.

        An acquire that was under way when its user was deactivated has either seen that, under the lock of its
        workstation, or what it acquired is seen here, a sweep later at the most.
        """
        return self._end_any(
            self.filter(user__is_active=False),
            EndReason.FORCE_RELEASED,
            limit=limit,
            note="The user was deactivated.",
        )

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
        """End sessions: the only way there is. Row, record, events and turns go in one transaction.

        Args:
            candidates: those to end. Its conditions are of the session's own columns: they are checked again
                when the rows are locked.
            reason: how they end.
            limit: at most so many.
            ended_by: who ends them, if it is not their user.
            note: why they are ended by force.
            leaving: workstations, locked by the caller, that lose their places in line with it.
            turns: whose turn it is then, if it is not the line that says so.
            told_first: events of the caller's, which come before those of the ends.

        Returns:
            What this call ended, in the order of the sessions' ids, and what it gave.

        Raises:
            Busy: it is the turn of a workstation that somebody else has locked, or an item is merged; see `restarting`.
        """
        rows = candidates.values_list("pk", "item_id", "context_level", "object_id")[:limit]
        found = {pk: Lock(item, level, name) for pk, item, level, name in rows}
        if not found and not leaving:
            return Ended([], [])
        with transaction.atomic(savepoint=False):
            items = {lock.item_id for lock in found.values()}
            if len(Item.objects.lock(items)) < len(items):
                # One was merged into another meanwhile, which has the sessions now: looked for again.
                raise Busy(())
            if leaving:
                PlaceInLine.objects.filter(workstation__in=leaving).delete()
            next_ones = (turns or PlaceInLine.objects.turns)(set(found.values()))
            ending = list(
                candidates.filter(pk__in=found)
                .select_related("item", "user", "workstation")
                .defer("dependency_cone")
                .annotate(ended_at=Now())
                .order_by("pk")
                .select_for_update(of=("self",))
            )
            ended = [session.pk for session in ending]
            # Who else holds a session on the items. Those that end here are told of their own end only: of two
            # that end at the same moment neither holds the item any more.
            staying = self.filter(item_id__in=items).exclude(pk__in=ended)
            audiences = channels.audiences(staying, items)
            freed = self._freed(ending, audiences)
            records = EndedSession.objects.bulk_create(
                EndedSession.of(session, reason, ended_by, note) for session in ending
            )
            self.filter(pk__in=ended).delete()
            free = {Lock.of(record) for record in records}
            granted, met = self._grant([place for place in next_ones if Lock.of(place) in free])
            event_log.append(
                [
                    *told_first,
                    *payloads.end_events(records, audiences),
                    *payloads.grant_events(granted, audiences),
                    *(payloads.resolved_event(left, ended) for left, ended in freed),
                    *met,
                ]
            )
        return Ended(records, granted)

    def grant_what_is_free(self, limit: int) -> list[Acquired]:
        """Give what is free though somebody stands in line for it: all were away when it ended.

        Where somebody else has one of their workstations locked, they are left to the next call.

        Args:
            limit: at most so many.
        """
        waiting = PlaceInLine.objects.of_free_locks().reachable()
        oldest = waiting.order_by("number").defer("dependency_cone")[:limit]
        found = {Lock.of(place) for place in oldest}
        if not found:
            return []

        try:
            return self._grant_free(found)
        except Busy as busy:
            theirs = PlaceInLine.objects.filter(rows_about(found), workstation__in=busy.keys)
            found -= {Lock.of(place) for place in theirs.defer("dependency_cone")}
        with suppress(Busy):
            return self._grant_free(found)
        return []

    def _grant_free(self, locks: Collection[Lock]) -> list[Acquired]:
        items = {lock.item_id for lock in locks}
        with transaction.atomic():
            Item.objects.lock(items)
            free = set(locks) - self.held(locks).keys()
            audiences = channels.audiences(self.filter(item_id__in=items), items)
            granted, met = self._grant(PlaceInLine.objects.turns(free))
            event_log.append([*payloads.grant_events(granted, audiences), *met])
        return granted

    def _grant(
        self, places: Sequence[PlaceInLine]
    ) -> tuple[list[Acquired], list[event_log.NewEvent]]:
        """Give these places, whose items and workstations are locked, what they wait for; it is free.

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
        conflicts = self.conflicts(sessions, {session.pk for session in sessions})
        granted = [
            Acquired(session, conflicts=conflicts.of.get(session.pk, [])) for session in sessions
        ]
        return granted, [*conflicts.events(sessions)]

    def _freed(
        self, ending: Collection["EditSession"], audiences: Mapping[uuid.UUID, set[str]]
    ) -> list[tuple["EditSession", uuid.UUID]]:
        """Return the sessions of others that interfere softly with one that ends, each with that one's id."""
        ids = {
            session.pk
            for session in ending
            if channels.has_others(audiences[session.item_id], session.workstation_id)
        }
        if not ids:
            return []
        # Nobody is told of an end at which both end.
        ended = {session.pk for session in ending}
        meetings = [meeting for meeting in self.met_by(ids) if meeting.session_id not in ended]
        left = self.with_names().in_bulk({meeting.session_id for meeting in meetings})
        return [(left[meeting.session_id], meeting.other_id) for meeting in meetings]

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
        limit: int | None = None,
        ended_by: str = "",
        note: str = "",
    ) -> list[EndedSession]:
        """End sessions whose workstations need no lock."""

        def operation(also: Ids) -> list[EndedSession]:
            Workstation.objects.lock(also)
            return self.end(candidates, reason, limit=limit, ended_by=ended_by, note=note).records

        return restarting(operation)
