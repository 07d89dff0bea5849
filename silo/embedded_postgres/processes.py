"""Running PostgreSQL's programs, and knowing its server among the processes."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from silo.embedded_postgres.placement import Place

HAS_PROC = Path("/proc/self/stat").exists()
TAIL_LINES = 15
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


def first_number(file: Path) -> int | None:
    """The process in a postmaster.pid or in the lock file of a socket."""
    try:
        return abs(int(file.read_text(errors="replace").split("\n", 1)[0])) or None
    except (FileNotFoundError, ValueError):
        return None


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
