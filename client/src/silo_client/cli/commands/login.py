"""`silo login` and `silo logout`."""

import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Optional
from urllib.parse import urlsplit

import typer

from silo_client import credentials
from silo_client.cli.connection import make_api
from silo_client.cli.exit_codes import CommandError, ExitCode
from silo_client.cli.output import WARNING, say
from silo_client.credentials import CredentialsError, Login
from silo_client.errors import ConfigurationError
from silo_client.network.address import check_token, check_url

Url = Annotated[
    Optional[str],
    typer.Argument(
        metavar="URL",
        help="The server's URL, such as https://silo.example.com.",
        show_default=False,
    ),
]


def login(
    url: Url = None,
    token_stdin: Annotated[
        bool, typer.Option("--token-stdin", help="Read the token from the standard input.")
    ] = False,
    ca_file: Annotated[
        Optional[Path],
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            resolve_path=True,
            help="A PEM file of certificates to trust, for a server whose certificate your own authority has issued.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Log in: check a server's URL and your token with the server, and keep them.

    An admin gives you the token. It is kept in the system's keyring where the package keyring is installed
    (pip install 'silo-client[keyring]'), else in a file that only you can read. SILO_URL, SILO_TOKEN and SILO_CA_FILE
    override the kept values.
    """
    address = _address(url or _ask_url())
    token = _token(token_stdin)
    found = Login(address, token, str(ca_file) if ca_file else None)
    api = make_api(found)
    try:
        api.workstations()
    finally:
        api.close()
    where = credentials.store(found)
    say(f"Logged in to {address}. The token is in {where}.")
    if not _is_private(address):
        say("The URL is not https: others on the network can read the token.", WARNING)


def logout(url: Url = None) -> None:
    """Log out: remove the URL and the token that `silo login` keeps.

    The token stays valid; an admin can withdraw it.
    """
    address = _address(url) if url else credentials.kept_url()
    if not address or not credentials.forget(address):
        raise CommandError("You are not logged in.", code=ExitCode.NOT_LOGGED_IN)
    say(f"Logged out of {address}.")


def _ask_url() -> str:
    if not sys.stdin.isatty():
        raise CommandError("Name the server: `silo login URL`.", code=ExitCode.USAGE)
    try:
        kept = credentials.kept_url() or None
    except CredentialsError:
        # A broken file is replaced.
        kept = None
    return str(typer.prompt("URL of the server", default=kept, err=True))


def _address(url: str) -> str:
    try:
        if "://" not in url:
            # A server on this machine is mostly one for trying Silo out.
            url = f"http://{url}" if _is_private(f"http://{url}") else f"https://{url}"
        return check_url(url)
    except ValueError as error:  # of urlsplit, too
        raise CommandError(f"{error}.", code=ExitCode.USAGE) from error


def _token(from_stdin: bool) -> str:
    if from_stdin:
        token = sys.stdin.read().strip()
    elif sys.stdin.isatty():
        token = str(typer.prompt("Token", hide_input=True, err=True)).strip()
    else:
        raise CommandError(
            "There is no terminal to ask for the token.",
            "Pass it on standard input: `silo login URL --token-stdin < FILE`.",
            ExitCode.USAGE,
        )
    try:
        return check_token(token)
    except ConfigurationError as error:
        raise CommandError(f"{error}.", code=ExitCode.USAGE) from error


def _is_private(url: str) -> bool:
    """Whether others on the network cannot read the requests."""
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
