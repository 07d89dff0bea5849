"""What a test sees of the embedded PostgreSQL in a data folder."""

import fcntl
import os
import signal
from pathlib import Path


def server_pid(var: Path) -> int:
    return int((var / "postgres/data/postmaster.pid").read_text().split()[0])


def is_locked(var: Path) -> bool:
    """Return whether a process starts or stops the server."""
    with (var / "postgres.start.lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def stop_what_is_left(var: Path) -> None:
    """Leave no server behind, also where the test failed."""
    if (var / "postgres/data/postmaster.pid").exists():
        os.kill(server_pid(var), signal.SIGKILL)
