"""PostgreSQL's own lock files: postmaster.pid, and that of the socket. A dead server may have left them behind.

PostgreSQL takes any living process whose number is in one of its lock files for another server, and refuses to start
on a lock file that a crash or a full disk has left without a number. Both kinds are removed here, and only where no
server runs.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from pathlib import Path

from django_embedded_postgres import placement, processes
from django_embedded_postgres.accounts import Account
from django_embedded_postgres.errors import EmbeddedPostgresError, NotReady
from django_embedded_postgres.placement import SOCKET_NAME, Place

# As much as is read of a lock file, whose first line holds the number of a process.
LINE_BYTES = 64

logger = logging.getLogger(__name__)


class UnreadableLockFile(Exception):
    """A lock file names no process; the message says what is wrong with it."""


def read_pid(file: Path, reader: Account | None = None) -> int | None:
    """Return the process that a lock file names; None where there is no such file.

    Args:
        file: the lock file.
        reader: the account of the server, where it is not this process's: it has to be able to read the file too.

    Raises:
        UnreadableLockFile: it names no process, or cannot be read.
    """
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            line = opened.read(LINE_BYTES).split(b"\n", 1)[0]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreadableLockFile(f"cannot be read ({error.strerror})") from error
    if reader is not None and status.st_uid != reader.uid and not status.st_mode & stat.S_IROTH:
        raise UnreadableLockFile(f"cannot be read by {reader}")
    if not line:
        raise UnreadableLockFile("is empty")
    # The number of a server in single-user mode is negative.
    number = re.fullmatch(rb"-?([1-9][0-9]{0,9})\s*", line)
    if not number:
        raise UnreadableLockFile("does not begin with the number of a process")
    return int(number[1])


def remove_leftovers(place: Place) -> None:
    """Remove the lock files of a dead server that would keep a new one from starting.

    A file stays if no process has its number, as PostgreSQL copes with that and checks more than this function, and if
    the number is that of a server of this data folder, which a killed process has just started.

    Raises:
        NotReady: a lock file is unreadable, and a server may be there.
        EmbeddedPostgresError: a lock file is unreadable and cannot be removed from here.
    """
    socket_lock = placement.socket_folder(place) / f"{SOCKET_NAME}.lock"
    for file in (place.data / "postmaster.pid", socket_lock):
        try:
            pid = read_pid(file, place.account)
        except UnreadableLockFile as fault:
            _remove_unreadable(place, file, str(fault))
            continue
        if pid is not None and processes.exists(pid) and not processes.is_server(pid, place.data):
            file.unlink(missing_ok=True)


def _remove_unreadable(place: Place, file: Path, fault: str) -> None:
    """Remove the lock file if no server can be there.

    A server that has just created the file works in the data folder already; one whose file lost its number ends by
    itself within a minute. The caller waits for both.
    """
    if not processes.HAS_PROC:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL in {place.home} does not start, as {file} {fault}: check"
            f" that no PostgreSQL runs on {place.data}, and remove that file."
        )
    found = processes.in_folders([place.data, place.home])
    if not found and processes.answers(placement.socket_folder(place) / SOCKET_NAME):
        found = ["one that cannot be seen from here"]
    if found:
        raise NotReady(
            f"{file} {fault}, but a process of PostgreSQL works there, {', '.join(found)}: end that"
            " process."
        )
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL in {place.home} does not start, as {file} {fault}:"
            f" remove it ({error.strerror})."
        ) from error
    logger.warning("%s %s: removed it, as no server is there.", file, fault)
