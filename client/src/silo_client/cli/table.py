"""Tables for a terminal of any width: each row is one line.

Where the width does not do, the columns of the highest ranks are dropped, then the widest ones are cut, with an
ellipsis. Widths are those that a terminal shows: an East Asian character takes two cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from silo_client.common.visible import visible

# A blank before each column, and the divider's between two of them.
PADDING, DIVIDER = 1, 1


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        name: the heading.
        rank: columns of higher ranks are dropped earlier; one of rank 0 stays.
        least: the cells that it is not cut below, where its content is not shorter anyway.
    """

    name: str
    rank: int
    least: int = 8


def one_line_of(text: str, style: str = "") -> Text:
    """Return a text as a terminal shows it: in one line, which ends with an ellipsis where there is no room."""
    return Text(visible(text), style, no_wrap=True, overflow="ellipsis")


def make_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int) -> Table:
    """Return a table that is at most `width` cells wide, with one line for each row.

    Args:
        columns: its columns; those without any content are left out.
        rows: the cells of each row, one for each column. Hidden characters are shown as escapes.
        width: of the terminal.
    """
    cells = [[visible(cell) for cell in row] for row in rows]
    widths = fit(columns, cells, width)
    # With a blank before it, the first cell cannot look like a message of `say`.
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, header_style="bold", padding=(0, 0, 0, PADDING)
    )
    for at, wide in widths.items():
        table.add_column(columns[at].name, width=wide, no_wrap=True, overflow="ellipsis")
    for row in cells:
        # Not as rich's markup: a part number may contain brackets.
        table.add_row(*(Text(row[at]) for at in widths))
    return table


def fit(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> dict[int, int]:
    """Return the columns to show, by their places in `columns`, and the cells that each is wide."""
    widths = {
        at: max(cell_len(text) for text in (column.name, *(row[at] for row in rows)))
        for at, column in enumerate(columns)
        if column.rank == 0 or any(row[at] for row in rows)
    }
    least = {at: min(wide, columns[at].least) for at, wide in widths.items()}
    while len(widths) > 1 and _total(least) > width:
        last = max(widths, key=lambda at: columns[at].rank)
        del widths[last], least[last]
    while _total(widths) > width:
        with_room = [at for at in widths if widths[at] > least[at]]
        if not with_room:
            # One column, on a terminal that is narrower than the least of it.
            return {at: max(1, width - PADDING) for at in widths}
        widths[max(with_room, key=lambda at: widths[at])] -= 1
    return widths


def _total(widths: dict[int, int]) -> int:
    """Return the cells that columns of these widths take, with what is between them."""
    return sum(widths.values()) + PADDING * len(widths) + DIVIDER * (len(widths) - 1)
