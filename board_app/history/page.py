"""What the pages of items, workstations and users have in common: what is held now, and an interval of the past."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.contrib.auth import get_user_model
from django.db.models import Model
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import get_script_prefix
from django.utils import timezone

from board_app import live
from board_app.access import in_admin, shown
from board_app.filters import Filters
from board_app.history import interval as intervals
from board_app.history import record
from board_app.history.interval import NAMED, BadInterval, Interval
from board_app.history.rows import HOW, Row, active, in_line, of_record, picture
from board_app.history.zones import zone_of
from events_app.database import sql
from sessions_app.authentication import Principal

if TYPE_CHECKING:
    from sessions_app.models.ended_session import EndedSessionQuerySet

_PARAMETERS: Final = ("range", "from", "to")


@dataclass(frozen=True)
class Subject:
    """What a page is about.

    Args:
        sessions: a query of its active sessions; None of what is not there any more.
        places: a query of its places in line; None as well.
        records: its records, one query for each value of an index.
        lane_of: in which lane of the picture a session is.
        row: what it is about, where that is there.
        named: by which parameter the board and the history of the API name it, and its value.
    """

    sessions: Any
    places: Any
    records: "Sequence[EndedSessionQuerySet]"
    lane_of: Callable[[Row], tuple[tuple[str, ...], str, str]]
    row: Model | None
    named: tuple[str, str]

    @property
    def is_there(self) -> bool:
        """Whether it can have active sessions and places in line."""
        return self.sessions is not None

    @property
    def filters(self) -> Filters:
        """By which the board shows the same sessions."""
        return Filters.of(QueryDict(urlencode([self.named])))

    def csv(self, interval: Interval) -> str:
        """Return the address of what the record has of an interval, as CSV."""
        since, until = (
            at.isoformat().replace("+00:00", "Z") for at in (interval.start, interval.end)
        )
        query = {self.named[0]: self.named[1], "since": since, "until": until, "format": "csv"}
        return f"{get_script_prefix()}api/edit-sessions/history?{urlencode(query)}"


@dataclass(frozen=True)
class Choice:
    """An interval that the page offers."""

    label: str
    query: str
    is_chosen: bool


def now_of(who: Principal) -> datetime:
    """Return the time by the database's clock."""
    mine = get_user_model().objects.filter(pk=who.user.pk)
    return mine.values_list(Now(), flat=True).first() or timezone.now()


def answer(
    request: HttpRequest,
    who: Principal,
    template: str,
    subject: Subject,
    more: Callable[[Collection[Row]], Mapping[str, Any]],
) -> HttpResponse:
    """Return the page of a subject, with 400 where its address names no interval. A fixed number of queries.

    Args:
        request: the request.
        who: who asks.
        template: which extends `board/history/base.html`.
        subject: what it is about.
        more: returns what the template needs besides, of the sessions that the page shows.
    """
    now = now_of(who)
    zone = zone_of(request)
    wrong = ""
    try:
        interval = intervals.of_query(request.GET, now, zone)
    except BadInterval as error:
        wrong, interval = str(error), intervals.of_query({}, now, zone)
    # A session that ends meanwhile is either among the active ones or in the record.
    with sql.one_snapshot():
        held = active(subject.sessions, now) if subject.is_there else []
        places, has_more_places = in_line(subject.places) if subject.is_there else ([], False)
        found = record.between(subject.records, interval.start, interval.end, now)
    then = [row for row in held if row.began < interval.end]
    rows = [*then, *map(of_record, found.records)]
    layout = picture(rows, subject.lane_of, interval, now)
    today = now.astimezone(zone).date()
    context = {
        **(_live(who, subject) if subject.is_there else {}),
        "subject": subject,
        "in_admin": in_admin(request, subject.row),
        "now": now,
        "zone": zone,
        "zone_name": zone.key,
        "interval": interval,
        "csv": subject.csv(interval),
        "wrong": wrong,
        "asked": {key: request.GET.get(key, "") for key in _PARAMETERS} if wrong else {},
        "choices": _choices(interval),
        "earlier": interval.shifted(-1, today),
        "later": interval.shifted(1, today),
        "places": places,
        "has_more_places": has_more_places,
        "rows": rows,
        "layout": layout,
        "legend": [(how, HOW.get(how, how)) for how in layout.hows],
        "most": record.MOST,
        "has_more": found.has_more,
        "looked_at_all": found.looked_at_all,
        "looked_at": record.LOOKED_AT,
        **more([*held, *rows]),
    }
    return shown(request, who, template, context, 400 if wrong else 200)


def _live(who: Principal, subject: Subject) -> dict[str, Any]:
    kind, value = subject.named
    number = value if kind == "item" else ""
    return {**live.table(who, subject.filters, part_number=number), "of": kind}


def _choices(interval: Interval) -> list[Choice]:
    return [
        Choice(label, f"range={name}", name == interval.name) for name, (label, _) in NAMED.items()
    ]
