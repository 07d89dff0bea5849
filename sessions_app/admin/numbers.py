"""The numbers on the index: how much there is, counted no further than a list is."""

from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from events_app.models import Connection, ServerProcess
from sessions_app.admin.base import MAX_COUNTED
from sessions_app.admin.shown import list_of, visible
from sessions_app.models import (
    ApiToken,
    EditSession,
    EndedSession,
    Item,
    PlaceInLine,
    SweeperProcess,
    Workstation,
)


class Number(NamedTuple):
    """How much there is of something.

    Args:
        what: of what.
        shown: how much.
        address: of the list.
    """

    what: str
    shown: str
    address: str


def numbers(request: HttpRequest) -> list[Number]:
    """Return how much there is on each list that the reader may see, in one query each."""
    streams = Exists(Connection.objects.filter(key=OuterRef("pk")))
    asked: list[tuple[str, QuerySet[Any], dict[str, str]]] = [
        ("Edit sessions", EditSession.objects.all(), {}),
        ("Places in line", PlaceInLine.objects.all(), {}),
        ("Workstations, connected", Workstation.objects.filter(streams), {"connected": "yes"}),
        ("Workstations", Workstation.objects.all(), {}),
        ("Connections", Connection.objects.all(), {}),
        ("Servers", ServerProcess.objects.all(), {}),
        ("Sweepers", SweeperProcess.objects.all(), {}),
        ("Ended sessions", EndedSession.objects.all(), {}),
        ("Items", Item.objects.all(), {}),
        ("Valid tokens", ApiToken.objects.valid(), {"state": "valid"}),
        ("Users, active", User.objects.filter(is_active=True), {"is_active__exact": "1"}),
    ]
    seen = visible(request)
    return [
        Number(what, _counted(rows), list_of(rows.model, **filters))
        for what, rows, filters in asked
        if rows.model in seen
    ]


def _counted(rows: QuerySet[Any]) -> str:
    count = rows.order_by().values("pk")[: MAX_COUNTED + 1].count()
    return f"more than {MAX_COUNTED:,}" if count > MAX_COUNTED else f"{count:,}"
