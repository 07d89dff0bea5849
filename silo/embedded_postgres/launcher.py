"""Start, share and stop one PostgreSQL cluster that lives in a var folder.

What is on disk::

    <var>/postgres.lock          every using process holds it shared (flock) for its life
    <var>/postgres.start.lock    held exclusively while somebody starts or stops the server
    <var>/postgres/              the home; a symlink where the cluster had to go elsewhere
        data/                    PGDATA and the socket, 0700, of the database user
        postgres.log             what the server says
        socket                   a link to the socket's folder, only where `data` is too long a path

Who lives and who stops: joining takes the start lock, then the use lock, starts what does not
run and lets the start lock go. Leaving takes the start lock and then tries to turn its shared
use lock into an exclusive one; who succeeds was the last user and stops the server. As both
happen under the start lock, nobody joins a server that is being stopped. The kernel frees the
locks of a killed process; the server then stays until the next last user leaves.

PostgreSQL's own lock files that a crash has garbled are removed where no server can be there (`cluster.py`).

Beside this file: where the cluster may be and as whom it runs (`placement.py`, `accounts.py`),
the programs (`binaries.py`, `processes.py`), and what is done with them (`cluster.py`).
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from silo.embedded_postgres import accounts, binaries, placement, processes
from silo.embedded_postgres.cluster import Cluster, ConnectionParams
from silo.embedded_postgres.errors import EmbeddedPostgresError

if sys.platform != "win32":
    import fcntl

__all__ = ["ConnectionParams", "EmbeddedPostgres", "EmbeddedPostgresError"]


class EmbeddedPostgres:
    """One process's use of the cluster below a var folder.

    `ensure_running` joins, `release` leaves; leaving also happens at exit. Both may be called by
    any thread and as often as wanted. After a fork the child is no user until it joins itself.

    Args:
        var: the folder.
        make: whether a cluster, and the folder, is made where there is none; else joining fails and leaves no trace.
    """

    def __init__(self, var: Path, *, make: bool = True) -> None:
        self.var = Path(os.path.abspath(var))
        self._make = make
        self._mutex = threading.RLock()
        self._use_lock: int | None = None
        self._cluster: Cluster | None = None
        self._params: ConnectionParams | None = None
        self._exit_registered = False
        _instances.add(self)

    def ensure_running(self) -> ConnectionParams:
        """Join the users of the server, starting it where it does not run; idempotent."""
        if sys.platform == "win32":
            raise EmbeddedPostgresError(
                "The embedded PostgreSQL does not run on Windows: set DATABASE_URL."
            )
        with self._mutex:
            if self._params is not None and self._cluster is not None and self._cluster.is_alive():
                return self._params
            with self._failures_named():
                self._params = self._join()
            if not self._exit_registered:
                atexit.register(self._at_exit)
                self._exit_registered = True
            return self._params

    def release(self) -> None:
        """Leave the users of the server; the last one stops it."""
        with self._mutex:
            if self._use_lock is None:
                return
            with processes.signals_held(), self._failures_named(), self._start_lock():
                self._leave()

    def program(self, name: str) -> Path:
        """A program such as `psql` or `pg_dump` of the version that the cluster has."""
        return binaries.install_for(self.var / "postgres" / "data")[1] / "bin" / name

    def _join(self) -> ConnectionParams:
        if not self._make and not placement.is_taken(self.var):
            raise EmbeddedPostgresError(
                f"There is no database in {self.var}: run `make run` or `manage.py migrate` first,"
                " or set SILO_VAR or DATABASE_URL to where it is."
            )
        accounts.make_folder(self.var)
        with self._start_lock():
            if self._use_lock is None:
                self._use_lock = _open_lock(self.var / "postgres.lock")
                # Never waits: exclusive holders hold the start lock as well.
                fcntl.flock(self._use_lock, fcntl.LOCK_SH)
            try:
                self._cluster = Cluster(placement.find(self.var))
                return self._cluster.ensure_started()
            except BaseException:
                with suppress(EmbeddedPostgresError):
                    self._leave()
                raise

    def _leave(self) -> None:
        assert self._use_lock is not None
        try:
            with suppress(BlockingIOError):
                fcntl.flock(self._use_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._cluster is not None:
                    self._cluster.stop()
        finally:
            os.close(self._use_lock)
            self._use_lock, self._cluster, self._params = None, None, None

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        """Wait for whoever starts or stops; every step under this lock has a time limit."""
        descriptor = _open_lock(self.var / "postgres.start.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EmbeddedPostgresError(
                f"The embedded PostgreSQL in {self.var} cannot be used: {error}."
            ) from error

    def _at_exit(self) -> None:
        try:
            self.release()
        except EmbeddedPostgresError as error:
            print(error, file=sys.stderr)

    def _after_fork(self) -> None:
        """In a child: closing the inherited descriptor leaves the parent's lock in place."""
        self._mutex = threading.RLock()
        descriptor = self._use_lock
        self._use_lock, self._cluster, self._params = None, None, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)


def _open_lock(path: Path) -> int:
    """Open a lock file; Python's descriptors are close-on-exec, so no program inherits it."""
    flags = os.O_RDWR | os.O_NOFOLLOW
    with suppress(FileExistsError):
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        accounts.give(descriptor, path.parent.stat())
        return descriptor
    try:
        return os.open(path, flags)
    except PermissionError as error:
        raise accounts.of_another_user(path) from error


_instances: weakref.WeakSet[EmbeddedPostgres] = weakref.WeakSet()


def _forget_in_children() -> None:
    for instance in list(_instances):
        instance._after_fork()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_in_children)
