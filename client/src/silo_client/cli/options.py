"""Arguments and options that several commands have, and the completion of part numbers.

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

# A longer completion would be in the way.
COMPLETION_SECONDS = 1.0
COMPLETIONS = 100


class Level(str, Enum):
    sketch = "sketch"
    partdesign = "partdesign"
    assembly = "assembly"


class EndReason(str, Enum):
    released = "released"
    disconnected = "disconnected"
    expired = "expired"
    force_released = "force_released"
    handed_off = "handed_off"
    idle = "idle"
    workstation_deleted = "workstation_deleted"


class Completion(str):
    """A completion. Typer drops those that do not begin, letter by letter, with the typed text."""

    def startswith(self, *whatever: object) -> bool:
        """Let typer keep it."""
        return True


def complete_part(incomplete: str) -> list[str]:
    """Return the part numbers that begin with a text; none where the server does not answer quickly."""
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
        # Any message would be in the way of a person who is typing.
        return []
    begun = folded(incomplete).lstrip()
    return [
        Completion(_for_shell(number)) for number in numbers if name_key(number).startswith(begun)
    ]


def _can_be_completed(number: str) -> bool:
    """Whether a part number, whatever a server has sent, becomes one word of the command line."""
    if os.environ.get("_SILO_COMPLETE") == "complete_zsh" and set(number) & set("\\\"'"):
        # Typer's script for zsh cannot escape these.
        return False
    return is_visible(number)


def _for_shell(number: str) -> str:
    """Return a part number as the shell is to insert it. Bash inserts it as it is; other shells quote by themselves."""
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
        help="The part number; by default all parts.",
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
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON, with times in UTC.")]
