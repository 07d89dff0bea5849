"""Where the data and the socket are, and as which account the server runs.

Root: PostgreSQL refuses to run as root. All its programs then run as the owner of the existing data, else as
`postgres`, else as `nobody` (the former is safer: every other process of that account can use the database). That
account must be able to enter every folder above the data. The mode of a folder that existed before is never changed.
Instead new data whose folder the account cannot reach (a project in /root) goes into a new folder
`django-embedded-postgres-<random>` below /var/lib, else /var/tmp, and `<folder>/postgres` is a link to it. Removing
`<folder>` therefore gives a fresh start, but leaves that other folder behind.
"""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django_embedded_postgres import accounts
from django_embedded_postgres.accounts import Account
from django_embedded_postgres.errors import EmbeddedPostgresError

PORT = 5432  # names the socket file only: no TCP port is ever opened
SOCKET_NAME = f".s.PGSQL.{PORT}"
SOCKET_PATH_BYTES = 100  # sun_path holds 103 bytes on macOS, 107 on Linux
SOCKET_FOLDERS = Path("/tmp")
PREFIX = "django-embedded-postgres-"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """The home of the data, links followed, and the account of the programs: None for this process's own."""

    home: Path
    account: Account | None

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "postgres.log"


def has_cluster(folder: Path) -> bool:
    """Return whether the folder has data, as far as this process can see; writes nothing."""
    try:
        (folder / "postgres" / "data").stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        pass  # another user's, which `find_or_make` reports
    return True


def find_or_make(folder: Path) -> Place:
    """Find the home of the data of a folder, or make an empty one.

    Raises:
        EmbeddedPostgresError: this process, or the account of the server, cannot use it.
    """
    link = folder / "postgres"
    home = Path(os.path.realpath(link))
    if os.geteuid() != 0:
        return _find_as_user(home)
    if link.is_symlink() and home.exists():
        _check_link(link, home, folder)
    account = _owner(home) or accounts.unprivileged()
    closed = accounts.first_closed(home / "data", account)
    if home.exists():
        if closed is not None:
            raise EmbeddedPostgresError(
                f"PostgreSQL has to run as the user {account}, who cannot enter {closed}:"
                f" let every user pass through it (chmod o+x {closed}), or move the project out"
                " of it."
            )
    elif closed is not None:
        home = _relocated(link, folder, account)
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
            raise accounts.owned_by_another(folder)
    return place


def _owner(home: Path) -> Account | None:
    for folder in (home / "data", home):
        with suppress(FileNotFoundError):
            status = folder.stat()
            if status.st_uid != 0:
                return Account(status.st_uid, status.st_gid)
    return None


def _relocated(link: Path, folder: Path, account: Account) -> Path:
    for state in accounts.state_folders(account):
        with suppress(OSError):
            home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=state))
            home.chmod(0o711)
            (home / "origin").write_text(f"{folder}\n")
            link.unlink(missing_ok=True)
            link.symlink_to(home)
            logger.info("The database of %s is in %s.", folder, home)
            return home
    raise EmbeddedPostgresError(
        f"PostgreSQL has to run as the user {account}, who cannot enter"
        f" {accounts.first_closed(folder, account)}, and none of {accounts.state_folder_names()} can"
        " take the database: let every user pass through that folder (chmod o+x)."
    )


def _check_link(link: Path, home: Path, folder: Path) -> None:
    """Refuse a link to a folder of another user, or to the data of another project.

    In /var/tmp anybody could take the place of a folder that was removed. And two projects with a link to the same data
    (one is a copy of the other) would stop the server under each other.
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
    if origin == folder:
        return
    if origin.exists() and os.path.realpath(origin / "postgres") == str(home):
        raise EmbeddedPostgresError(
            f"{link} points to the database of {origin}: remove that link to start with an"
            " empty database."
        )
    note.write_text(f"{folder}\n")


def socket_fits(folder: Path) -> bool:
    """Return whether a socket fits: the path is short, and has no comma, at which libpq would read two hosts."""
    path = os.fsencode(folder / SOCKET_NAME)
    return len(path) <= SOCKET_PATH_BYTES and b"," not in path


def socket_folder(place: Place) -> Path:
    """Return the data folder, or where its path is too long a private one to which a link points."""
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
    folder = accounts.make_private_folder(PREFIX, SOCKET_FOLDERS, place.account)
    link.unlink(missing_ok=True)
    link.symlink_to(folder)
    return folder
