"""The page of an item: its sessions, its line, and its history."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from board_app import links
from board_app.access import moved, page
from board_app.history import record
from board_app.history.page import Subject, answer
from board_app.history.rows import by_object
from board_app.pages import not_there
from sessions_app.authentication import Principal
from sessions_app.errors import NotFound
from sessions_app.models import EditSession, Item, PlaceInLine
from sessions_app.text import part_number_fault, trimmed

# An item is seldom renamed, but many may be merged into it.
MOST_FORMER = 20


@csrf_exempt
@require_safe
@page
def show(request: HttpRequest, who: Principal, part_number: str) -> HttpResponse:
    """Answer with the page of an item; another spelling of its number, or a former one, leads to it."""
    if fault := part_number_fault(part_number):
        raise NotFound(f"This is no part number: {fault}.")
    number = trimmed(part_number)
    item = Item.objects.known([number]).get(number)
    if item is None:
        return _of_the_record(request, who, number)
    if item.part_number != part_number:
        return moved(request, links.item_page(item.part_number))
    merged = item.former_part_numbers.order_by("-pk")[: MOST_FORMER + 1]
    former = [one.part_number for one in merged if one.part_number != item.part_number]
    return _answer(
        request,
        who,
        item.part_number,
        EditSession.objects.filter(item=item),
        PlaceInLine.objects.filter(item=item),
        item=item,
        former=former[:MOST_FORMER],
        has_more_former=len(former) > MOST_FORMER,
    )


def _of_the_record(request: HttpRequest, who: Principal, number: str) -> HttpResponse:
    """Answer with the page of an item that is not there any more, from the record."""
    if record.latest(record.of_item(number)) is None:
        return not_there.item(request, who, number)
    return _answer(request, who, number, None, None)


def _answer(
    request: HttpRequest, who: Principal, number: str, sessions: Any, places: Any, **more: Any
) -> HttpResponse:
    context = {"part_number": number, "item": None, **more}
    records = record.of_item(number)
    subject = Subject(sessions, places, records, by_object, context["item"], ("item", number))
    return answer(request, who, "board/item.html", subject, lambda _: context)
