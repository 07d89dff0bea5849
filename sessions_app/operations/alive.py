"""Alive requests of workstations, many at once: acknowledgements, heartbeats without a stream, idle times."""

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple, cast

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from events_app.database.round_trip import Query, Statement, rows_of, together
from events_app.log import event_log
from events_app.presence import store
from events_app.presence.backend import Outcome
from sessions_app.errors import DomainError, Forbidden, NotConnected, NotFound
from sessions_app.models.edit_session import EditSession
from sessions_app.models.workstation import Workstation
from sessions_app.operations import presence
from sessions_app.operations.access import ACTIVE

# Clients report idleness in whole seconds, and late: two reports of one idleness differ by less than this.
IDLE_JITTER = timedelta(seconds=5)
# Fraction of a heartbeat: the least time between two idle events of one workstation. It is below 1, because a client
# that reports with each heartbeat is a little early now and then.
IDLE_STEP = 0.9
# Fraction of a heartbeat: an acknowledgement does not touch sessions again that were touched within it, by the
# heartbeat that it answers.
FRESH = 0.5

Verdict = DomainError | Outcome | None


@dataclass(frozen=True)
class AliveReport:
    """A client is there: it has received a heartbeat, or has no stream and lives by this alone.

    Args:
        user_id: who says so; the workstation must be theirs.
        workstation_id: the workstation.
        connection_id: the stream whose heartbeat it acknowledges; None for all that it has.
        idle: for how long nobody has touched the workstation; less than a heartbeat is active. None if the client
            does not say.
        noted: whether all but the idleness has been noted already.
        counts: whether it keeps anything alive, and says anything of idleness.
    """

    user_id: int
    workstation_id: uuid.UUID
    connection_id: uuid.UUID | None = None
    idle: timedelta | None = None
    noted: bool = False
    counts: bool = True

    @property
    def stream(self) -> tuple[uuid.UUID, uuid.UUID | None]:
        """The workstation, with the stream whose heartbeat it acknowledges."""
        return self.workstation_id, self.connection_id

    @property
    def active(self) -> bool:
        """Whether it says that somebody is at the workstation."""
        # Idleness shorter than a heartbeat is none: else each heartbeat of a busy user would cause an event.
        heartbeat = timedelta(seconds=settings.EVENTS_HEARTBEAT_SECONDS)
        return self.idle is not None and self.idle < heartbeat


class _Station(NamedTuple):
    """A locked workstation, and the database's clock."""

    pk: uuid.UUID
    user_id: int
    away_since: datetime | None
    idle_since: datetime | None
    idle_told_at: datetime | None
    now: datetime


_Streams = Sequence[store.Stream]


def _locking(ids: list[uuid.UUID], *, wait: bool) -> "QuerySet[Any, Any]":
    rows = Workstation.objects.with_now().filter(pk__any=ids).order_by("pk")
    locked = rows.select_for_update(no_key=True, skip_locked=not wait)
    return locked.values_list(*_Station._fields)


_LOCK: Final = Statement(lambda ids: _locking(ids, wait=True))
_TRY_LOCK: Final = Statement(lambda ids: _locking(ids, wait=False))
_THERE: Final = Statement(lambda ids: Workstation.objects.filter(pk__any=ids).values_list("pk"))
_SEEN: Final = Statement(
    lambda ids: Workstation.objects.filter(pk__any=ids), update={"last_seen": Now()}
)


def _not_just_touched(fresh: timedelta) -> Q:
    return ~Q(last_heartbeat__gt=Now() - fresh, last_heartbeat__lte=Now())


@cache
def _try_touch(fresh: timedelta) -> Statement:
    """Of workstations: touches their sessions, but those that were touched just now, and those that are locked."""
    stale = _not_just_touched(fresh)
    return Statement(
        lambda ids: EditSession.objects.touching(ids, stale, wait=False),
        update={"last_heartbeat": Now()},
    )


class _Here:
    """The workstations that some reports are about, as they are, locked, with their streams.

    Args:
        stations: those that could be locked.
        elsewhere_locked: those that another transaction has locked.
        active_users: of those that report, the ones who are active.
        streams: of the workstations.
    """

    def __init__(
        self,
        stations: Iterable[_Station],
        elsewhere_locked: Collection[uuid.UUID],
        active_users: Collection[int],
        streams: _Streams,
    ) -> None:
        self.locked = {one.pk: one for one in stations}
        self.elsewhere_locked = elsewhere_locked
        self.active_users = active_users
        self.streams = streams
        self._with_stream = {key for key, _, _ in streams}
        self._open = {(key, pk) for key, pk, _ in streams}

    def fault(self, report: AliveReport) -> Verdict:
        """Return why a report cannot be taken, or None."""
        workstation = self.locked.get(report.workstation_id)
        if workstation is None:
            if report.workstation_id in self.elsewhere_locked:
                return Outcome.LOCKED
            return NotFound("There is no such workstation; register it first.")
        if workstation.user_id != report.user_id:
            return Forbidden("Another user owns this workstation.")
        if report.user_id not in self.active_users:
            return Forbidden("This user is deactivated.")
        return None if report.counts else Outcome.IGNORED

    def lost(self, report: AliveReport) -> Verdict:
        """Return why a report keeps nothing alive, or None: its stream has ended."""
        if report.connection_id is None or report.stream in self._open:
            return None
        return NotConnected("This event stream has ended; open a new one.")

    def lives_by_alive(self, workstation_id: uuid.UUID) -> bool:
        """Whether nothing else keeps its sessions alive."""
        return workstation_id not in self._with_stream

    def needs_longer(self, report: AliveReport) -> bool:
        """Whether a report tells others that somebody is back, or touches sessions that have no stream."""
        if self.locked[report.workstation_id].away_since is not None:
            return True
        return report.connection_id is None and self.lives_by_alive(report.workstation_id)

    def idle_since(self, report: AliveReport) -> datetime | None:
        """Return since when the workstation is idle, where that is news that may be told; None where it is not."""
        if report.idle is None or report.active:
            return None
        workstation = self.locked[report.workstation_id]
        now = workstation.now
        since = now - report.idle
        known, told = workstation.idle_since, workstation.idle_told_at
        if known is not None and abs(known - since) <= IDLE_JITTER:
            return None
        step = timedelta(seconds=settings.EVENTS_HEARTBEAT_SECONDS * IDLE_STEP)
        # `told` lies in the future only if the database's clock went back.
        return None if told is not None and now - step < told <= now else since

    def is_news(self, report: AliveReport) -> bool:
        """Whether others are told of what it says of idleness."""
        if report.active:
            return self.locked[report.workstation_id].idle_since is not None
        return self.idle_since(report) is not None


def alive(
    user: User,
    workstation_id: uuid.UUID,
    connection_id: uuid.UUID | None = None,
    idle_seconds: float | None = None,
    *,
    counts: bool = True,
) -> None:
    """Note that a client is there. See `AliveReport`.

    Raises:
        NotFound: no such workstation.
        Forbidden: somebody else's workstation, or a deactivated user.
        NotConnected: that stream has ended; a late acknowledgement of it keeps nothing alive.
    """
    idle = None if idle_seconds is None else timedelta(seconds=idle_seconds)
    report = AliveReport(user.pk, workstation_id, connection_id, idle, counts=counts)
    (verdict,) = all_alive([report])
    if isinstance(verdict, DomainError):
        raise verdict


def all_alive(reports: Sequence[AliveReport], *, quick: bool = False) -> list[Verdict]:
    """Note that many clients are there, in one transaction of a fixed number of statements.

    Args:
        reports: in the order in which they came.
        quick: wait for no workstation's lock, and leave to others what takes more than a moment.

    Returns:
        For each: None if it is done, what has become of it else, or why it is refused.
    """
    with transaction.atomic():
        here = _lock(reports, quick=quick)
        verdicts = [_verdict(report, here, quick=quick) for report in reports]
        done = [report for report, fault in zip(reports, verdicts, strict=True) if fault is None]
        new = [report for report in done if not report.noted]
        if quick:
            _keep_quickly(new, here)
            return [
                Outcome.NOTIFIES if fault is None and here.is_news(report) else fault
                for report, fault in zip(reports, verdicts, strict=True)
            ]
        together(*_noting(new, here))
        # The items are locked before the sessions.
        events = _changes(done, here)
        _keep(new, here)
        event_log.append(events)
        return verdicts


def _verdict(report: AliveReport, here: _Here, *, quick: bool) -> Verdict:
    fault = here.fault(report)
    if fault is None and quick and here.needs_longer(report):
        return Outcome.SLOW
    return here.lost(report) if fault is None else fault


def _noting(new: Collection[AliveReport], here: _Here) -> Iterator[Query]:
    """Return what notes that the clients are there."""
    answered = store.acknowledging(here.streams, {report.stream for report in new})
    if answered is not None:
        yield answered
    if new:
        yield _SEEN({report.workstation_id for report in new})


def _fresh() -> timedelta:
    return timedelta(seconds=settings.EVENTS_HEARTBEAT_SECONDS * FRESH)


def _keep_quickly(new: Collection[AliveReport], here: _Here) -> None:
    """Note that the clients are there, and keep the sessions alive that nobody else has locked."""
    if new:
        touch = _try_touch(_fresh())({report.workstation_id for report in new})
        together(*_noting(new, here), touch)


def _keep(new: Collection[AliveReport], here: _Here) -> None:
    """Keep the sessions of the (locked) workstations alive."""
    ids = {report.workstation_id for report in new}
    if ids:
        alone = {pk for pk in ids if here.lives_by_alive(pk)}
        stale = _not_just_touched(_fresh())
        EditSession.objects.touch_heartbeat(ids, stale | Q(workstation__in=alone))


def _changes(reports: Sequence[AliveReport], here: _Here) -> list[event_log.NewEvent]:
    """Note who is back, and who has become idle or active; return the events that tell of it.

    What a workstation says last counts.
    """
    last = {report.workstation_id: report for report in reports if report.idle is not None}
    idle = {
        pk: since for pk, report in last.items() if (since := here.idle_since(report)) is not None
    }
    active = {pk for pk, report in last.items() if report.active}
    ids = {report.workstation_id for report in reports if not report.noted}
    return presence.come_back(ids, active=active, idle=idle)


def _lock(reports: Sequence[AliveReport], *, quick: bool) -> _Here:
    ids = {report.workstation_id for report in reports}
    # Asked after the lock: a deactivation releases under the same lock, before or after this, and a stream arrives and
    # ends under it.
    rows, users, streams = together(
        (_TRY_LOCK if quick else _LOCK)(ids),
        ACTIVE({report.user_id for report in reports}),
        store.STREAMS(ids),
    )
    stations = [_Station(*row) for row in rows]
    others = ids.difference(one.pk for one in stations) if quick else ()
    busy = {pk for (pk,) in rows_of(_THERE(others))} if others else set()
    return _Here(stations, busy, {pk for (pk,) in users}, cast(_Streams, streams))
