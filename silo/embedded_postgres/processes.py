"""Running PostgreSQL's programs, and knowing its server among the processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import tempfile
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from silo.embedded_postgres.accounts import Account
from silo.embedded_postgres.placement import Place

HAS_PROC = Path("/proc/self/stat").exists()
TAIL_LINES = 15
# The first line of a lock file, however long the file is.
LINE_BYTES = 64
# The server itself, and what starts it: pg_ctl by a shell.
SERVER_NAMES = {"postgres", "pg_ctl", "sh"}
KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def run(place: Place, program: Path, arguments: Sequence[str], seconds: float) -> tuple[int, str]:
    """Run a program of PostgreSQL as its user, apart from our terminal and our environment.

    Returns:
        Its exit code (-1 where the time was up) and the end of its output.
    """
    environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    environment |= {"LC_ALL": "C", "TZ": "UTC"}
    account = place.account
    # A file, as the server might hold a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        with subprocess.Popen(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=place.home,
            env=environment,
            umask=0o077,
            close_fds=True,
            start_new_session=True,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        ) as process:
            code = _wait(process, seconds)
        output.seek(0)
        return code, tail(output.read().decode(errors="replace"))


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Wait for the end; at an interrupt or when the time is up kill it with its helpers (initdb has some)."""
    try:
        return process.wait(seconds)
    except BaseException as error:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if isinstance(error, subprocess.TimeoutExpired):
            return -1
        raise


def tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-TAIL_LINES:])


class Garbled(Exception):
    """A lock file of PostgreSQL names no process; says what it is instead."""


def first_number(file: Path, reader: Account | None = None) -> int | None:
    """The process in a postmaster.pid or in the lock file of a socket; None where there is no such file.

    Args:
        file: the lock file.
        reader: whom the server runs as, where it is not ourselves: it has to be able to read the file too.

    Raises:
        Garbled: it is something else, or cannot be read.
    """
    try:
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            line = opened.read(LINE_BYTES).split(b"\n", 1)[0]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Garbled(f"cannot be read ({error.strerror})") from error
    if reader is not None and status.st_uid != reader.uid and not status.st_mode & stat.S_IROTH:
        raise Garbled(f"cannot be read by {reader}")
    if not line:
        raise Garbled("is empty")
    # The number of a server in single-user mode is negative.
    number = re.fullmatch(rb"-?([1-9][0-9]{0,9})\s*", line)
    if not number:
        raise Garbled("does not begin with the number of a process")
    return int(number[1])


def in_folders(folders: Collection[Path]) -> list[str]:
    """The processes that could be, or become, a server of these folders, in words: those of PostgreSQL in them.

    Where it cannot be seen in which folder a process of PostgreSQL is, it counts.
    """
    found = []
    statuses = [folder.stat() for folder in folders if folder.exists()]
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):
            name = (entry / "comm").read_text(errors="replace").strip()
            if name not in SERVER_NAMES:
                continue
            try:
                here = os.stat(entry / "cwd")
                is_there = any(os.path.samestat(here, status) for status in statuses)
            except PermissionError:
                is_there = name == "postgres"
            if is_there:
                found.append(f"{entry.name} ({name})")
    return sorted(found)


def answers(socket_file: Path) -> bool:
    """Whether somebody listens at this socket: a server, also one whose process cannot be seen from here."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        client.connect(str(socket_file))
        return True
    return False


def exists(pid: int) -> bool:
    """Whether a process has this number and is one that we may signal."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError, OverflowError):
        return False
    return True


def is_server(pid: int, data: Path) -> bool:
    """Whether the process is a server of this data folder.

    A number from a postmaster.pid that outlived its server may belong to anything by now.
    """
    if not exists(pid):
        return False
    if not HAS_PROC:
        ps = ["/bin/ps", "-o", "comm=", "-p", str(pid)]
        return "postgres" in subprocess.run(ps, check=False, capture_output=True, text=True).stdout
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/cwd"), data.stat())
    except FileNotFoundError:  # it ended, or is a zombie
        return False
    except PermissionError:  # root in a container without CAP_SYS_PTRACE
        return _is_called_postgres(pid)


def _is_called_postgres(pid: int) -> bool:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        return "(postgres) " in fields and "(postgres) Z" not in fields
    return False


@contextmanager
def signals_held() -> Iterator[None]:
    """Let no Ctrl-C, SIGTERM (process managers send both) or lost terminal cut a stop in two."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
