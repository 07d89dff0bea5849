"""The addresses of the pages of an item, a workstation and a user. A name is percent-encoded, slashes in it too."""

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


def _address(kind: str, name: str) -> str:
    return f"{get_script_prefix()}{kind}/{quote(name, safe='')}"
