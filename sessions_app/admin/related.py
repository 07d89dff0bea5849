"""Where a page leads: the lists and pages about the same user, item or workstation."""

import uuid
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model
from django.http import HttpRequest

from events_app.models import Connection
from sessions_app import accounts
from sessions_app.admin.shown import list_of, page_of, visible
from sessions_app.models import (
    ApiToken,
    EditSession,
    EndedSession,
    Item,
    PlaceInLine,
    Workstation,
)


@dataclass(frozen=True)
class Related:
    """Links about one thing.

    Args:
        name: what they are about.
        links: text and address of each.
    """

    name: str
    links: list[tuple[str, str]]


def of_filters(request: HttpRequest) -> Related | None:
    """Return where a list leads that a filter has narrowed to one user or one item."""
    if number := request.GET.get("item", "").strip():
        item = Item.objects.known([number]).get(number)
        return of_item(request, item) if item else None
    if name := request.GET.get("user", "").strip():
        user = accounts.find(name)
        return of_user(request, user) if user else None
    return None


def of_item(request: HttpRequest, item: Item) -> Related:
    """Return where it leads from an item."""
    number = item.part_number
    return _seen(
        request,
        f"Item {number}",
        (Item, "item", page_of(Item, item.pk)),
        (EditSession, "sessions", list_of(EditSession, item=number)),
        (PlaceInLine, "line", list_of(PlaceInLine, item=number)),
        (EndedSession, "record", list_of(EndedSession, item=number)),
    )


def of_user(request: HttpRequest, user: User) -> Related:
    """Return where it leads from a user."""
    name = user.get_username()
    return _seen(
        request,
        f"User {name}",
        (User, "account", page_of(User, user.pk)),
        (EditSession, "sessions", list_of(EditSession, user=name)),
        (PlaceInLine, "places in line", list_of(PlaceInLine, user=name)),
        (Workstation, "workstations", list_of(Workstation, user=name)),
        (ApiToken, "tokens", list_of(ApiToken, user=name)),
        (EndedSession, "record", list_of(EndedSession, user=name)),
    )


def of_workstation(request: HttpRequest, pk: uuid.UUID, name: str) -> Related:
    """Return where it leads from a workstation, which may be gone."""
    return _seen(
        request,
        f"Workstation {name}",
        (Workstation, "workstation", page_of(Workstation, pk)),
        (EditSession, "sessions", list_of(EditSession, workstation=pk)),
        (PlaceInLine, "places in line", list_of(PlaceInLine, workstation=pk)),
        (Connection, "connections", list_of(Connection, workstation=pk)),
        (EndedSession, "record", list_of(EndedSession, workstation=pk)),
    )


def _seen(request: HttpRequest, name: str, *links: tuple[type[Model], str, Any]) -> Related:
    seen = visible(request)
    return Related(name, [(text, address) for table, text, address in links if table in seen])
