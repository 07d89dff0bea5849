"""Pages that say that something is not there, and what to look at instead."""

from typing import Any

from django.http import HttpRequest, HttpResponse

from board_app.access import shown
from sessions_app.authentication import Principal
from sessions_app.models import Item
from sessions_app.text import name_key

# Of items whose numbers begin alike.
MOST_ALIKE = 8
# So many of the last characters may be others.
_SHORTER_BY = 2


def item(request: HttpRequest, who: Principal, part_number: str) -> HttpResponse:
    """Answer that there is no such item; the page names some whose numbers begin alike."""
    text = "No item has this part number, and the record has no session on one."
    return _answer(request, who, f"There is no item {part_number}", text, _alike(part_number))


def workstation(request: HttpRequest, who: Principal) -> HttpResponse:
    """Answer that there is no such workstation."""
    text = (
        "No workstation with this id holds a session, waits in line or is in the record. Workstations that never "
        "held a session are shown to their user and to admins only."
    )
    return _answer(request, who, "There is no such workstation", text)


def user(request: HttpRequest, who: Principal) -> HttpResponse:
    """Answer that there is no such user."""
    text = (
        "No user with this name holds a session, waits in line or is in the record. Give the name of the account, "
        "not the full name."
    )
    return _answer(request, who, "There is no such user", text)


def _alike(part_number: str) -> list[str]:
    """Return part numbers that begin as this one does but for its last characters: one query, by the keys' index."""
    key = name_key(part_number)
    begin = key[: max(2, len(key) - _SHORTER_BY)]
    found = Item.objects.filter(key__startswith=begin).order_by("key")
    return list(found.values_list("part_number", flat=True)[:MOST_ALIKE])


def _answer(
    request: HttpRequest, who: Principal, title: str, text: str, alike: Any = ()
) -> HttpResponse:
    context = {"title": title, "text": text, "alike": alike}
    return shown(request, who, "board/not_there.html", context, 404)
