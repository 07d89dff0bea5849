"""The connection of a command to the server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from silo_client import credentials
from silo_client.api import Api
from silo_client.cli.exit_codes import CommandError, ExitCode
from silo_client.credentials import Login
from silo_client.errors import ConfigurationError, NotFoundError

# The beginning of the server's message for an unknown item.
NO_ITEM = "There is no item "


def make_api(login: Login) -> Api:
    """Return the `Api` of a login.

    Raises:
        CommandError: the server URL or the CA file is invalid.
    """
    try:
        return Api(login.url, login.token, login.ca_file)
    except ConfigurationError as error:
        named = os.environ.get(credentials.CA_FILE_VARIABLE)
        from_variable = named and named == login.ca_file and named in str(error)
        source = f"{credentials.CA_FILE_VARIABLE}: " if from_variable else ""
        raise CommandError(f"{source}{error}.", code=ExitCode.USAGE) from error


def current_login() -> Login:
    """Return the login of the environment and of `silo login`.

    Raises:
        NotLoggedInError, CredentialsError: see `credentials.current`.
        CommandError: a variable of the environment is invalid.
    """
    try:
        return credentials.current()
    except ConfigurationError as error:
        raise CommandError(f"{error}.", code=ExitCode.USAGE) from error


@contextmanager
def connected() -> Iterator[Api]:
    """Give the `Api` of the current login."""
    api = make_api(current_login())
    try:
        yield api
    finally:
        api.close()


@contextmanager
def about(part: str | None) -> Iterator[None]:
    """Report an unknown item by the part that was typed."""
    try:
        yield
    except NotFoundError as error:
        if not error.message.startswith(NO_ITEM):
            raise
        raise CommandError(
            error.message if part is None else f"There is no part {part!r}.",
            "`silo items TEXT` looks for parts by number or description.",
            ExitCode.NOT_FOUND,
        ) from error
