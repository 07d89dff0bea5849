"""The first page: who edits what, right now."""

import uuid
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from board_app import live, rows
from board_app.access import page, shown
from board_app.filters import SILENT_MINUTES, Filters
from board_app.history.record import MOST
from board_app.history.rows import in_line
from sessions_app.authentication import Principal
from sessions_app.errors import Invalid

# In one request for changed rows: their ids fit into a request line many times over.
MAX_ITEMS: Final = 100


# A write to this address is told that it cannot be, not that it was forged.
@csrf_exempt
@require_safe
@page
def show(request: HttpRequest, who: Principal) -> HttpResponse:
    """Answer with a page of the sessions, the latest first."""
    filters = Filters.of(request.GET)
    context = {**live.table(who, filters), "silent_minutes": SILENT_MINUTES}
    return shown(request, who, "board/sessions.html", context)


@require_safe
@page
def changed(request: HttpRequest, who: Principal) -> HttpResponse:
    """Answer with rows of a page: all of them, or those on the items that `items` names, down to the token `lowest`.

    With `places` also with the places in line of the item, the user or the workstation that the page is about.
    """
    filters = Filters.of(request.GET)
    context = _places(filters) if "places" in request.GET else {}
    if "items" not in request.GET:
        return shown(request, who, "board/changed.html", {**context, **live.page(who, filters)})
    try:
        items = {uuid.UUID(text) for text in request.GET["items"].split(",")}
        lowest = int(request.GET.get("lowest") or 0)
    except ValueError:
        raise Invalid("These are no ids of items, or no fencing token.") from None
    if len(items) > MAX_ITEMS or not 0 <= lowest < 2**63:
        raise Invalid(f"At most {MAX_ITEMS} items are asked for, and from a fencing token on.")
    context["rows"] = rows.on_items(who, filters, items, lowest)
    return shown(request, who, "board/changed.html", context)


def _places(filters: Filters) -> dict[str, object]:
    places, has_more = in_line(filters.places())
    return {
        "with_places": True,
        "zone": None,
        "places": places,
        "has_more_places": has_more,
        "most": MOST,
        "part_number": filters.item,
        "workstation_id": filters.workstation,
        "is_of_one_user": bool(filters.user or filters.workstation),
    }
