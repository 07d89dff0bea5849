"""The history as CSV, for spreadsheets: whole, in pages that are read while the client takes them."""

import csv
import re
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from io import StringIO
from typing import Any

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from events_app.fairness.request_gate import STREAMED, place_in
from sessions_app.models import EndedSession
from sessions_app.models.ended_session import EndedSessionQuerySet
from sessions_app.paging import first_page

COLUMNS = (
    "session_id",
    "item_id",
    "part_number",
    "username",
    "workstation_id",
    "workstation_name",
    "context_level",
    "object_id",
    "fencing_token",
    "acquired_at",
    "last_heartbeat",
    "released_at",
    "reason",
    "ended_by",
    "note",
    "user_name",
    "session_note",
)
# By it Excel knows that it is UTF-8.
MARK = "\ufeff"
# Rows that are read and written at once: some 400 kB, and 20 ms of the database's time.
PAGE = 1000

# What a spreadsheet takes for the beginning of a formula, also in full width, small and as mathematical signs; after
# blanks and quotation marks, and behind what may separate two cells in somebody's settings.
_FORMULA = re.compile(
    r"""(^|[;\t\r\n|]++)([\s"'`\u200b\ufeff]*+[=+\-@\u2212\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b])"""
)


def answer(
    request: HttpRequest, records: EndedSessionQuerySet, before: int | None, limit: int | None
) -> HttpResponse | StreamingHttpResponse:
    """Return the records as CSV, the latest first.

    Args:
        request: whose answer it is.
        records: which.
        before: only those with a smaller id.
        limit: of rows, the next page is then named in `X-Next`; None for all.
    """
    size = limit or PAGE
    page, following = _page(records, before, size)
    begin = MARK + ",".join(COLUMNS) + "\r\n" + rows(page)
    response: HttpResponse | StreamingHttpResponse
    if following is None or limit is not None:
        response = HttpResponse(begin, content_type="text/csv; charset=utf-8")
    else:
        # While the client reads, the connection is somebody else's.
        close_old_connections()
        content = _all(request, begin, records, following)
        response = StreamingHttpResponse(content, content_type="text/csv; charset=utf-8")
        name, value = STREAMED
        response[name.decode()] = value.decode()
    response["Content-Disposition"] = 'attachment; filename="edit-sessions.csv"'
    if following is not None and limit is not None:
        response["X-Next"] = str(following)
    return response


async def _all(
    request: Any, begin: str, records: EndedSessionQuerySet, before: int | None
) -> AsyncIterator[str]:
    """Yield page after page; between two of them neither a thread nor a connection is kept busy."""
    yield begin
    while before is not None:
        async with place_in(request.scope):
            text, before = await sync_to_async(_read)(records, before)
        yield text


def _read(records: EndedSessionQuerySet, before: int) -> tuple[str, int | None]:
    try:
        page, following = _page(records, before, PAGE)
        return rows(page), following
    finally:
        close_old_connections()


def _page(
    records: EndedSessionQuerySet, before: int | None, size: int
) -> tuple[list[EndedSession], int | None]:
    """Return a page, and the id before which the next one begins; None on the last."""
    page, last = first_page(records.before(before), size)
    return page, last.pk if last else None


def rows(page: Iterable[EndedSession]) -> str:
    """Return the lines of CSV of some records, each cell in quotation marks: readers differ in their delimiters."""
    text = StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([cell(getattr(record, name)) for name in COLUMNS] for record in page)
    return text.getvalue()


def cell(value: Any) -> str:
    """Return a value as text that no spreadsheet executes: an apostrophe stands before what could be a formula."""
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return _FORMULA.sub(r"\1'\2", text)
