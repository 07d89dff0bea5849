"""The account that the server runs as, and which folders it can enter."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django_embedded_postgres.errors import EmbeddedPostgresError

if sys.platform != "win32":
    import pwd

UNPRIVILEGED_ACCOUNTS = ("postgres", "nobody")
STATE_FOLDERS = (Path("/var/lib"), Path("/var/tmp"))


@dataclass(frozen=True, slots=True)
class Account:
    """The account of the server where this process is root."""

    uid: int
    gid: int

    def __str__(self) -> str:
        return account_name(self.uid)


def account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def unprivileged() -> Account:
    """Return the account for new data where this process is root."""
    for name in UNPRIVILEGED_ACCOUNTS:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root, and this machine has no user"
        f" {' or '.join(UNPRIVILEGED_ACCOUNTS)}: create one, or do not run as root."
    )


def may_enter(status: os.stat_result, account: Account) -> bool:
    """Return whether the mode lets the account enter this folder or execute this file.

    Access lists are not read: where they allow more than the mode, the data merely goes elsewhere.
    """
    if status.st_uid == account.uid:
        bit = stat.S_IXUSR
    elif status.st_gid == account.gid:
        bit = stat.S_IXGRP
    else:
        bit = stat.S_IXOTH
    return bool(status.st_mode & bit)


def first_closed(path: Path, account: Account) -> Path | None:
    """Return the topmost of the path and its parents that the account cannot enter, if there is one."""
    path = path.resolve()
    for part in (*reversed(path.parents), path):
        try:
            if not may_enter(part.stat(), account):
                return part
        except FileNotFoundError:
            return None
    return None


def state_folders(account: Account) -> Iterator[Path]:
    """Yield where data and copied programs may go if the account cannot reach the project."""
    for folder in STATE_FOLDERS:
        if folder.is_dir() and first_closed(folder, account) is None:
            yield folder


def state_folder_names() -> str:
    return ", ".join(map(str, STATE_FOLDERS))


def check_private(folder: Path) -> None:
    """Refuse a folder that another user made, or can write, where one of this process's user is expected."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise EmbeddedPostgresError(
            f"{folder} should be a folder of {account_name(os.geteuid())} that nobody else can"
            " write, but is not: find out who made it, and remove it."
        )


def owned_by_another(path: Path) -> EmbeddedPostgresError:
    owner = account_name(path.stat().st_uid)
    return EmbeddedPostgresError(
        f"{path} belongs to {owner}, as the database was created by {owner}: run this as {owner}"
        " too, or move that folder away to start with an empty database."
    )


def give_to_owner(descriptor: int, status: os.stat_result) -> None:
    """Give a file that root has created to the owner of its folder.

    Args:
        descriptor: the open file.
        status: that of the folder.
    """
    if os.geteuid() == 0:
        os.fchown(descriptor, status.st_uid, status.st_gid)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents; as root such that the database user can enter them."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o011)


def make_private_folder(prefix: str, parent: Path, account: Account | None) -> Path:
    """Make a folder with a new name that only the server's account can enter."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    return folder
