"""How values are shown: times, durations, people, and links to the pages that the reader may see."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from sessions_app.text import duration, unbroken

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

# Of a note, in a list; its page has all of it.
NOTE_SHOWN = 80
NOTHING = "-"


def duration_shown(time: timedelta) -> str:
    """Return a time as a person says it, in at most two units and on one line."""
    return unbroken(duration(time))


def time_shown(time: datetime | None) -> str:
    """Return a time with seconds, in UTC; `admin.js` says it in the zone of the reader's browser."""
    if time is None:
        return NOTHING
    utc = time.astimezone(UTC)
    return format_html(
        '<time datetime="{}">{} UTC</time>',
        utc.isoformat(timespec="seconds"),
        utc.strftime("%Y-%m-%d %H:%M:%S"),
    )


class TimeColumn:
    """A column that shows a time, by which the rows can be sorted.

    Args:
        field: its path from the row, as in a query.
        heading: of the column; the field's name without it.
        ordered: whether the rows can be sorted by it.
    """

    def __init__(self, field: str, heading: str = "", *, ordered: bool = True) -> None:
        self.__name__ = field.rpartition("__")[2]
        self._path = field.split("__")
        self.short_description: _StrOrPromise = heading or self.__name__.replace("_", " ")
        if ordered:
            self.admin_order_field = field

    def __call__(self, row: Any) -> str:
        """Return the time of a row."""
        for name in self._path:
            row = getattr(row, name)
        return time_shown(row)


def object_shown(row: Any) -> str:
    """Return the object of a session, a place in line or a record; none means the whole item."""
    return Truncator(row.object_id).chars(40) or "(whole item)"


def note_shown(note: str) -> str:
    """Return the beginning of a note."""
    return Truncator(note).chars(NOTE_SHOWN) or NOTHING


def note_reader(request: HttpRequest, rows: Iterable[Any]) -> None:
    """Have each of these rows know which pages the reader may see, so that no link leads to a refusal."""
    seen = visible(request)
    for row in rows:
        row.visible = seen


def visible(request: HttpRequest) -> frozenset[type[Model]]:
    """Return the tables whose pages the reader may see; found out once per request."""
    known = vars(request)
    if "visible_tables" not in known:
        pages = admin.site._registry.items()
        known["visible_tables"] = frozenset(
            table for table, page in pages if page.has_view_permission(request)
        )
    seen: frozenset[type[Model]] = known["visible_tables"]
    return seen


def page_of(table: type[Model], pk: Any) -> str:
    """Return the address of a row's page."""
    return reverse(f"admin:{table._meta.app_label}_{table._meta.model_name}_change", args=[pk])


def list_of(table: type[Model], **filters: Any) -> str:
    """Return the address of a table's list, filtered."""
    address = reverse(f"admin:{table._meta.app_label}_{table._meta.model_name}_changelist")
    return f"{address}?{urlencode(filters)}" if filters else address


def to_page(row: Any, table: type[Model], pk: Any, text: Any) -> str:
    """Return a text that leads from a row to the page of another one, where the reader may see that."""
    return linked(text, page_of(table, pk)) if _leads(row, table) else str(text)


def to_list(row: Any, table: type[Model], text: Any, **filters: Any) -> str:
    """Return a text that leads from a row to a filtered list, where the reader may see that."""
    return linked(text, list_of(table, **filters)) if _leads(row, table) else str(text)


def linked(text: Any, address: str) -> SafeString:
    """Return a link."""
    return format_html('<a href="{}">{}</a>', address, text)


def _leads(row: Any, table: type[Model]) -> bool:
    return table in getattr(row, "visible", ())
