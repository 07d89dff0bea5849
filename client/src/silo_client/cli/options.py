"""The arguments and options that several commands have, and the completion of part numbers.

Typer reads the annotations while the program runs, so they are written as Python 3.9 has them.
"""

import os
import re
from enum import Enum
from typing import Annotated, Optional

import httpx
import typer

from silo_client import credentials
from silo_client.common.part_numbers import folded, name_key
from silo_client.common.visible import is_visible
from silo_client.network.requests import headers
from silo_client.network.route import route_to

# Nobody waits longer for a completion.
COMPLETION_SECONDS = 1.0
COMPLETIONS = 100


class Level(str, Enum):
    """The context levels."""

    sketch = "sketch"
    partdesign = "partdesign"
    assembly = "assembly"


class EndReason(str, Enum):
    """How a session can end."""

    released = "released"
    disconnected = "disconnected"
    expired = "expired"
    force_released = "force_released"
    handed_off = "handed_off"
    idle = "idle"
    workstation_deleted = "workstation_deleted"


class Completion(str):
    """What is inserted in place of what was typed. Typer drops what does not begin, letter by letter, like that."""

    def startswith(self, *whatever: object) -> bool:
        """Let typer keep it."""
        return True


def complete_part(incomplete: str) -> list[str]:
    """Return the part numbers that begin so. Without a server, or a quick one, there are none."""
    try:
        login = credentials.current()
        answer = httpx.get(
            f"{login.url}/api/items",
            # A server that is older than this knows no prefix.
            params={"prefix": incomplete, "search": incomplete, "limit": COMPLETIONS},
            headers=headers(login.token),
            timeout=COMPLETION_SECONDS,
            **route_to(login.url, login.ca_file).options,
        )
        answer.raise_for_status()
        numbers = [str(item["part_number"]) for item in answer.json()["items"]]
        numbers = [number for number in numbers if _can_be_completed(number)]
    except Exception:
        # Someone is typing: anything that is said now would be in the way.
        return []
    begun = folded(incomplete).lstrip()
    return [
        Completion(_for_shell(number)) for number in numbers if name_key(number).startswith(begun)
    ]


def _can_be_completed(number: str) -> bool:
    """Whether it becomes one word of the line that is typed, whatever a server has sent."""
    if os.environ.get("_SILO_COMPLETE") == "complete_zsh" and set(number) & set("\\\"'"):
        # Typer's script for zsh has no way to say these.
        return False
    return is_visible(number)


def _for_shell(number: str) -> str:
    """Return a part number as the shell is to insert it. Bash takes it as it is; the others quote by themselves."""
    if not os.environ.get("COMP_WORDS") or _is_quoted():
        return number
    return re.sub(r"([^\w@%+=:,./-])", r"\\\1", number)


def _is_quoted() -> bool:
    # Typer's script has bash write the words with a line end between them.
    words = os.environ["COMP_WORDS"].split("\n")
    try:
        return words[int(os.environ["COMP_CWORD"])].startswith(("'", '"'))
    except (KeyError, ValueError, IndexError):
        return False


Part = Annotated[
    str,
    typer.Argument(
        metavar="PART", help="The part number.", show_default=False, autocompletion=complete_part
    ),
]
AnyPart = Annotated[
    Optional[str],
    typer.Argument(
        metavar="PART",
        help="The part number; every part without it.",
        show_default=False,
        autocompletion=complete_part,
    ),
]
AnyLevel = Annotated[
    Optional[Level],
    typer.Option("--level", "-l", help="Only at this context level.", show_default=False),
]
AnyObject = Annotated[
    Optional[str],
    typer.Option(
        "--object",
        "-o",
        metavar="OBJECT",
        help="Only this object; '' for the whole part.",
        show_default=False,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the API's own JSON, with times in UTC.")
]
