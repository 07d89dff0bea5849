"""Where the cluster and its socket are, and as whom it runs.

Root: PostgreSQL refuses to run as root. Everything of it then runs as the owner of the existing
cluster, else as `postgres`, else as `nobody` (prefer the former: every other process of that
account can use the database). That account must be able to enter every folder above the data.
No folder that existed before is ever opened for it. Instead a new cluster whose var folder it
cannot reach (a project in /root) is put into a folder `silo-postgres-<random>` of our own below
/var/lib, else /var/tmp, and `<var>/postgres` is a link to it. Removing `<var>` therefore gives a
fresh start, but leaves that folder behind.
"""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from silo.embedded_postgres import accounts
from silo.embedded_postgres.accounts import Account
from silo.embedded_postgres.errors import EmbeddedPostgresError

PORT = 5432  # names the socket file only: no TCP port is ever opened
SOCKET_NAME = f".s.PGSQL.{PORT}"
SOCKET_PATH_BYTES = 100  # sun_path holds 103 bytes on macOS, 107 on Linux
SOCKET_FOLDERS = Path("/tmp")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster's home, links followed, and whom its programs run as: None for ourselves."""

    home: Path
    account: Account | None

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "postgres.log"


def is_taken(var: Path) -> bool:
    """Return whether a var folder has a cluster, as far as can be seen; makes nothing."""
    try:
        (var / "postgres" / "data").stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        pass  # somebody else's, which `find` tells
    return True


def find(var: Path) -> Place:
    """Find the home of the cluster of a var folder, or make it."""
    link = var / "postgres"
    home = Path(os.path.realpath(link))
    if os.geteuid() != 0:
        return _find_as_user(home)
    if link.is_symlink() and home.exists():
        _check_link(link, home, var)
    account = _owner(home) or accounts.unprivileged()
    closed = accounts.first_closed(home / "data", account)
    if home.exists():
        if closed is not None:
            raise EmbeddedPostgresError(
                f"PostgreSQL has to run as the user {account}, who cannot enter {closed}:"
                f" let everybody pass through it (chmod o+x {closed}), or move the project out"
                " of it, or set DATABASE_URL."
            )
    elif closed is not None:
        home = _relocated(link, var, account)
    else:
        home.mkdir()
        home.chmod(0o711)
    return Place(home, account)


def _find_as_user(home: Path) -> Place:
    if not home.exists():
        home.mkdir(0o700)
    place = Place(home, None)
    for folder in (place.home, place.data):
        if folder.exists() and folder.stat().st_uid != os.geteuid():
            raise accounts.of_another_user(folder)
    return place


def _owner(home: Path) -> Account | None:
    for folder in (home / "data", home):
        with suppress(FileNotFoundError):
            status = folder.stat()
            if status.st_uid != 0:
                return Account(status.st_uid, status.st_gid)
    return None


def _relocated(link: Path, var: Path, account: Account) -> Path:
    for folder in accounts.state_folders(account):
        with suppress(OSError):
            home = Path(tempfile.mkdtemp(prefix="silo-postgres-", dir=folder))
            home.chmod(0o711)
            (home / "origin").write_text(f"{var}\n")
            link.unlink(missing_ok=True)
            link.symlink_to(home)
            logger.info("The database of %s is in %s.", var, home)
            return home
    raise EmbeddedPostgresError(
        f"PostgreSQL has to run as the user {account}, who cannot enter"
        f" {accounts.first_closed(var, account)}, and none of {accounts.state_folder_names()} can"
        " take the database: let everybody pass through that folder (chmod o+x), or set"
        " DATABASE_URL."
    )


def _check_link(link: Path, home: Path, var: Path) -> None:
    """Follow only to a folder of who made the link, and only for the project it was made for.

    In /var/tmp anybody could take the place of a folder that was removed. And two projects
    with a link to one cluster (a copied project) would stop it under each other.
    """
    note = home / "origin"
    status = home.stat()
    if status.st_uid != link.lstat().st_uid or status.st_mode & 0o022:
        raise EmbeddedPostgresError(
            f"{link} points to {home}, which should belong to"
            f" {accounts.account_name(link.lstat().st_uid)} and be writable by nobody else: find"
            " out who made that folder, or remove the link to start with an empty database."
        )
    if not note.exists():
        return
    origin = Path(note.read_text(errors="replace").strip())
    if origin == var:
        return
    if origin.exists() and os.path.realpath(origin / "postgres") == str(home):
        raise EmbeddedPostgresError(
            f"{link} points to the database of {origin}: remove that link to start with an"
            " empty database, or set DATABASE_URL."
        )
    note.write_text(f"{var}\n")


def socket_fits(folder: Path) -> bool:
    """Whether a socket can live there: short, and no comma (libpq reads it as two hosts)."""
    path = os.fsencode(folder / SOCKET_NAME)
    return len(path) <= SOCKET_PATH_BYTES and b"," not in path


def socket_folder(place: Place) -> Path:
    """The data folder, or where its path is too long a private one that a link remembers."""
    if socket_fits(place.data):
        return place.data
    link = place.home / "socket"
    owner = place.account.uid if place.account is not None else os.geteuid()
    with suppress(OSError):
        folder = Path(os.readlink(link))
        status = folder.lstat()
        private = not status.st_mode & 0o077
        if stat.S_ISDIR(status.st_mode) and status.st_uid == owner and private:
            return folder
    folder = accounts.make_private_folder("silo-postgres-", SOCKET_FOLDERS, place.account)
    link.unlink(missing_ok=True)
    link.symlink_to(folder)
    return folder
