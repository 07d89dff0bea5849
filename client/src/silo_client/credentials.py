"""One log-in for the command line and every plug-in: the server and the token that either of them keeps.

from silo_client import Workstation, credentials

try:
    login = credentials.current()
except credentials.NotLoggedInError:
    login = credentials.by_password("https://silo.example.com", user, password)
    credentials.store(login)
workstation = Workstation.connect(login.url, login.token, program="my CAD", ca_file=login.ca_file)

`current` reads what is kept, `kept_url` only the server's URL, to be the default in a dialog; `by_password` and
`by_token` ask the server, `store` keeps, `forget` removes. Neither passwords nor tokens are logged or in a message.

URLs are kept in a file of the user's configuration; tokens in the system's keyring where the package `keyring` is
installed and has one, else in that file, which only its user can read.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from silo_client.api import Api
from silo_client.common.visible import visible
from silo_client.errors import ConfigurationError, SiloError
from silo_client.identity.file_lock import FileLock
from silo_client.identity.folders import user_folder
from silo_client.network import log_in
from silo_client.network.address import check_token, check_url

__all__ = [
    "CredentialsError",
    "Login",
    "NotLoggedInError",
    "by_password",
    "by_token",
    "current",
    "forget",
    "kept_url",
    "store",
]

URL_VARIABLE = "SILO_URL"
TOKEN_VARIABLE = "SILO_TOKEN"  # noqa: S105  (its name)
CA_FILE_VARIABLE = "SILO_CA_FILE"
FOLDER_VARIABLE = "SILO_CONFIG_HOME"

FILE, LOCK = "credentials.json", "credentials.lock"
# The file is changed in milliseconds.
LOCK_SECONDS = 5.0
# The service name in the keyring; the user name there is the URL.
SERVICE = "silo"
# Of a token that the server makes for a password; then the user logs in again.
DAYS = 90
MOST_IN_A_NAME = 200


class NotLoggedInError(SiloError):
    """No server, or no token for it, is known: run `silo login`."""


class CredentialsError(SiloError):
    """The file or the keyring cannot be read or written."""


class _BrokenFileError(CredentialsError):
    """The file can be read, and no log-in can be read from it."""


@dataclass(frozen=True)
class Login:
    """A server and its token, which its text does not show.

    Args:
        url: the server's URL.
        token: the bearer token.
        ca_file: a PEM file of the certificates to trust; None for the usual ones.
    """

    url: str
    token: str = field(repr=False)
    ca_file: str | None = None


def config_folder() -> Path:
    """Return the folder of the user's configuration, which SILO_CONFIG_HOME may name.

    Raises:
        CredentialsError: the user has no home folder.
    """
    try:
        return user_folder(FOLDER_VARIABLE, user_config_path)
    except OSError as error:
        raise CredentialsError(
            f"{error}: name a folder in {FOLDER_VARIABLE}, or set {URL_VARIABLE} and {TOKEN_VARIABLE}."
        ) from error


def current(environment: Mapping[str, str] = os.environ) -> Login:
    """Return the login to use now: the variables of the environment, and kept values for the rest.

    A kept token is sent only to the server for which it was kept.

    Args:
        environment: the variables SILO_URL, SILO_TOKEN and SILO_CA_FILE, where they are set.

    Raises:
        NotLoggedInError: no URL or no token is known.
        CredentialsError: the kept values cannot be read.
        ConfigurationError: a variable of the environment is invalid; the message names it.
    """
    named, token = environment.get(URL_VARIABLE, ""), environment.get(TOKEN_VARIABLE, "")
    with _naming(URL_VARIABLE):
        url = check_url(named) if named else ""
    with _naming(TOKEN_VARIABLE):
        token = check_token(token) if token else ""
    # A complete environment needs no file, which may be broken or missing.
    kept = {} if url and token else _read()
    current = str(kept.get("current") or "")
    url = url or current
    if not url:
        raise NotLoggedInError("No server is known.")
    server = kept.get("servers", {}).get(url, {})
    token = token or _token_of(url, server)
    if not token:
        # A URL with another path or scheme is another server.
        logged_in = f"; you are logged in to {current}" if current and current != url else ""
        raise NotLoggedInError(f"There is no token for {url}{logged_in}.")
    return Login(url, token, environment.get(CA_FILE_VARIABLE) or server.get("ca_file"))


@contextmanager
def _naming(variable: str) -> Iterator[None]:
    """Name the variable in the message of an error."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{variable}: {error}") from error


def kept_url() -> str:
    """Return the URL of the server that was logged in to last, the default of a dialog; "" if there is none.

    Raises:
        CredentialsError: the file cannot be read.
    """
    return str(_read().get("current") or "")


def by_password(
    url: str,
    user: str,
    password: str,
    ca_file: str | None = None,
    *,
    name: str = "",
    role: str = "editor",
    days: int = DAYS,
) -> Login:
    """Have the server make a token for a user's name and password. `store` keeps what is returned.

    Where the URL is not https, others on the network can read the password and the token.

    Args:
        url: the server's URL.
        user: the user's name.
        password: the user's; it is sent to the server, and neither kept nor logged.
        ca_file: a PEM file of the certificates to trust; None for the usual ones.
        name: what the token is for, as its user sees it on the board; by default `silo-client` and this machine.
        role: the most that it allows: "viewer", "editor" or "admin"; less, where the user's own role is lower.
        days: for how long it is valid, 366 at most.

    Raises:
        AuthenticationError: the server refuses name and password.
        ApiError: it makes no token: its user has too many, or something given is invalid.
        ServerUnavailableError: it cannot be reached, cannot serve now, takes no log-in for some seconds because too
            many were wrong, or is older than this function.
        ConfigurationError: the URL, the CA file, or a variable of the environment is invalid.
    """
    url = check_url(url)
    name = name or f"silo-client on {visible(platform.node() or 'a machine')}"
    token = log_in.token_for(
        url, user, password, ca_file=ca_file, name=name[:MOST_IN_A_NAME], role=role, days=days
    )
    return Login(url, check_token(token), _whole(ca_file))


def by_token(url: str, token: str, ca_file: str | None = None) -> Login:
    """Check with the server that a token is valid. `store` keeps what is returned.

    Args:
        url: the server's URL.
        token: a bearer token.
        ca_file: a PEM file of the certificates to trust; None for the usual ones.

    Raises:
        AuthenticationError: the token is not valid.
        ServerUnavailableError: the server cannot be reached, or cannot serve now.
        ConfigurationError: the URL, the token, the CA file, or a variable of the environment is invalid.
    """
    api = Api(url, token, ca_file)
    try:
        api.workstations()
    finally:
        api.close()
    return Login(api.url, api.token, _whole(ca_file))


def _whole(ca_file: str | None) -> str | None:
    """Return the path of a file as every program understands it, whatever its folder."""
    return str(Path(ca_file).absolute()) if ca_file else None


def store(login: Login) -> str:
    """Keep a login as the current one, for every program of this user.

    Args:
        login: of `by_password` or `by_token`: a server that was asked.

    Returns:
        Where the token is, in words.

    Raises:
        CredentialsError: the file cannot be read or written.
        ConfigurationError: the URL is invalid.
    """
    login = replace(login, url=check_url(login.url))
    server: dict[str, Any] = {"ca_file": login.ca_file} if login.ca_file else {}
    # It may ask its user, for as long as that takes.
    where = _store_in_keyring(login)
    if where:
        server["keyring"] = True
    else:
        server["token"] = login.token
        where = f"the file {config_folder() / FILE}, which only you can read"
    with _locked():
        try:
            kept = _read()
        except _BrokenFileError:
            # It is replaced: else nobody could log in. One that cannot be read now may have other log-ins.
            kept = {}
        kept.setdefault("servers", {})[login.url] = server
        kept["current"] = login.url
        _write(kept)
    return where


def forget(url: str) -> bool:
    """Remove the login of a server. The token stays valid: its user, or an administrator, can revoke it.

    Args:
        url: the server's URL, as `kept_url` returns it.

    Returns:
        Whether there was one.

    Raises:
        CredentialsError: the file cannot be read or written, or the keyring cannot remove the token.
    """
    url = url.rstrip("/")
    server = _read().get("servers", {}).get(url)
    if server is None:
        return False
    if server.get("keyring"):
        _remove_from_keyring(url)
    else:
        # An earlier token may be there.
        with suppress(CredentialsError):
            _remove_from_keyring(url)
    with _locked():
        kept = _read()
        kept.get("servers", {}).pop(url, None)
        if kept.get("current") == url:
            kept["current"] = None
        _write(kept)
    return True


# -- the file --


def _read() -> dict[str, Any]:
    file = config_folder() / FILE
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CredentialsError(f"{file} cannot be read: {error}") from error
    except ValueError as error:
        raise _BrokenFileError(f"{file} cannot be read: {error}") from error
    if not isinstance(kept, dict) or not isinstance(kept.get("servers", {}), dict):
        raise _BrokenFileError(f"{file} is not a file of `silo login`.")
    return kept


@contextmanager
def _locked() -> Iterator[None]:
    """Let no other program change the file between reading and writing it."""
    folder = config_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock.take(folder / LOCK, LOCK_SECONDS)
    except OSError as error:
        raise CredentialsError(f"{folder / FILE} cannot be written: {error}") from error
    if lock is None:
        raise CredentialsError(f"Another program has {folder / LOCK} locked.")
    try:
        yield
    finally:
        lock.release()


def _write(kept: dict[str, Any]) -> None:
    """Replace the file as a whole, so that it is never incomplete, nor readable by other users."""
    folder = config_folder()
    try:
        # Made with mode 0600.
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{FILE}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(kept, file, indent=2)
            Path(name).replace(folder / FILE)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise CredentialsError(f"{folder / FILE} cannot be written: {error}") from error


# -- the keyring --


def _keyring() -> Any:
    """Return the package `keyring` if it works here; else None."""
    try:
        import keyring
        from keyring.backends import fail, null

        backend = keyring.get_keyring()
    except Exception:
        # Not installed, or its backend cannot be loaded: the file is used.
        return None
    return None if isinstance(backend, (fail.Keyring, null.Keyring)) else keyring


def _store_in_keyring(login: Login) -> str:
    """Return the keyring's name, or "" if it does not keep the token."""
    keyring = _keyring()
    if keyring is None:
        return ""
    try:
        keyring.set_password(SERVICE, login.url, login.token)
        # Some backends keep nothing and raise nothing.
        if keyring.get_password(SERVICE, login.url) != login.token:
            return ""
    except Exception:
        # Locked, refused, no session bus: the file is used.
        return ""
    return f"the system's keyring ({getattr(keyring.get_keyring(), 'name', 'keyring')})"


def _token_of(url: str, server: Mapping[str, Any]) -> str:
    if not server.get("keyring"):
        return str(server.get("token", ""))
    keyring = _keyring()
    if keyring is None:
        raise NotLoggedInError(f"The token for {url} is in a keyring that is not available.")
    try:
        return str(keyring.get_password(SERVICE, url) or "")
    except Exception as error:
        raise NotLoggedInError(f"The keyring cannot return the token for {url}: {error}") from error


def _remove_from_keyring(url: str) -> None:
    keyring = _keyring()
    if keyring is None:
        raise CredentialsError(f"The token for {url} is in a keyring that is not available.")
    try:
        if keyring.get_password(SERVICE, url) is not None:
            keyring.delete_password(SERVICE, url)
    except Exception as error:
        raise CredentialsError(f"The keyring cannot remove the token for {url}: {error}") from error
