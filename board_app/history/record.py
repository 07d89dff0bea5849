"""What the record says of an interval: read from the indexes of the record, in a bounded number of rows.

The record has an index of (what it is about, id) for items, users and workstations, and one of the time of the end.
Ids are drawn when a session ends, so that they are in the order of that time, but for sessions that end at one moment.
So an interval of time is an interval of ids, found in the index of the time, and within it the sessions of one item
are read in the order of their ids.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sessions_app.models import EndedSession, Item
from sessions_app.models.ended_session import EndedSessionQuerySet

# Of one page: a picture and a table with more are of no use to anybody.
MOST: Final = 200
# Of those that ended after an interval, looked at for sessions that began before its end.
LOOKED_AT: Final = 1_000
# A transaction that ends sessions takes a few seconds at most, and draws their ids in it.
APART: Final = timedelta(minutes=5)

# Of so many records before an interval the least id is its bound, and the greatest of so many after it: the clock of
# the database may have been wrong when some of them were written. Where there are fewer, none is needed.
NEAREST: Final = 100


class Found(NamedTuple):
    """The sessions of an interval.

    Args:
        records: the latest first, at most `MOST`.
        has_more: there are more.
        looked_at_all: whether all that ended after the interval was looked at; else some that lasted long may be
            missing.
    """

    records: Sequence[EndedSession]
    has_more: bool
    looked_at_all: bool


def of_item(part_number: str) -> list[EndedSessionQuerySet]:
    """Return the records of an item, one query for each name that the record has of it; see `EndedSessionQuerySet`."""
    ids = Item.objects.ids_on_record(part_number)
    if not ids:
        return [EndedSession.objects.filter(part_number=part_number)]
    return [EndedSession.objects.filter(item_id=one) for one in ids]


def between(
    about: Sequence[EndedSessionQuerySet], start: datetime, end: datetime, now: datetime
) -> Found:
    """Return the sessions that ended within an interval, or after it but began before its end.

    At most five queries, however many rows there are.

    Args:
        about: what they are about, one query for each value of one index.
        start: of the interval.
        end: of the interval.
        now: by the database's clock.
    """
    before = _last_id_before(start - APART)
    later: list[EndedSession] = []
    looked_at_all = True
    within: dict[str, Any] = {"released_at__gte": start}
    if before is not None:
        within["pk__gt"] = before
    if end <= now:
        within["released_at__lt"] = end
        first = _first_id_after(end + APART)
        if first is not None:
            within["pk__lt"] = first
        later, looked_at_all = _ended_later(about, end)
    found = [
        *later,
        *_together([one.filter(**within).order_by("-pk")[: MOST + 1] for one in about], "-pk"),
    ]
    found.sort(key=lambda record: record.pk, reverse=True)
    return Found(found[:MOST], len(found) > MOST, looked_at_all)


def latest(about: Sequence[EndedSessionQuerySet]) -> EndedSession | None:
    """Return the latest record; None without any."""
    found = _together([one.order_by("-pk")[:1] for one in about], "-pk")
    return next(iter(found), None)


def _ended_later(
    about: Sequence[EndedSessionQuerySet], end: datetime
) -> tuple[list[EndedSession], bool]:
    """Return the sessions that ended after an interval but began before its end, and whether all were looked at."""
    before = _last_id_before(end - APART)
    after = [one if before is None else one.filter(pk__gt=before) for one in about]
    rows = _together([one.order_by("pk")[:LOOKED_AT] for one in after], "pk", LOOKED_AT)
    times = list(rows.values_list("pk", "acquired_at", "released_at"))
    wanted = [pk for pk, began, ended in times if began < end <= ended][:MOST]
    found = list(EndedSession.objects.filter(pk__in=wanted)) if wanted else []
    return found, len(times) < LOOKED_AT


def _together(parts: list[Any], order: str, most: int = MOST + 1) -> Any:
    """Return one query of several, of which each goes by an index; a condition with all values would not."""
    if len(parts) == 1:
        return parts[0]
    return parts[0].union(*parts[1:], all=True).order_by(order)[:most]


def _last_id_before(time: datetime) -> int | None:
    earlier = EndedSession.objects.filter(released_at__lt=time).order_by("-released_at")
    ids = earlier.values_list("pk", flat=True)[:NEAREST]
    return min(ids) if len(ids) == NEAREST else None


def _first_id_after(time: datetime) -> int | None:
    after = EndedSession.objects.filter(released_at__gt=time).order_by("released_at")
    ids = after.values_list("pk", flat=True)[:NEAREST]
    return max(ids) if len(ids) == NEAREST else None
