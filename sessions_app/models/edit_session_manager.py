"""`EditSession.objects`: how edit sessions begin, stay and end. What people do with them is in `operations/`."""

import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta
from functools import cache, cached_property

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from events_app.database import sql
from events_app.database.lock_retry import NeedsLocks, with_lock_retry
from events_app.database.round_trip import (
    Query,
    Statement,
    instance,
    query_of,
    rows_of,
    together,
)
from events_app.log import event_log
from events_app.presence.outages import observed_for
from sessions_app import channels, payloads
from sessions_app.interference import conflicts
from sessions_app.interference.holdings import Holders, take_away
from sessions_app.locks import Lock, by_lock, rows_about
from sessions_app.models import session_log
from sessions_app.models.abstract_edit_session import FENCING_TOKENS, AbstractEditSession
from sessions_app.models.edit_session_queryset import EditSessionQuerySet, holders_of
from sessions_app.models.ended_session import EndedSession, EndReason, Record
from sessions_app.models.item import Item
from sessions_app.models.place_in_line import PlaceInLine
from sessions_app.models.results import Acquired, Ended, Manner, Step, all_steps
from sessions_app.models.session_rows import (
    Beginning,
    Drawn,
    EndStatements,
    Found,
    Names,
    reading_users,
    reading_workstations,
)
from sessions_app.models.workstation import Workstation
from sessions_app.steps import STEP_NODE_KEYS, STEP_SESSIONS, few_enough

Ids = Collection[uuid.UUID]

_Manager = models.Manager.from_queryset(EditSessionQuerySet)


class EditSessionManager(_Manager[AbstractEditSession]):
    """Every beginning and every end of an edit session goes through here.

    Locks and their order: docs/architecture.md, "One order of locks".
    """

    def held(self, locks: Collection[Lock]) -> dict[Lock, AbstractEditSession]:
        """Return the active sessions of these locks, with their names; the caller has locked the items."""
        return by_lock(self.with_names().filter(rows_about(locks)), locks)

    def drawn(self, beginning: Beginning, drawn: Drawn) -> AbstractEditSession:
        """Return a new session, not yet inserted, with its names.

        Args:
            beginning: what begins.
            drawn: its fencing token and time, which were drawn after the item was locked.
        """
        item, workstation, connection_id, want = beginning
        values = {
            **want.columns,
            "id": uuid.uuid4(),
            "item_id": item.pk,
            "workstation_id": workstation.pk,
            "user_id": workstation.user_id,
            "connection_id": connection_id,
            "node_keys": len(want.dependency_cone),
            "fencing_token": drawn.fencing_token,
            "acquired_at": drawn.at,
            "last_heartbeat": drawn.at,
        }
        related = {"item": item, "workstation": workstation, "user": workstation.user}
        return instance(self.model, values, related)

    def beginning(self, new: Sequence[AbstractEditSession]) -> list[Query]:
        """Return the statement that inserts these new sessions, with their tokens; none where there are none."""
        if not new:
            return []
        every = map(vars, new)
        rows = [{column: one[column] for column in self._given} for one in every]
        return [sql.inserting(self.model, rows)]

    @cached_property
    def _given(self) -> list[str]:
        """The columns of a new session; the database counts its node keys."""
        columns = [field.attname for field in self.model._meta.concrete_fields]
        return [column for column in columns if column != "node_keys"]

    @cached_property
    def reading_holdings(self) -> Statement:
        """Of items; its rows are for `holders_of`."""
        return Statement(lambda items: self.holdings(items))

    @cached_property
    def _reading_held(self) -> Callable[[int], Statement]:
        """Of workstations; its rows are those of `Found`, at most so many."""
        found = self.values_list(*Found._fields)
        return cache(lambda most: Statement(lambda ids: found.filter(workstation__any=ids)[:most]))

    @cached_property
    def any_to_end(self) -> EndStatements:
        """Those of any sessions, whatever is said of them."""
        return EndStatements(self.all())

    @cached_property
    def _deleting(self) -> Statement:
        """Of ids of sessions. Requests for hand-offs are deleted with them by the database."""
        return Statement(lambda ids: self.filter(pk__any=ids), delete=True)

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
            wait: whether to wait for those that another transaction has locked, and perhaps ends, at this moment.
        """
        touched = self.touching([*workstation_ids], only, wait=wait)
        return int(touched.update(last_heartbeat=Now()))

    def end(self, candidates: EditSessionQuerySet, manner: Manner) -> Ended:
        """End sessions, a step of them: the only way there is. Row, record, events and turns go in one transaction.

        Args:
            candidates: those to end. Its conditions are of the session's own columns: they are checked again
                when the rows are locked.
            manner: how they end.

        Returns:
            What this call ended, in the order of the sessions' ids, and what it gave.

        Raises:
            NeedsLocks: it is the turn of a workstation that another transaction has locked, or an item was merged.
        """
        found = candidates.values_list(*Found._fields)[: STEP_SESSIONS + 1]
        return self.end_found(
            [Found(*row) for row in found],
            lambda ids: query_of(candidates.filter(pk__any=ids).locking_to_end()),
            manner,
        )

    def end_found(
        self,
        found: Sequence[Found],
        lock: Callable[[Ids], Query],
        manner: Manner,
        *,
        commits: bool = False,
    ) -> Ended:
        """Do what `end` does, with candidates that have been read.

        Args:
            found: the candidates.
            lock: the statement that locks those of these ids which are still to end; its rows are those of `Ending`.
            manner: how they end.
            commits: whether the caller's transaction may be committed, unless there is more to end; see `together`.
        """
        sized = [(one, one.node_keys) for one in found[:STEP_SESSIONS]]
        first = {one.pk: Lock.of(one) for one in few_enough(sized, STEP_NODE_KEYS)}
        if not first and not manner.leaving:
            return Ended()
        items, places = self._lock_items(set(first.values()), manner)
        locked, users, workstations, holdings = together(
            lock(first.keys()),
            reading_users({one.user_id for one in found}),
            reading_workstations({one.workstation_id for one in found}),
            self.reading_holdings(items),
        )
        holders = holders_of(holdings)
        names = Names(items, users, workstations)
        ending = conflicts.few_to_end([names.ending(row) for row in locked], holders)
        # The others that hold a session on the items. Those that end here are told of their own end only: of two
        # that end at the same moment neither holds the item any more.
        take_away(ending, holders)
        freed = conflicts.freed(self.all(), ending, holders)
        records = [
            Record.of(session, manner.reason, manner.ended_by, manner.note) for session in ending
        ]
        writes = self._recording(records)
        events = [*manner.told_first, *payloads.end_events(records, holders)]
        free = {Lock.of(record) for record in records} if places else ()
        next_ones = [place for place in places if Lock.of(place) in free]
        if next_ones:
            # Their sessions begin where these have ended. Elsewhere all is written with the events.
            together(*writes)
            writes = []
        lines = {*manner.lines, *(Lock.of(one) for one in next_ones if not one._state.adding)}
        granted, met = self.grant(next_ones, holders)
        audiences = channels.audiences_of(holders, items if granted or lines else ())
        events += payloads.grant_events(granted, audiences)
        events += (payloads.resolved_event(left, ended) for left, ended in freed)
        lengths = PlaceInLine.objects.lengths(lines)
        events += [*met, *payloads.line_events(lengths, items, audiences)]
        more = len(first) < len(found) or len(ending) < len(locked)
        event_log.append(events, ahead=writes, commits=commits and not more)
        session_log.ended(records, granted, manner)
        return Ended(records, granted, more)

    def _lock_items(
        self, locks: Collection[Lock], manner: Manner
    ) -> tuple[dict[uuid.UUID, str], Sequence[PlaceInLine]]:
        """Lock the items of sessions that end, and take away the places of who leaves.

        Returns:
            The part numbers by the items' ids, and whose turn it is then.
        """
        items = {lock.item_id for lock in (*locks, *manner.lines)}
        locked, *_, anybody = together(
            Item.objects.locking_names(items),
            *([PlaceInLine.objects.leaving_all(manner.leaving)] if manner.leaving else []),
            PlaceInLine.objects.anybody(locks),
        )
        if len(locked) < len(items):
            # One was merged into another meanwhile, which has the sessions now: looked for again.
            raise NeedsLocks(())
        names: dict[uuid.UUID, str] = dict(locked)
        if manner.turns:
            return names, manner.turns(locks)
        # Which workstations are reachable takes a longer question.
        return names, PlaceInLine.objects.turns(locks) if anybody else []

    def _recording(self, records: Sequence[Record]) -> list[Query]:
        """Return the statements that make records of sessions and delete these."""
        if not records:
            return []
        return [
            sql.inserting(EndedSession, [record._asdict() for record in records]),
            self._deleting([record.session_id for record in records]),
        ]

    def grant(
        self, places: Sequence[PlaceInLine], holders: Holders
    ) -> tuple[list[Acquired], list[event_log.NewEvent]]:
        """Begin the sessions that these places wait for, whose items and workstations are locked; their locks are free.

        Args:
            places: the places.
            holders: who holds how much on their items.

        Returns:
            What they got, and the events of the meetings that begin with it.
        """
        if not places:
            return [], []
        PlaceInLine.objects.filter(pk__in=[place.pk for place in places]).delete()
        drawn = rows_of(sql.drawing(FENCING_TOKENS, len(places)))
        sessions = [
            self.drawn(Beginning.of(place), Drawn(*row))
            for place, row in zip(places, drawn, strict=True)
        ]
        together(*self.beginning(sessions))
        new = {session.pk for session in sessions}
        met = conflicts.find(self.all(), sessions, new, holders)
        granted = [Acquired(session, conflicts=met.of.get(session.pk, [])) for session in sessions]
        session_log.granted(granted)
        return granted, [*met.events(sessions)]

    def ending(self, candidates: EditSessionQuerySet, manner: Manner) -> Step:
        """Return the step that ends sessions whose workstations need no lock; see `end`."""

        def step(also: Ids) -> Ended:
            Workstation.objects.lock(also)
            return self.end(candidates, manner)

        return step

    def release_for_workstation(
        self,
        workstation_ids: Iterable[uuid.UUID],
        reason: EndReason = EndReason.DISCONNECTED,
        *,
        ended_by: str = "",
        leaving: Ids = (),
        ahead: Sequence[Query] = (),
        commits: bool = False,
    ) -> Ended:
        """End a step of the sessions of these workstations, whose rows the caller has locked; see `end`.

        `leaving` are those of them that lose their places in line; `ahead` is run first, in the same round trip;
        `commits` is that of `end_found`.
        """
        reading = self._reading_held(STEP_SESSIONS + 1)(set(workstation_ids))
        lines = [PlaceInLine.objects.lines_of(leaving)] if leaving else []
        read = together(*ahead, reading, *lines)[len(ahead) :]
        held, in_line = read if lines else (*read, [])
        manner = Manner(reason, ended_by, leaving=leaving, lines={Lock(*row) for row in in_line})
        # None of them changes its workstation.
        found = [Found(*row) for row in held]
        return self.end_found(found, self.any_to_end.locking, manner, commits=commits)

    def expire_stale(
        self, timeout: timedelta, limit: int | None = None, *, only_observed: bool = False
    ) -> list[Record]:
        """End the sessions without a heartbeat for longer than `timeout`, a step of them.

        Args:
            timeout: how long a session lives without a heartbeat.
            limit: at most so many.
            only_observed: end nothing unless some server has been there to hear a heartbeat for all that time.

        Returns:
            The records of those that ended.
        """
        stale = self.to_expire(timeout, only_observed=only_observed)
        found = stale.values_list(*Found._fields)[: min(limit or STEP_SESSIONS, STEP_SESSIONS)]
        return self.expire(EndStatements(stale), [Found(*row) for row in found])

    def expire(self, stale: EndStatements, found: Sequence[Found]) -> list[Record]:
        """End those of the sessions that were found which are `stale`, of `to_expire`: a step. Return their records."""
        known: Sequence[Found] | None = found

        def step(also: Ids) -> Ended:
            nonlocal known
            Workstation.objects.lock(also)
            # Tried again, perhaps because an item was merged into another, they are read again.
            some, known = known or stale.found([one.pk for one in found]), None
            return self.end_found(some, stale.locking, Manner(EndReason.EXPIRED), commits=True)

        return with_lock_retry(step).records

    def to_expire(self, timeout: timedelta, *, only_observed: bool) -> EditSessionQuerySet:
        """Return the sessions that `expire_stale` and `expire` end."""
        stale = self.stale(timeout)
        return stale.filter(observed_for(timeout)) if only_observed else stale

    def expire_idle(self, timeout: timedelta, limit: int, among: Ids | None = None) -> list[Record]:
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
            candidates = candidates.filter(pk__any=among)
        found = dict(candidates.values_list("pk", "workstation_id")[:limit])
        if not found:
            return []

        def step(also: Ids) -> list[Record]:
            Workstation.objects.lock({*found.values(), *also})
            # A user who is back has said so in this row, under this lock: asked again by a later statement.
            still = set(idle.filter(pk__in=set(found.values())).values_list("pk", flat=True))
            ending = [pk for pk, workstation in found.items() if workstation in still]
            return self.end(self.filter(pk__any=ending), Manner(EndReason.IDLE)).records

        return with_lock_retry(step)

    def to_expire_idle(self, timeout: timedelta) -> EditSessionQuerySet:
        """Return the sessions that `expire_idle` ends."""
        idle = Workstation.objects.idle(timeout).filter(observed_for(timeout))
        return self.older_than(timeout).filter(workstation__in=idle)

    def release_deactivated(self, among: Ids | None = None) -> list[Record]:
        """Release what deactivated users hold; of these sessions, if they are given, a step.

        An acquire that was under way when its user was deactivated has either seen that, under the lock of its
        workstation, or what it acquired is seen here, a sweep later at the most.
        """
        held = self.of_deactivated()
        if among is not None:
            held = held.filter(pk__any=among)
        manner = Manner(EndReason.FORCE_RELEASED, note="The user was deactivated.")
        step = self.ending(held, manner)
        return all_steps(step) if among is None else with_lock_retry(step).records

    def of_deactivated(self) -> EditSessionQuerySet:
        """Return the sessions of users who are not active."""
        return self.filter(user__is_active=False)
