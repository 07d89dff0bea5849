"""What stands on the page of a row beside its own fields: the first rows of other lists about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst

from sessions_app.admin.shown import linked, note_reader, page_of, visible

# Rows of a section; its list has the others.
MAX_SHOWN = 20

Column = str | Callable[[Any], Any]


@dataclass(frozen=True)
class Section:
    """The first rows of a list.

    Args:
        title: what they are.
        headings: of the columns.
        rows: the cells of each.
        address: of the whole list, filtered.
        more: whether the list has further rows.
    """

    title: str
    headings: list[str]
    rows: list[list[Any]]
    address: str
    more: bool


class FieldColumn:
    """A column that shows a field as it is."""

    def __init__(self, field: str) -> None:
        self.__name__ = field

    def __call__(self, row: Any) -> Any:
        """Return the value of a row."""
        return getattr(row, self.__name__)


def section(
    request: HttpRequest,
    table: type[Model],
    title: str,
    address: str,
    columns: Sequence[Column],
    narrow: Callable[[QuerySet[Any]], QuerySet[Any]],
) -> Section | None:
    """Return the first rows of a table's list.

    Args:
        request: of the reader; None is returned for who may not see the list.
        table: whose list it is.
        title: what the rows are.
        address: of the whole list, filtered.
        columns: names of the list's columns, or functions; the first one leads to the page of a row.
        narrow: leaves the rows that are shown, of all, in their order.
    """
    if table not in visible(request):
        return None
    page: Any = admin.site.get_model_admin(table)
    found = list(narrow(page.get_queryset(request))[: MAX_SHOWN + 1])
    rows = found[:MAX_SHOWN]
    note_reader(request, rows)
    page.note_all(rows)
    shown = [_column(page, one) for one in columns]
    return Section(
        title,
        [capfirst(_heading(one)) for one in shown],
        [_cells(table, row, shown) for row in rows],
        address,
        len(found) > MAX_SHOWN,
    )


def _cells(table: type[Model], row: Any, columns: Sequence[Callable[[Any], Any]]) -> list[Any]:
    first, *others = (column(row) for column in columns)
    return [linked(first, page_of(table, row.pk)), *map(_cell, others)]


def _column(page: Any, column: Column) -> Callable[[Any], Any]:
    """Return what makes the cells of a column: of the list's own, or of a field."""
    if not isinstance(column, str):
        return column
    found: Callable[[Any], Any] = getattr(page, column, None) or FieldColumn(column)
    return found


def _heading(column: Any) -> str:
    return str(getattr(column, "short_description", column.__name__.replace("_", " ")))


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value
