"""Running PostgreSQL's programs, and finding its server among the processes of the machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from django_embedded_postgres.placement import Place

HAS_PROC = Path("/proc/self/stat").exists()
TAIL_LINES = 15
# The server itself, and what starts it: pg_ctl by a shell.
SERVER_NAMES = {"postgres", "pg_ctl", "sh"}
KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


def run(place: Place, program: Path, arguments: Sequence[str], seconds: float) -> tuple[int, str]:
    """Run a program of PostgreSQL as the server's account, apart from this process's terminal and environment.

    Returns:
        Its exit code (-1 if it took longer than `seconds`) and the end of its output.
    """
    environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    environment |= {"LC_ALL": "C", "TZ": "UTC"}
    account = place.account
    # A file, as the server would hold a pipe open for as long as it runs.
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
    """Wait for the end; at an interrupt, or when the time is up, kill the process with its children."""
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


def in_folders(folders: Collection[Path]) -> list[str]:
    """Return, in words, the processes of PostgreSQL that work in these folders: each may be, or start, their server.

    A process of PostgreSQL whose working folder cannot be read counts too.
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
    """Return whether a process listens on this socket, be it one in another container, which cannot be seen."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        client.connect(str(socket_file))
        return True
    return False


def exists(pid: int) -> bool:
    """Return whether a process has this number, and this process may signal it."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError, OverflowError):
        return False
    return True


def is_server(pid: int, data: Path) -> bool:
    """Return whether the process is a server of this data folder.

    The number in a postmaster.pid that outlived its server may belong to any other process by now.
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
def signals_blocked() -> Iterator[None]:
    """Let no Ctrl-C, SIGTERM (process managers send both) or lost terminal interrupt a start or a stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
