"""Whom the server runs as, and which folders that account can enter."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from silo.embedded_postgres.errors import EmbeddedPostgresError

if sys.platform != "win32":
    import pwd

UNPRIVILEGED_ACCOUNTS = ("postgres", "nobody")
STATE_FOLDERS = (Path("/var/lib"), Path("/var/tmp"))


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the server runs as, where we are root."""

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
    """The account for a new cluster where we are root."""
    for name in UNPRIVILEGED_ACCOUNTS:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root, and this machine has no user"
        f" {' or '.join(UNPRIVILEGED_ACCOUNTS)}: create one, do not run Silo as root, or set"
        " DATABASE_URL."
    )


def may_enter(status: os.stat_result, account: Account) -> bool:
    """Whether the mode lets the account enter this folder or execute this file.

    Access lists are not read: where they allow more than the mode, we merely go elsewhere.
    """
    if status.st_uid == account.uid:
        bit = stat.S_IXUSR
    elif status.st_gid == account.gid:
        bit = stat.S_IXGRP
    else:
        bit = stat.S_IXOTH
    return bool(status.st_mode & bit)


def first_closed(path: Path, account: Account) -> Path | None:
    """The topmost of the path and its parents that the account cannot enter."""
    path = path.resolve()
    for part in (*reversed(path.parents), path):
        try:
            if not may_enter(part.stat(), account):
                return part
        except FileNotFoundError:
            return None
    return None


def state_folders(account: Account) -> Iterator[Path]:
    """Where folders of our own may go, if those next to the project are out of reach."""
    for folder in STATE_FOLDERS:
        if folder.is_dir() and first_closed(folder, account) is None:
            yield folder


def state_folder_names() -> str:
    return ", ".join(map(str, STATE_FOLDERS))


def check_ours(folder: Path) -> None:
    """Refuse a folder that somebody else put, or can write, where we expect our own."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise EmbeddedPostgresError(
            f"{folder} should be a folder of {account_name(os.geteuid())} that nobody else can"
            " write, but is not: find out who made it and remove it."
        )


def of_another_user(path: Path) -> EmbeddedPostgresError:
    owner = account_name(path.stat().st_uid)
    return EmbeddedPostgresError(
        f"{path} belongs to {owner}, as Silo was run by {owner} here before: run it as {owner}"
        " again, or move that folder away to start with an empty database, or set DATABASE_URL."
    )


def give(descriptor: int, status: os.stat_result) -> None:
    """Root leaves no file of its own in the folder of another user."""
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
