"""`silo who`, `line` and `items`: present sessions, places in line, parts."""

from typing import Annotated, Any, Optional

import typer

from silo_client.cli import sessions
from silo_client.cli.connection import about, connected
from silo_client.cli.options import AnyPart, AsJson, Part
from silo_client.cli.output import say, show_table, when, write_json
from silo_client.data import person, time_of


def who(part: AnyPart = None, as_json: AsJson = False) -> None:
    """Show who edits what, since when, and who is away or idle."""
    answer: dict[str, Any]
    with connected() as api, about(part):
        if part is None:
            held, cursor = api.sessions(all="true")
            answer = {"sessions": held, "cursor": cursor, "next": None}
        else:
            answer = api.sessions_of(part)
    if as_json:
        write_json(answer)
    elif answer["sessions"]:
        # Sessions of one part stand together.
        by_part = sorted(
            answer["sessions"], key=lambda one: (one["part_number"], one["acquired_at"])
        )
        show_table(sessions.COLUMNS, map(sessions.row, by_part))
    else:
        say(f"Nobody is editing {'anything' if part is None else part}.")


def line(part: Part, as_json: AsJson = False) -> None:
    """Show who stands in line for a part."""
    with connected() as api, about(part):
        places = api.line(part)
    if as_json:
        write_json({"requests": places})
    elif places:
        show_table(
            ("Place", "Level", "Object", "User", "Workstation", "Since"),
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
    limit: Annotated[int, typer.Option(min=1, help="The most to show.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Look for parts."""
    with connected() as api:
        answer = api.pages("/api/items", "items", "after", {"search": search or ""}, limit)
    if as_json:
        write_json(answer)
    elif answer["items"]:
        show_table(
            ("Part", "Type", "Description"),
            ((one["part_number"], one["item_type"], one["description"]) for one in answer["items"]),
        )
        if answer["next"] is not None:
            say(f"There are more: these are the first {limit}; --limit shows more of them.")
    else:
        say("There are no such parts." if search else "There are no parts.")
