"""`silo history`: ended sessions."""

import re
import sys
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Optional

import typer

from silo_client.api import Api
from silo_client.cli.connection import about, connected
from silo_client.cli.exit_codes import CommandError, ExitCode
from silo_client.cli.options import AnyPart, AsJson, EndReason
from silo_client.cli.output import MARK, how_long, say, show_table, when, write_csv, write_json
from silo_client.cli.table import Column
from silo_client.data import person, time_of
from silo_client.network.requests import PAGE

PATH = "/api/edit-sessions/history"
LIMIT = 100
COLUMNS = (
    Column("Part", 0, 12),
    Column("Level", 8, 10),
    Column("Object", 7, 8),
    Column("User", 1, 10),
    Column("Workstation", 5, 10),
    Column("From", 6, 16),
    Column("For", 4, 11),
    Column("Ended", 3, 16),
    Column("How", 2, 12),
)
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
MOMENT = "a date (2025-11-26), a time ('2025-11-26 10:42', this machine's zone) or how long ago (30m, 2h, 7d)"


def moment(text: str, now: Optional[datetime] = None) -> datetime:
    """Return the moment that a text names.

    Args:
        text: a date, a date and a time (local where no zone is named), or how long ago: 30m, 2h, 7d, 1w.
        now: the present time, for texts of the last kind.

    Raises:
        CommandError: the text is none of these.
    """
    try:
        if match := re.fullmatch(r"(\d{1,6})([mhdw])", text.strip()):
            past = timedelta(**{UNITS[match[2]]: int(match[1])})
            return (now or datetime.now(timezone.utc)) - past
        # Python before 3.11 does not read the Z.
        named = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
        return named.astimezone(timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise CommandError(f"{text!r} is not {MOMENT}.", code=ExitCode.USAGE) from error


def history(
    part: AnyPart = None,
    user: Annotated[
        Optional[str],
        typer.Option(metavar="USER", help="Only this user's sessions.", show_default=False),
    ] = None,
    reason: Annotated[
        Optional[EndReason],
        typer.Option(help="Only sessions that ended for this reason.", show_default=False),
    ] = None,
    since: Annotated[
        Optional[str],
        typer.Option(metavar="WHEN", help=f"Ended at or after: {MOMENT}.", show_default=False),
    ] = None,
    until: Annotated[
        Optional[str],
        typer.Option(metavar="WHEN", help="Ended before; as --since.", show_default=False),
    ] = None,
    limit: Annotated[
        Optional[int],
        typer.Option(
            metavar="N",
            min=1,
            help="The most to show; by default 100, with --csv all.",
            show_default=False,
        ),
    ] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print the API's CSV, for spreadsheets.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show sessions that have ended, the latest first."""
    wanted: dict[str, Any] = {
        "item": part,
        "user": user,
        "reason": reason and reason.value,
        "since": since and moment(since).isoformat(),
        "until": until and moment(until).isoformat(),
    }
    params = {name: value for name, value in wanted.items() if value is not None}
    with connected() as api:
        if as_csv:
            _write_csv(api, params, limit)
            return
        limit = limit or LIMIT
        answer = api.pages(PATH, "history", "before", params, limit)
        if not answer["history"]:
            _check_part(api, part)
    if as_json:
        write_json(answer)
    elif answer["history"]:
        show_table(COLUMNS, map(_row, answer["history"]))
        if answer["next"] is not None:
            say(f"There are more: these are the last {limit}; --limit shows more of them.")
    else:
        say("No session has ended." if not params else "No session has ended that matches this.")


def _check_part(api: Api, part: Optional[str]) -> None:
    """Report a part that has no history and does not exist: the history outlives parts."""
    if part is not None:
        with about(part):
            api.sessions_of(part)


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    begun, ended = time_of(record["acquired_at"]), time_of(record["released_at"])
    assert begun is not None
    assert ended is not None
    how = record["reason"].replace("_", " ")
    how += f" by {record['ended_by']}" if record["ended_by"] else ""
    how += f": {record['note']}" if record["note"] else ""
    return (
        record["part_number"],
        record["context_level"],
        record["object_id"],
        person(record),
        record["workstation"]["name"],
        when(begun),
        how_long((ended - begun).total_seconds()),
        when(ended),
        how,
    )


def _write_csv(api: Api, params: dict[str, Any], limit: Optional[int]) -> None:
    """Write the API's pages one after the other, with the headings and the mark of the first one."""
    params = params | {"format": "csv"}
    left, first = limit, True
    while left is None or left > 0:
        size = PAGE if left is None else min(left, PAGE)
        page = api.call("GET", PATH, params=params | {"limit": size})
        headings, _, records = page.text.partition("\r\n")
        if first:
            if not records:
                _check_part(api, params.get("item"))
            write_csv(headings.lstrip(MARK), mark=_writes_unicode())
        if records:
            write_csv(records.replace("\r\n", "\n").rstrip("\n"))
        following = page.headers.get("X-Next")
        if following is None:
            return
        params["before"], first = following, False
        left = None if left is None else left - size


def _writes_unicode() -> bool:
    """Whether the byte order mark can be written and is of use: not at a terminal."""
    encoding = (getattr(sys.stdout, "encoding", "") or "").lower()
    return encoding.startswith("utf") and not sys.stdout.isatty()
