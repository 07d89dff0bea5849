"""Rows as CSV, for spreadsheets: in pages that are read while the client takes them, by a unique key with an index."""

import csv
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from operator import attrgetter
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.db import close_old_connections
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from events_app.fairness.request_gate import STREAMED, place_in
from sessions_app.paging import first_page

# By it Excel knows that it is UTF-8.
MARK: Final = "\ufeff"
# Rows that are read and written at once: some 400 kB, and 20 ms of the database's time.
PAGE = 1000

# What a spreadsheet takes for the beginning of a formula, also in full width, small and as mathematical signs; after
# blanks and quotation marks, and behind what may separate two cells in somebody's settings.
_FORMULA: Final = re.compile(
    r"""(^|[;\t\r\n|]++)([\s"'`\u200b\ufeff]*+[=+\-@\u2212\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b])"""
)


@dataclass(frozen=True)
class Table:
    """What of rows is written.

    Args:
        columns: the name of each, and what makes its value of a row.
        key: of a row, by whose descending order they come; unique, and with an index.
        file: the name of the file.
    """

    columns: Mapping[str, Callable[[Any], Any]]
    key: str
    file: str

    def begin(self) -> str:
        """Return the first line."""
        return MARK + ",".join(self.columns) + "\r\n"

    def lines(self, page: Iterable[Any]) -> str:
        """Return the lines of some rows, each cell in quotation marks: readers differ in their delimiters."""
        text = StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_ALL)
        writer.writerows([cell(value(row)) for value in self.columns.values()] for row in page)
        return text.getvalue()

    def page(self, rows: QuerySet[Any], before: Any, size: int) -> tuple[list[Any], Any]:
        """Return a page, and the key before which the next one begins; None on the last."""
        older = rows if before is None else rows.filter(**{f"{self.key}__lt": before})
        page, last = first_page(older.order_by(f"-{self.key}"), size)
        return page, getattr(last, self.key) if last else None


def fields(*paths: str) -> dict[str, Callable[[Any], Any]]:
    """Return columns that are fields of a row, each by its name."""
    return {path: attrgetter(path) for path in paths}


def answer(
    request: HttpRequest,
    table: Table,
    rows: QuerySet[Any],
    before: Any = None,
    limit: int | None = None,
) -> HttpResponse | StreamingHttpResponse:
    """Return rows as CSV.

    Args:
        request: whose answer it is.
        table: what of them is written.
        rows: which.
        before: only those with a smaller key.
        limit: of rows, the next page is then named in `X-Next`; None for all.
    """
    size = limit or PAGE
    page, following = table.page(rows, before, size)
    begin = table.begin() + table.lines(page)
    response: HttpResponse | StreamingHttpResponse
    if following is None or limit is not None:
        response = HttpResponse(begin, content_type="text/csv; charset=utf-8")
    else:
        # While the client reads, the connection is somebody else's.
        close_old_connections()
        content = _all(request, table, begin, rows, following)
        response = StreamingHttpResponse(content, content_type="text/csv; charset=utf-8")
        name, value = STREAMED
        response[name.decode()] = value.decode()
    response["Content-Disposition"] = f'attachment; filename="{table.file}"'
    if following is not None and limit is not None:
        response["X-Next"] = str(following)
    return response


async def _all(
    request: Any, table: Table, begin: str, rows: QuerySet[Any], before: Any
) -> AsyncIterator[str]:
    """Yield page after page; between two of them neither a thread nor a connection is kept busy."""
    yield begin
    while before is not None:
        async with place_in(request.scope):
            text, before = await sync_to_async(_read)(table, rows, before)
        yield text


def _read(table: Table, rows: QuerySet[Any], before: Any) -> tuple[str, Any]:
    try:
        page, following = table.page(rows, before, PAGE)
        return table.lines(page), following
    finally:
        close_old_connections()


def cell(value: Any) -> str:
    """Return a value as text that no spreadsheet executes: an apostrophe stands before what could be a formula."""
    if value is None:
        return ""
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return _FORMULA.sub(r"\1'\2", text)
