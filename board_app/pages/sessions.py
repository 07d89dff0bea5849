"""The first page: who edits what, right now."""

import uuid
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from board_app import rows
from board_app.access import page, shown
from board_app.filters import SILENT_MINUTES, Filters
from sessions_app.authentication import Principal
from sessions_app.errors import Invalid
from sessions_app.payloads.events import EVENTS

# Those of a stream itself say nothing of a session.
CHANGES: Final = [name for name in EVENTS if "." in name]
# In one request for changed rows: their ids fit into a request line many times over.
MAX_ITEMS: Final = 100


# A write to this address is told that it cannot be, not that it was forged.
@csrf_exempt
@require_safe
@page
def show(request: HttpRequest, who: Principal) -> HttpResponse:
    """Answer with a page of the sessions, the latest first."""
    filters = Filters.of(request.GET)
    context = {
        "page": rows.page(who, filters),
        "filters": filters,
        "silent_minutes": SILENT_MINUTES,
        "changes": " ".join(CHANGES),
    }
    return shown(request, who, "board/sessions.html", _with_next(context))


@require_safe
@page
def changed(request: HttpRequest, who: Principal) -> HttpResponse:
    """Answer with rows of a page: all of them, or those on the items that `items` names, down to the token `lowest`."""
    filters = Filters.of(request.GET)
    if "items" not in request.GET:
        context = {"page": rows.page(who, filters), "filters": filters}
        return shown(request, who, "board/changed.html", _with_next(context))
    try:
        items = {uuid.UUID(text) for text in request.GET["items"].split(",")}
        lowest = int(request.GET.get("lowest") or 0)
    except ValueError:
        raise Invalid("These are no ids of items, or no fencing token.") from None
    if len(items) > MAX_ITEMS or not 0 <= lowest < 2**63:
        raise Invalid(f"At most {MAX_ITEMS} items are asked for, and from a fencing token on.")
    found = rows.on_items(who, filters, items, lowest)
    return shown(request, who, "board/changed.html", {"rows": found, "filters": filters})


def _with_next(context: dict[str, object]) -> dict[str, object]:
    found, filters = context["page"], context["filters"]
    assert isinstance(found, rows.Page)
    assert isinstance(filters, Filters)
    further = "" if found.after is None else filters.query_before(found.after)
    return {**context, "rows": found.rows, "next": further}
