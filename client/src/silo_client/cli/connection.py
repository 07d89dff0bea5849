"""The server that a command talks to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from silo_client import credentials
from silo_client.api import Api
from silo_client.cli.exit_codes import CommandError, ExitCode
from silo_client.credentials import Login
from silo_client.errors import ConfigurationError, NotFoundError

PAGE = 1000


def make_api(login: Login) -> Api:
    """Return the calls of a server.

    Raises:
        CommandError: its address or its certificates cannot be used.
    """
    try:
        return Api(login.url, login.token, login.ca_file)
    except ConfigurationError as error:
        raise CommandError(f"{error}.", code=ExitCode.USAGE) from error


def current_login() -> Login:
    """Return what the environment and `silo login` say.

    Raises:
        NotLoggedInError, CredentialsError: see `credentials.current`.
        CommandError: SILO_URL is no address.
    """
    try:
        return credentials.current()
    except ConfigurationError as error:
        raise CommandError(f"SILO_URL: {error}.", code=ExitCode.USAGE) from error


@contextmanager
def connected() -> Iterator[Api]:
    """Give the calls of the server that is logged in to."""
    api = make_api(current_login())
    try:
        yield api
    finally:
        api.close()


@contextmanager
def about(part: str | None) -> Iterator[None]:
    """Say of which part it is that there is none."""
    try:
        yield
    except NotFoundError as error:
        if part is None or "item" not in error.message:
            raise
        raise CommandError(
            f"There is no part {part!r}.",
            "`silo items TEXT` looks for parts by number or description.",
            ExitCode.NOT_FOUND,
        ) from error


def pages(
    api: Api, path: str, members: str, cursor: str, params: dict[str, Any], most: int
) -> dict[str, Any]:
    """Read a list that comes in pages.

    Args:
        api: of the server.
        path: of the list.
        members: the list's name in the answer.
        cursor: the parameter that names the next page.
        params: of the request.
        most: how many to read.

    Returns:
        the answer as if it had come in one page.
    """
    found: list[Any] = []
    following: Any = None
    while True:
        asked = params | {"limit": min(PAGE, most - len(found))}
        if following is not None:
            asked[cursor] = following
        page = api.call("GET", path, params=asked).json()
        found += page[members]
        following = page["next"]
        if following is None or len(found) >= most:
            return {members: found, "next": following}
