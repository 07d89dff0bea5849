"""The outage rule: no clock ends anything for a time in which no server process could hear the clients.

Time-out and grace count from the later of their own start and the end of the last outage, and while every known
server is silent they stand still. Where there never was a server, they count from their own start alone.

This file also detects that the database's clock went back; then every clock that ends sessions starts anew.
"""

import logging
from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Final

from django.db import transaction
from django.db.models import Case, Exists, F, Q, When
from django.db.models.functions import Now

from events_app import timings
from events_app.database.round_trip import Row, Statement, rows_of
from events_app.models import Observation, ServerProcess
from events_app.presence.backend import backend

logger = logging.getLogger(__name__)

# A beat may have to wait for another one's row, and its time is that of before it waited.
CLOCK_TOLERANCE: Final = timedelta(seconds=1)


class ClockWentBack(Exception):
    """The last beat lies in the future, by the database's clock.

    Args:
        seconds: by how much.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the last beat lies {seconds:.1f} s in the future")
        self.seconds = seconds


@lru_cache(maxsize=2)
def recording(server_dead: timedelta) -> Statement:
    """Return the statement that records the beat of a process, and, if it ends an outage, that end.

    While the last beat lies in the future it writes nothing: `check_clock`.
    """
    silent = Q(last_beat__isnull=True) | Q(last_beat__lt=_ago(server_dead))
    return Statement(
        lambda: Observation.objects.exclude(_in_the_future()),
        update={"since": Case(When(silent, then=Now()), default=F("since")), "last_beat": Now()},
    )


def check_clock(ahead: Iterable[Row]) -> None:
    """Look at the rows of `AHEAD`.

    Raises:
        ClockWentBack: the last beat lies in the future.
    """
    if seconds := _most_seconds(ahead):
        raise ClockWentBack(seconds)


def last_beat_ahead_seconds() -> float:
    """Return by how many seconds the last beat of any process lies in the future; 0 if it does not."""
    return _most_seconds(rows_of(AHEAD()))


def _most_seconds(ahead: Iterable[Row]) -> float:
    return max((one.total_seconds() for (one,) in ahead), default=0.0)


def log_clock_jump(seconds: float) -> None:
    """Log that the database's clock went back by so much, or a little more."""
    logger.warning(
        "the database's clock went back: every clock that ends sessions starts anew",
        extra={"seconds": seconds},
    )


def repair_step() -> bool:
    """Restart every clock that ends sessions after the database's clock went back: a bounded part of the work.

    Times in the future become now. The domain's times come first, so that no workstation that departed before the last
    beat of a server process seems to have departed after it.

    Returns:
        Whether there is more to do.
    """
    if backend().clock_went_back():
        return True
    with transaction.atomic():
        ahead = ServerProcess.objects.filter(last_beat__gt=Now())
        rows = list(
            ahead.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True)
        )
        ServerProcess.objects.filter(pk__in=rows).update(last_beat=Now())
        Observation.objects.filter(last_beat__gt=Now()).update(since=Now(), last_beat=Now())
    return False


def observed_for(duration: timedelta) -> Exists:
    """Return the condition, for any query, that clients have been observed for so long without a gap.

    Args:
        duration: of the clock that would end something.
    """
    never = Q(last_beat__isnull=True)
    server_dead = timedelta(seconds=timings.configured().server_dead)
    watched = Q(last_beat__gte=_ago(server_dead), since__lt=_ago(duration))
    return Exists(Observation.objects.filter(never | watched))


def _in_the_future() -> Q:
    # A row without a beat is not excluded by it.
    return Q(last_beat__isnull=False, last_beat__gt=Now() + CLOCK_TOLERANCE)


def _ago(duration: timedelta) -> Now:
    ago: Now = Now() - duration  # type: ignore[assignment]
    return ago


# By how much the last beat lies in the future, by the database, whose clock it is; no row if it does not.
AHEAD: Final = Statement(
    lambda: (
        Observation.objects.filter(_in_the_future())
        .annotate(ahead=F("last_beat") - Now())
        .values_list("ahead")
    )
)
