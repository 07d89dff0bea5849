"""Alive requests of workstations, many at once: acknowledgements, heartbeats without a stream, idle times."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from events_app.log import event_log
from events_app.presence import store
from events_app.presence.backend import Outcome
from sessions_app.errors import DomainError, Forbidden, NotConnected, NotFound
from sessions_app.models.edit_session import EditSession
from sessions_app.models.workstation import Workstation
from sessions_app.operations import presence

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
    def active(self) -> bool:
        """Whether it says that somebody is at the workstation."""
        # Idleness shorter than a heartbeat is none: else each heartbeat of a busy user would cause an event.
        heartbeat = timedelta(seconds=settings.EVENTS_HEARTBEAT_SECONDS)
        return self.idle is not None and self.idle < heartbeat


@dataclass
class _Here:
    """The workstations that some reports are about, as they are, locked; by the database's clock it is `now`."""

    locked: Mapping[uuid.UUID, Workstation]
    elsewhere_locked: Collection[uuid.UUID]
    active_users: Collection[int]
    now: datetime | None

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

    def needs_longer(self, report: AliveReport) -> bool:
        """Whether a report tells others that somebody is back, or touches sessions that have no stream."""
        return (
            report.connection_id is None
            or self.locked[report.workstation_id].away_since is not None
        )

    def idle_since(self, report: AliveReport) -> datetime | None:
        """Return since when the workstation is idle, where that is news that may be told; None where it is not."""
        assert self.now is not None
        if report.idle is None or report.active:
            return None
        since = self.now - report.idle
        workstation = self.locked[report.workstation_id]
        known, told = workstation.idle_since, workstation.idle_told_at
        if known is not None and abs(known - since) <= IDLE_JITTER:
            return None
        step = timedelta(seconds=settings.EVENTS_HEARTBEAT_SECONDS * IDLE_STEP)
        # `told` lies in the future only if the database's clock went back.
        return None if told is not None and self.now - step < told <= self.now else since

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
        verdicts = [here.fault(report) for report in reports]
        if quick:
            verdicts = [
                Outcome.SLOW if fault is None and here.needs_longer(report) else fault
                for report, fault in zip(reports, verdicts, strict=True)
            ]
        verdicts = _acknowledged(reports, verdicts)
        done = [report for report, fault in zip(reports, verdicts, strict=True) if fault is None]
        # The items are locked before the sessions.
        events = [] if quick else _changes(done, here)
        _keep(done, wait=not quick)
        event_log.append(events)
        if not quick:
            return verdicts
        return [
            Outcome.NOTIFIES if fault is None and here.is_news(report) else fault
            for report, fault in zip(reports, verdicts, strict=True)
        ]


def _keep(reports: Sequence[AliveReport], *, wait: bool) -> None:
    """Keep the (locked) workstations and their sessions alive."""
    new = [report for report in reports if not report.noted]
    ids = {report.workstation_id for report in new}
    if not ids:
        return
    Workstation.objects.filter(pk__in=ids).update(last_seen=Now())
    by_this_alone = {report.workstation_id for report in new if report.connection_id is None}
    fresh = timedelta(seconds=settings.EVENTS_HEARTBEAT_SECONDS * FRESH)
    just_touched = Q(last_heartbeat__gt=Now() - fresh, last_heartbeat__lte=Now())
    stale = ~just_touched | Q(workstation__in=by_this_alone) if by_this_alone else ~just_touched
    EditSession.objects.touch_heartbeat(ids, stale, wait=wait)


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
    rows = Workstation.objects.filter(pk__in=ids).with_now().order_by("pk")
    locked = {row.pk: row for row in rows.select_for_update(no_key=True, skip_locked=quick)}
    others = ids - locked.keys() if quick else set()
    busy = set(Workstation.objects.filter(pk__in=others).values_list("pk", flat=True))
    # Asked after the lock: a deactivation releases under the same lock, before or after this.
    users = get_user_model().objects.filter(
        pk__in={row.user_id for row in locked.values()}, is_active=True
    )
    return _Here(
        locked,
        busy,
        set(users.values_list("pk", flat=True)),
        next((row.now for row in locked.values()), None),
    )


def _acknowledged(reports: Sequence[AliveReport], verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Note which streams are acknowledged; return the verdicts, with a fault where there is no such stream."""
    good = [report for report, fault in zip(reports, verdicts, strict=True) if fault is None]
    claims = {(report.workstation_id, report.connection_id) for report in good if not report.noted}
    noted = {report.workstation_id for report in good if report.noted}
    streams = store.acknowledge(claims, noted)
    lost = NotConnected("This event stream has ended; open a new one.")
    return [
        lost
        if fault is None
        and report.connection_id is not None
        and (report.workstation_id, report.connection_id) not in streams
        else fault
        for report, fault in zip(reports, verdicts, strict=True)
    ]
