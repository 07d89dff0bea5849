"""Keyset pages: a list is read from the key of the last row of the page before, never by counting rows."""

from typing import TypeVar

from django.db.models import Model, QuerySet

Row = TypeVar("Row", bound=Model)


def first_page(rows: QuerySet[Row], limit: int) -> tuple[list[Row], Row | None]:
    """Read a page, and one row more to see whether there is another page.

    Args:
        rows: in their order, from where the page begins.
        limit: how many rows.

    Returns:
        The page; and its last row, whose key `next` names, or None on the last page.
    """
    found = list(rows[: limit + 1])
    return found[:limit], found[limit - 1] if len(found) > limit else None
