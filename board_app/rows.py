"""The rows of the board: sessions with what is shown of each, in a fixed number of queries."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Count, F, Q, Window

from board_app.filters import Filters
from events_app.database import sql
from sessions_app.authentication import Principal
from sessions_app.interference import lists
from sessions_app.locks import Lock, rows_about
from sessions_app.models import EditSession, PlaceInLine
from sessions_app.models.edit_session_queryset import EditSessionQuerySet
from sessions_app.paging import first_page

# More are on further pages. A screen shows some thirty.
ROWS_AT_ONCE: Final = 100
# Whoever looks at more sessions than this only has to know that there are more.
MAX_COUNTED: Final = 10_000
# Of a line, and of those that interfere with a session: a row is no list.
MAX_SHOWN: Final = 5


@dataclass
class Row:
    """One session as the board shows it.

    Args:
        session: with its names; `connected` says whether its workstation has a stream.
        mine: whether it is of who looks.
        line: the first places in the line for it, with their `position`.
        waiting: how many places there are.
        met: the sessions that interfere with it; None where that was not compared.
    """

    session: Any
    mine: bool
    line: list[PlaceInLine] = field(default_factory=list)
    waiting: int = 0
    met: Sequence[Any] | None = ()

    @property
    def more_waiting(self) -> int:
        """How many places are not shown."""
        return self.waiting - len(self.line)

    @property
    def met_shown(self) -> Sequence[Any]:
        """The first sessions that interfere with it."""
        return (self.met or ())[:MAX_SHOWN]

    @property
    def more_met(self) -> int:
        """How many of them are not shown."""
        return len(self.met or ()) - len(self.met_shown)


@dataclass(frozen=True)
class Page:
    """A page of rows.

    Args:
        rows: the latest session first.
        after: the fencing token before which the next page begins; None on the last one.
        count: how many sessions there are on all pages, at most one more than `MAX_COUNTED`.
    """

    rows: Sequence[Row]
    after: int | None
    count: int

    @property
    def counted(self) -> str:
        """The count in words."""
        return f"more than {MAX_COUNTED:,}" if self.count > MAX_COUNTED else f"{self.count:,}"


def page(who: Principal, filters: Filters) -> Page:
    """Return the page that an address asks for."""
    with sql.one_snapshot():
        sessions = filters.sessions(who)
        count = sessions.order_by()[: MAX_COUNTED + 1].count()
        if filters.before is not None:
            sessions = sessions.filter(fencing_token__lt=filters.before)
        found, last = first_page(_in_order(sessions), ROWS_AT_ONCE)
        return Page(_rows(who, found), last.fencing_token if last else None, count)


def on_items(
    who: Principal, filters: Filters, items: Collection[uuid.UUID], lowest: int
) -> Sequence[Row]:
    """Return those rows of the page which are on some items: those that an event has changed.

    Args:
        who: who asks.
        filters: of the page.
        items: the items.
        lowest: the fencing token of the last row of the page; 0 where it is the last page.
    """
    with sql.one_snapshot():
        sessions = filters.sessions(who).filter(item__any=items, fencing_token__gte=lowest)
        if filters.before is not None:
            sessions = sessions.filter(fencing_token__lt=filters.before)
        return _rows(who, list(_in_order(sessions)[:ROWS_AT_ONCE]))


def one(who: Principal, session_id: uuid.UUID) -> Row | None:
    """Return the row of one session, or None if it has ended."""
    with sql.one_snapshot():
        found = list(_in_order(EditSession.objects.filter(pk=session_id)))
        return _rows(who, found)[0] if found else None


def _in_order(sessions: EditSessionQuerySet) -> EditSessionQuerySet:
    return sessions.with_names().with_connected().order_by("-fencing_token")


def _rows(who: Principal, sessions: Sequence[Any]) -> list[Row]:
    if not sessions:
        return []
    met = lists.met_in_list(EditSession.objects.all(), sessions)
    lines = _lines({Lock.of(session) for session in sessions})
    rows = []
    for session in sessions:
        line = lines.get(Lock.of(session), [])
        waiting = line[0].waiting if line else 0
        rows.append(Row(session, who.owns(session), line, waiting, met[session.pk]))
    return rows


def _lines(locks: Collection[Lock]) -> dict[Lock, list[Any]]:
    """Return the first places in the line for each lock, each with how many are `waiting` there."""
    line = [F("item"), F("context_level"), F("object_id")]
    waiting = Window(Count("pk"), partition_by=line)
    places = PlaceInLine.objects.filter(rows_about(locks)).with_position()
    first = places.annotate(waiting=waiting).filter(Q(position__lte=MAX_SHOWN))
    found = defaultdict(list)
    for place in first.order_by("number"):
        found[Lock.of(place)].append(place)
    return found
