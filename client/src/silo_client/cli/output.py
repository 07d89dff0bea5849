"""Output for people and scripts: tables, times, messages.

On a terminal there are tables with headings, one line for each row (`table.py`); into a pipe or a file go whole rows
with tabs between all columns, without headings and colours, whatever FORCE_COLOR says.
Results go to the standard output, messages to the standard error.

All output passes this module, which makes it visible first (`common/visible.py`): text of other people cannot pose as
a line of this program, or as another cell.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

from rich.console import Console
from rich.text import Text

from silo_client.cli.exit_codes import KILLED
from silo_client.cli.table import Column, make_table
from silo_client.common.visible import visible, visible_json

MINUTE, HOUR, DAY = 60, 3600, 86_400
MARK = "\ufeff"
WARNING, ALARM = "yellow", "bold red"
BROKEN_PIPE = KILLED + (signal.SIGPIPE if hasattr(signal, "SIGPIPE") else 13)


class _Console(Console):
    """A console that takes nothing but a terminal for one: rich believes FORCE_COLOR, too."""

    @property
    def is_terminal(self) -> bool:
        return super().is_terminal and self.file.isatty()


out = _Console(highlight=False)
err = _Console(stderr=True, highlight=False)


def say(message: str, style: str = "") -> None:
    """Write a message to the standard error, in one line that is not wrapped: commands in it can be copied."""
    with suppress(OSError):  # nobody reads it
        text = Text(f"silo: {visible(message)}", style)
        if err.is_terminal:
            # An editor may have set the terminal to raw mode, where a line end alone stays in its column.
            err.file.write("\r")
            err.print(text, soft_wrap=True, end="")
            err.file.write("\r\n")
            err.file.flush()
        else:
            err.print(text, soft_wrap=True)


def write(*cells: str) -> None:
    """Write a line to the standard output at once, with tabs between its cells."""
    _put("\t".join(visible(cell.replace("\t", " ")) for cell in cells))


def _put(text: str) -> None:
    """Write text to the standard output at once. If its reader is gone, the program ends quietly."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter must not write to it at its end, either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(BROKEN_PIPE) from None


def write_json(value: Any, *, indent: int | None = 2) -> None:
    """Write JSON; in one line where `indent` is None."""
    # Letters that cannot be written are escaped, which is JSON as well.
    unicode = (getattr(sys.stdout, "encoding", "") or "").lower().startswith("utf")
    _put(visible_json(json.dumps(value, ensure_ascii=not unicode, indent=indent)))


def write_csv(text: str, *, mark: bool = False) -> None:
    """Write lines of CSV, whose cells may contain line ends; with the mark by which spreadsheets detect UTF-8."""
    _put((MARK if mark else "") + "\n".join(map(visible, text.split("\n"))))


def shown(text: str, style: str = "") -> Text:
    """Return a text of one line as a terminal shows it."""
    return Text(visible(text), style)


def show_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Write a table for a terminal; whole rows of all columns elsewhere."""
    if out.is_terminal:
        out.print(make_table(columns, rows, out.width))
        return
    for row in rows:
        write(*row)


def when(moment: datetime | None, now: datetime | None = None) -> str:
    """Return a time in this machine's time zone, as short as possible: 10:42, 26 Nov 10:42, 2025-11-26 10:42.

    Args:
        moment: with a time zone; None gives "".
        now: the present time, by default that of the system.
    """
    if moment is None:
        return ""
    local = moment.astimezone()
    today = (now or datetime.now(timezone.utc)).astimezone()
    if local.date() == today.date():
        return f"{local:%H:%M}"
    if local.year == today.year:
        return f"{local.day} {local:%b %H:%M}"
    return f"{local:%Y-%m-%d %H:%M}"


def how_long(seconds: float) -> str:
    """Return a duration, as short as is useful: 40 s, 12 min, 3 h 20 min, 2 d."""
    if seconds < MINUTE:
        return f"{max(0, int(seconds))} s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min"
    if seconds < DAY:
        minutes = int(seconds % HOUR // MINUTE)
        return f"{int(seconds // HOUR)} h" + (f" {minutes} min" if minutes else "")
    return f"{int(seconds // DAY)} d"


def ago(moment: datetime | None, now: datetime | None = None) -> str:
    """Return the time since a moment; "" without one."""
    if moment is None:
        return ""
    return how_long(((now or datetime.now(timezone.utc)) - moment).total_seconds())


def one_line(text: str) -> str:
    """Return a typed text without its line ends, which the server refuses."""
    return " ".join(text.split())


def typed(*words: str) -> str:
    """Return a command as it can be typed."""
    return " ".join(shlex.quote(word) for word in words)
