"""The server that a command talks to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from silo_client import credentials
from silo_client.api import Api
from silo_client.cli.exit_codes import CommandError, ExitCode
from silo_client.credentials import Login
from silo_client.errors import ConfigurationError, NotFoundError

# How the server says it, whichever it names.
NO_ITEM = "There is no item "


def make_api(login: Login) -> Api:
    """Return the calls of a server.

    Raises:
        CommandError: its address or its certificates cannot be used.
    """
    try:
        return Api(login.url, login.token, login.ca_file)
    except ConfigurationError as error:
        named = os.environ.get(credentials.CA_FILE_VARIABLE)
        told = named and named == login.ca_file and named in str(error)
        source = f"{credentials.CA_FILE_VARIABLE}: " if told else ""
        raise CommandError(f"{source}{error}.", code=ExitCode.USAGE) from error


def current_login() -> Login:
    """Return what the environment and `silo login` say.

    Raises:
        NotLoggedInError, CredentialsError: see `credentials.current`.
        CommandError: a variable of the environment cannot be used.
    """
    try:
        return credentials.current()
    except ConfigurationError as error:
        raise CommandError(f"{error}.", code=ExitCode.USAGE) from error


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
        if not error.message.startswith(NO_ITEM):
            raise
        raise CommandError(
            error.message if part is None else f"There is no part {part!r}.",
            "`silo items TEXT` looks for parts by number or description.",
            ExitCode.NOT_FOUND,
        ) from error
