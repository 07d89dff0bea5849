"""What every request of either process says: its headers, its path, the size of a page."""

from __future__ import annotations

from urllib.parse import quote

from silo_client.version import __version__

CONNECT_SECONDS = 5.0
# The most that a server gives in a page.
PAGE = 1000
# The most sessions that a server releases in one request.
RELEASED_AT_ONCE = 1000


def headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "User-Agent": f"silo-client/{__version__}"}


def machine_header(running: str) -> dict[str, str]:
    """Return the header that names the running machine, where there is a name. An older server ignores it."""
    return {"Silo-Machine": running} if running else {}


def part_path(part_number: str, *more: str) -> str:
    """Return the path of an item's resource; slashes in the part number are quoted."""
    return "/".join(["/api/items", quote(part_number, safe=""), *more])
