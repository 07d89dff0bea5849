"""`silo login` and `silo logout`."""

import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Optional
from urllib.parse import urlsplit

import typer

from silo_client import credentials
from silo_client.cli.exit_codes import CommandError, ExitCode
from silo_client.cli.output import WARNING, say
from silo_client.credentials import CredentialsError, Login
from silo_client.errors import ConfigurationError
from silo_client.network.address import check_url

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
    user: Annotated[
        Optional[str],
        typer.Option(
            metavar="NAME",
            help="Log in with this user's password, for which the server makes a token for 90 days.",
            show_default=False,
        ),
    ] = None,
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

    You make the token on the board, or an admin gives it to you, or the server makes it where you give --user and your
    password. It is kept in the system's keyring where the package keyring is installed, else in a file that only you
    can read. SILO_URL, SILO_TOKEN and SILO_CA_FILE override the kept values. Plug-ins that use silo_client.credentials
    use the same log-in.
    """
    address = _address(url or _ask_url())
    if not _is_private(address):
        secrets = "the token" if user is None else "your password and the token"
        # Before they are typed.
        say(f"The URL is not https: others on the network can read {secrets}.", WARNING)
    found = _asked(address, str(ca_file) if ca_file else None, user, token_stdin)
    where = credentials.store(found)
    say(f"Logged in to {address}. The token is in {where}.")


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


def _asked(url: str, ca_file: Optional[str], user: Optional[str], from_stdin: bool) -> Login:
    """Return what the server says to a token or a password."""
    try:
        if user is None:
            return credentials.by_token(url, _secret("Token", from_stdin), ca_file)
        if from_stdin:
            raise CommandError("Give --user or --token-stdin, not both.", code=ExitCode.USAGE)
        return credentials.by_password(url, user, _secret("Password", False), ca_file)
    except ConfigurationError as error:
        raise CommandError(f"{error}.", code=ExitCode.USAGE) from error


def _secret(what: str, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.read().strip()
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True, err=True))
    raise CommandError(
        f"There is no terminal to ask for the {what.lower()}.",
        "Pass a token on standard input: `silo login URL --token-stdin < FILE`.",
        ExitCode.USAGE,
    )


def _is_private(url: str) -> bool:
    """Whether others on the network cannot read the requests."""
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
