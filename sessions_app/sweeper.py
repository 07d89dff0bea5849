"""The steps of the sweeper. Each is one short transaction and returns whether there is more to do."""

import logging
from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from events_app.log import event_log
from events_app.presence import outages
from events_app.presence.outages import observed_for
from sessions_app import clock, operations
from sessions_app.models import EditSession, PlaceInLine, session_log
from sessions_app.models.edit_session_queryset import EditSessionQuerySet
from sessions_app.models.ended_session import Record
from sessions_app.models.place_in_line import PlaceInLineQuerySet
from sessions_app.models.session_rows import EndStatements, Found
from sessions_app.quarantine import Candidate, QuarantiningSteps, ids_of
from sessions_app.steps import Pace

logger = logging.getLogger(__name__)

# So many candidates are looked for at once: each time the whole table is read, with all that was deleted before.
FOUND_AT_ONCE = 20_000
TRIM_BATCH = 5000


class Sweep:
    """One sweep: `step` until it returns false.

    Args:
        timeout: sessions without a heartbeat for longer expire, and places in line without a workstation.
        idle_timeout: sessions that nobody touches for longer are released; 0 for never.
        retention: events older than that are deleted.
        ignore_outage: expire also what no server could have heard of.
    """

    def __init__(
        self,
        timeout: timedelta,
        idle_timeout: timedelta,
        retention: timedelta,
        *,
        ignore_outage: bool = False,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._timeout = timeout
        self._idle_timeout = idle_timeout
        self._retention = retention
        self._only_observed = not ignore_outage
        stale = EndStatements(self._to_expire())
        self._expiring = QuarantiningSteps(
            "the end of a stale session",
            lambda *but_not: _sessions(self._to_expire(), *but_not),
            EditSession.objects.in_the_log,
            lambda some: EditSession.objects.expire(stale, [one.row for one in some]),
            pace=Pace(),
        )
        self._expiring_idle = QuarantiningSteps(
            "the end of an idle workstation's session",
            lambda *but_not: _sessions(EditSession.objects.to_expire_idle(idle_timeout), *but_not),
            EditSession.objects.in_the_log,
            lambda some: EditSession.objects.expire_idle(idle_timeout, len(some), ids_of(some)),
            pace=Pace(),
        )
        self._releasing = QuarantiningSteps(
            "the end of a deactivated user's session",
            lambda *but_not: _sessions(EditSession.objects.of_deactivated(), *but_not),
            EditSession.objects.in_the_log,
            lambda some: EditSession.objects.release_deactivated(ids_of(some)),
            pace=Pace(),
        )
        self._losing = QuarantiningSteps(
            "the end of a place in line",
            lambda *but_not: _places(PlaceInLine.objects.lost(timeout), *but_not),
            PlaceInLine.objects.in_the_log,
            lambda some: operations.line.lose(timeout, len(some), ids_of(some)),
            pace=Pace(),
        )
        self._jump_told = False
        self._steps = [
            self._set_clocks_right,
            self._expire,
            self._count_kept,
            self._expire_idle,
            self._release_deactivated,
            self._lose_places,
            self._trim,
        ]

    def step(self) -> bool:
        """Do a little; return whether there is more."""
        if not self._steps[0]():
            self._steps.pop(0)
        return bool(self._steps)

    @property
    def released(self) -> int:
        """How many sessions it has ended."""
        return sum(self.counts[kind] for kind in ("expired", "idle", "deactivated"))

    def log_summary(self) -> None:
        """Log one line if the sweep did something."""
        if self.counts:
            logger.info("sweep", extra=dict(self.counts))

    def _to_expire(self) -> EditSessionQuerySet:
        return EditSession.objects.to_expire(self._timeout, only_observed=self._only_observed)

    def _set_clocks_right(self) -> bool:
        """Have every clock begin anew whose start lies in the future: the database's own clock went back.

        A server that beats has done the most of it; perhaps there is none.
        """
        if seconds := outages.last_beat_ahead_seconds():
            if not self._jump_told:
                outages.log_clock_jump(seconds)
                self._jump_told = True
            if outages.repair_step():
                return True
        return clock.repair_workstations() or clock.repair_sessions()

    def _expire(self) -> bool:
        return self._end(self._expiring, "auto-released stale session", "expired")

    def _count_kept(self) -> bool:
        """Say how many are kept for the outage rule."""
        unobserved = EditSession.objects.stale(self._timeout).filter(~observed_for(self._timeout))
        if self._only_observed and (kept := unobserved.count()):
            logger.warning(
                "stale sessions are kept: for a part of their time-out no server was there to hear a heartbeat",
                extra={"kept": kept},
            )
        return False

    def _release_deactivated(self) -> bool:
        return self._end(self._releasing, "released session of a deactivated user", "deactivated")

    def _expire_idle(self) -> bool:
        if not self._idle_timeout:
            return False
        return self._end(self._expiring_idle, "released session of an idle workstation", "idle")

    def _lose_places(self) -> bool:
        more, lost = self._losing.step()
        for place in lost or ():
            logger.info("place in line lost", extra=_named_place(place))
        if lost:
            self.counts["places"] += len(lost)
        return more and (lost != [] or self._losing.waiting)

    def _end(self, work: QuarantiningSteps[list[Record]], message: str, kind: str) -> bool:
        more, ended = work.step()
        for record in ended or ():
            logger.info(message, extra=session_log.named(record))
        if ended:
            self.counts[kind] += len(ended)
        return more and (ended != [] or work.waiting)

    def _trim(self) -> bool:
        return event_log.trim(self._retention, TRIM_BATCH)


def _sessions(
    waiting: EditSessionQuerySet, but_not: Collection[Any], but_not_on: Collection[Any]
) -> list[Candidate]:
    """Return the next sessions to end; of those that fail, two on an item have the whole item left alone.

    Those of one item come together: they are told to those who hold others on it once, and need its lock once.
    """
    rows = waiting.exclude(pk__in=list(but_not)).exclude(item__in=list(but_not_on))
    found = map(Found._make, rows.values_list(*Found._fields)[:FOUND_AT_ONCE])
    candidates = [Candidate(one.pk, one.item_id, one) for one in found]
    return sorted(candidates, key=lambda session: session.group.int)


def _places(
    waiting: PlaceInLineQuerySet, but_not: Collection[Any], but_not_of: Collection[Any]
) -> list[Candidate]:
    """Return the next places to delete; of those that fail, two of a workstation have it left alone."""
    rows = waiting.exclude(pk__in=list(but_not)).exclude(workstation__in=list(but_not_of))
    found = rows.order_by("pk").values_list("pk", "workstation")[:FOUND_AT_ONCE]
    return [Candidate(*row) for row in found]


def _named_place(place: PlaceInLine) -> dict[str, object]:
    return {
        "place": place.pk,
        "user": place.workstation.user.get_username(),
        "item": place.item.part_number,
        "workstation": place.workstation.name,
        "workstation_id": place.workstation_id,
    }
