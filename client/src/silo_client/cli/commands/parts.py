"""`silo rename` and `silo retire`: changing parts. For admins."""

from typing import Annotated

import typer

from silo_client.cli.connection import about, connected
from silo_client.cli.options import Part
from silo_client.cli.output import say


def rename(
    part: Part,
    new: Annotated[
        str, typer.Argument(metavar="NEW", help="The new part number.", show_default=False)
    ],
) -> None:
    """Change a part's number, or its spelling. For admins.

    Sessions, lines and history stay. The old number still finds the part, but nothing new can begin with it.
    """
    with connected() as api, about(part):
        item = api.rename_item(part, new)
    say(f"{part} is {item['part_number']} now.")


def retire(
    part: Part,
    restore: Annotated[
        bool, typer.Option("--restore", help="Restore the part, so that it can be edited again.")
    ] = False,
) -> None:
    """Retire a part: nothing new begins on it, and lists do not show it. For admins.

    Workstations in its lines leave them; its sessions go on until they are released.
    """
    with connected() as api, about(part):
        item = api.restore_item(part) if restore else api.retire_item(part)
    say(f"{item['part_number']} {'can be edited again' if restore else 'is retired'}.")
