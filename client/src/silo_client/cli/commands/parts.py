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
    """Give a part another number, or another spelling. For admins.

    Sessions, line and history stay. The old number still finds them, but nothing new is begun by it.
    """
    with connected() as api, about(part):
        told = api.rename_item(part, new)
    say(f"{part} is {told['part_number']} now.")


def retire(
    part: Part,
    restore: Annotated[
        bool, typer.Option("--restore", help="Have it be edited again instead.")
    ] = False,
) -> None:
    """Have nothing new begun on a part, and nobody find it in lists. For admins.

    Who stands in line for it leaves the line; what is edited goes on until it is released.
    """
    with connected() as api, about(part):
        told = api.restore_item(part) if restore else api.retire_item(part)
    say(f"{told['part_number']} {'can be edited again' if restore else 'is retired'}.")
