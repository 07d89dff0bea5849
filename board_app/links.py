"""The addresses of the pages of items, workstations, users and sessions. Names are percent-encoded, slashes too."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

from django.urls import get_script_prefix


def item_page(part_number: str) -> str:
    """Return the address of the page of an item."""
    return _address("items", part_number)


def workstation_page(workstation_id: UUID | str) -> str:
    """Return the address of the page of a workstation."""
    return _address("workstations", str(workstation_id))


def user_page(username: str) -> str:
    """Return the address of the page of a user."""
    return _address("users", username)


def session_page(session_id: UUID | str) -> str:
    """Return the address of the page of an active session."""
    return _address("board/sessions", str(session_id))


def _address(kind: str, name: str) -> str:
    return f"{get_script_prefix()}{kind}/{quote(name, safe='')}"


# The page of a row, by its model: the setting ABSOLUTE_URL_OVERRIDES, by which the admin site leads to the board.
OF_ROWS: Final[Mapping[str, Callable[[Any], str]]] = {
    "auth.user": lambda user: user_page(user.get_username()),
    "sessions_app.editsession": lambda session: session_page(session.pk),
    "sessions_app.item": lambda item: item_page(item.part_number),
    "sessions_app.workstation": lambda workstation: workstation_page(workstation.pk),
}
