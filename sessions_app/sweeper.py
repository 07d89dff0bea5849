"""The steps of the sweeper. Each is one short transaction and returns whether there is more to do."""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from events_app import event_log
from events_app.observation import observed_for
from sessions_app.models import EditSession, EndedSession, PlaceInLine

logger = logging.getLogger(__name__)

# A thousand ends are a transaction of some 100 ms; an acquire of the same items waits for it.
SWEEP_BATCH = 1000
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
        self._steps = [
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

    def log_summary(self) -> None:
        """Log one line if the sweep did something."""
        if self.counts:
            logger.info("sweep", extra=dict(self.counts))

    def _expire(self) -> bool:
        ended = EditSession.objects.expire_stale(
            self._timeout, SWEEP_BATCH, only_observed=self._only_observed
        )
        # None: there was none, or another sweeper has just ended them and goes on.
        return self._log_each("auto-released stale session", "expired", ended)

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
        ended = EditSession.objects.release_deactivated(SWEEP_BATCH)
        return self._log_each("released session of a deactivated user", "deactivated", ended)

    def _expire_idle(self) -> bool:
        if not self._idle_timeout:
            return False
        ended = EditSession.objects.expire_idle(self._idle_timeout, SWEEP_BATCH)
        return self._log_each("released session of an idle workstation", "idle", ended)

    def _lose_places(self) -> bool:
        lost = PlaceInLine.objects.lose(self._timeout, SWEEP_BATCH)
        for place in lost:
            logger.info("place in line lost", extra=_named_place(place))
        if lost:
            self.counts["places"] += len(lost)
        return bool(lost)

    def _log_each(self, message: str, kind: str, ended: Sequence[EndedSession]) -> bool:
        for record in ended:
            logger.info(message, extra=_named(record))
        if ended:
            self.counts[kind] += len(ended)
        return bool(ended)

    def _trim(self) -> bool:
        return event_log.trim(self._retention, TRIM_BATCH)


def _named(record: EndedSession) -> dict[str, object]:
    return {
        "session": record.session_id,
        "user": record.username,
        "item": record.part_number,
        "workstation": record.workstation_name,
    }


def _named_place(place: PlaceInLine) -> dict[str, object]:
    return {
        "place": place.pk,
        "user": place.workstation.user.get_username(),
        "item": place.item.part_number,
        "workstation": place.workstation.name,
    }
