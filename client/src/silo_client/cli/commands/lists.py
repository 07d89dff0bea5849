"""`silo who`, `line` and `items`: present sessions, places in line, parts."""

from typing import Annotated, Any, Optional

import typer

from silo_client.api import Api
from silo_client.cli import sessions
from silo_client.cli.connection import about, connected
from silo_client.cli.exit_codes import CommandError, ExitCode
from silo_client.cli.options import AnyPart, AsJson, Part
from silo_client.cli.output import say, show_table, when, write_json
from silo_client.cli.table import Column
from silo_client.data import person, time_of

LINE_COLUMNS = (
    Column("Place", 0, 5),
    Column("Level", 5, 10),
    Column("Object", 4, 8),
    Column("User", 1, 10),
    Column("Workstation", 3, 10),
    Column("Since", 2, 16),
)
ITEM_COLUMNS = (Column("Part", 0, 12), Column("Type", 2, 8), Column("Description", 1, 12))


def who(
    part: AnyPart = None,
    mine: Annotated[
        bool, typer.Option("--mine", "-m", help="Only your sessions, on all workstations.")
    ] = False,
    user: Annotated[
        Optional[str],
        typer.Option(
            "--user",
            "-u",
            metavar="USER",
            help="Only the sessions of the user with this account.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show who edits what, since when, and who is away, idle or not connected."""
    if mine and user is not None:
        raise CommandError("--mine and --user cannot be combined.", code=ExitCode.USAGE)
    with connected() as api, about(part):
        answer = _held(api, part, mine, user)
    if as_json:
        write_json(answer)
    elif answer["sessions"]:
        # Sessions of one part stand together.
        by_part = sorted(
            answer["sessions"], key=lambda one: (one["part_number"], one["acquired_at"])
        )
        show_table(sessions.COLUMNS, map(sessions.row, by_part))
    else:
        whose = "You are" if mine else f"{user} is" if user is not None else ""
        what = "anything" if part is None else part
        say(f"{whose} not editing {what}." if whose else f"Nobody is editing {what}.")


def _held(api: Api, part: Optional[str], mine: bool, user: Optional[str]) -> dict[str, Any]:
    """Return the list that the options ask for, as the API answers it."""
    if part is not None and not mine and user is None:
        return api.sessions_of(part)
    # The API's own filter by user and item; without `all` it lists the caller's sessions.
    asked = {"item": part, "user": user, "all": None if mine else "true"}
    filters = {name: value for name, value in asked.items() if value is not None}
    held, cursor = api.sessions(**filters)
    if part is not None and not held:
        # A filter by an unknown part finds nothing; this call reports the part.
        api.sessions_of(part)
    return {"sessions": held, "cursor": cursor, "next": None}


def line(part: Part, as_json: AsJson = False) -> None:
    """Show who stands in line for a part."""
    with connected() as api, about(part):
        places = api.line(part)
    if as_json:
        write_json({"requests": places})
    elif places:
        show_table(
            LINE_COLUMNS,
            (
                (
                    str(place["position"]),
                    place["context_level"],
                    place["object_id"],
                    person(place),
                    place["workstation"]["name"],
                    when(time_of(place["requested_at"])),
                )
                for place in places
            ),
        )
    else:
        say(f"Nobody stands in line for {part}.")


def items(
    search: Annotated[
        Optional[str],
        typer.Argument(
            metavar="SEARCH",
            help="Only parts with this text in number or description.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The most to show.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Look for parts."""
    with connected() as api:
        answer = api.pages("/api/items", "items", "after", {"search": search or ""}, limit)
    if as_json:
        write_json(answer)
    elif answer["items"]:
        show_table(
            ITEM_COLUMNS,
            ((one["part_number"], one["item_type"], one["description"]) for one in answer["items"]),
        )
        if answer["next"] is not None:
            say(f"There are more: these are the first {limit}; --limit shows more of them.")
    else:
        say("There are no such parts." if search else "There are no parts.")
