"""What a page needs to show sessions live: its rows, and by what the script reads them anew."""

from typing import Any, Final
from urllib.parse import urlencode

from board_app import rows
from board_app.filters import Filters
from sessions_app.authentication import Principal
from sessions_app.payloads.events import EVENTS

# Those of a stream itself say nothing of a session.
CHANGES: Final = " ".join(name for name in EVENTS if "." in name)


def table(who: Principal, filters: Filters, *, part_number: str = "") -> dict[str, Any]:
    """Return what `board/live.html` needs of a page.

    Args:
        who: who asks.
        filters: which sessions it shows.
        part_number: of the item, where all of them are on one: the stream then brings only what happens there.
    """
    return {
        **page(who, filters),
        "changes": CHANGES,
        "stream": urlencode({"item": part_number} if part_number else {"all": "true"}),
    }


def page(who: Principal, filters: Filters) -> dict[str, Any]:
    """Return a page of rows, with the query of the next one."""
    found = rows.page(who, filters)
    further = "" if found.after is None else filters.query_before(found.after)
    return {"page": found, "rows": found.rows, "next": further, "filters": filters}
