"""Start, share and stop one PostgreSQL server whose data is in a folder.

On disk::

    <folder>/postgres.lock          every process that uses the server holds it shared (flock) as long as it lives
    <folder>/postgres.start.lock    held exclusively while a process starts or stops the server
    <folder>/postgres/              the home; a symlink where the data had to go elsewhere
        data/                       PGDATA and the socket, 0700, of the account that the server runs as
        postgres.log                the server's log
        socket                      a link to the socket's folder, only where the path of `data` is too long

A process joins by taking the start lock, then the use lock; it starts the server if it does not run, and frees the
start lock. A process leaves by taking the start lock and then trying to turn its shared use lock into an exclusive one:
if that succeeds, it was the last user and stops the server. As both happen under the start lock, no process joins a
server that is being stopped. The kernel frees the locks of a killed process; the server then stays until the next last
user leaves.

The other files: where the data may be and as which account the server runs (`placement.py`, `accounts.py`), the
programs (`binaries.py`, `processes.py`), what is done with them (`cluster.py`), PostgreSQL's own lock files
(`lock_files.py`).
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

from django_embedded_postgres import accounts, binaries, placement, processes
from django_embedded_postgres.cluster import Cluster, ConnectionParams
from django_embedded_postgres.errors import EmbeddedPostgresError

if sys.platform != "win32":
    import fcntl

__all__ = ["ConnectionParams", "EmbeddedPostgres", "EmbeddedPostgresError"]


class EmbeddedPostgres:
    """One process's use of the server in a folder. Creating the object starts nothing.

    `ensure_running` joins the users of the server, `release` leaves them; at exit a process leaves by itself. Any
    thread may call both, as often as wanted. After a fork the child is no user until it joins.

    Args:
        folder: the folder; see above for what is in it.
        user: the PostgreSQL superuser; used to create the data, and to connect.
        create: whether the folder and the data are created where they are missing. If not, joining fails and writes
            nothing.
    """

    def __init__(self, folder: Path, *, user: str = "django", create: bool = True) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.user = user
        self._create = create
        self._mutex = threading.RLock()
        self._use_lock: int | None = None
        self._cluster: Cluster | None = None
        self._params: ConnectionParams | None = None
        self._databases: set[str] = set()
        self._exit_registered = False
        _instances.add(self)

    def ensure_running(self, database: str | None = None) -> ConnectionParams:
        """Join the users of the server, and start it if it does not run; idempotent.

        Args:
            database: is created where it is missing. `create=False` is about the server's data.

        Returns:
            Where the server listens, and as whom to connect.

        Raises:
            EmbeddedPostgresError: the server does not run and cannot be started.
        """
        if sys.platform == "win32":
            raise EmbeddedPostgresError("The embedded PostgreSQL does not run on Windows.")
        wanted = {database} if database else set()
        with self._mutex:
            alive = self._cluster is not None and self._cluster.is_alive()
            if self._params is not None and alive and wanted <= self._databases:
                return self._params
            with self._errors_explained():
                self._params = self._join(wanted)
            self._databases |= wanted
            if not self._exit_registered:
                atexit.register(self._at_exit)
                self._exit_registered = True
            return self._params

    def release(self) -> None:
        """Leave the users of the server; the last one stops it."""
        with self._mutex:
            if self._use_lock is None:
                return
            with processes.signals_blocked(), self._errors_explained(), self._start_lock():
                self._leave()

    def program(self, name: str) -> Path:
        """Return the path of a program such as `psql` or `pg_dump`, of the version that made the data."""
        return binaries.install_for(self.folder / "postgres" / "data")[1] / "bin" / name

    def _join(self, databases: set[str]) -> ConnectionParams:
        if not self._create and not placement.has_cluster(self.folder):
            raise EmbeddedPostgresError(
                f"There is no database in {self.folder}: run `manage.py migrate` first."
            )
        accounts.make_folder(self.folder)
        with self._start_lock():
            joins = self._use_lock is None
            if joins:
                self._use_lock = _open_lock(self.folder / "postgres.lock")
                # Never waits: exclusive holders hold the start lock as well.
                fcntl.flock(self._use_lock, fcntl.LOCK_SH)
            try:
                self._cluster = Cluster(placement.find_or_make(self.folder), self.user)
                return self._cluster.ensure_started(databases)
            except BaseException:
                # A process that used the server before goes on using it: it may have connections.
                if joins:
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
            self._forget()

    def _forget(self) -> None:
        self._use_lock, self._cluster, self._params = None, None, None
        self._databases.clear()

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        """Wait until no other process starts or stops the server; every step under this lock has a time limit."""
        descriptor = _open_lock(self.folder / "postgres.start.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EmbeddedPostgresError(
                f"The embedded PostgreSQL in {self.folder} cannot be used: {error}."
            ) from error

    def _at_exit(self) -> None:
        try:
            self.release()
        except EmbeddedPostgresError as error:
            print(error, file=sys.stderr)

    def _after_fork(self) -> None:
        """In a child process: forget the parent's use. Closing the descriptor leaves the parent's lock in place."""
        self._mutex = threading.RLock()
        descriptor = self._use_lock
        self._forget()
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)


def _open_lock(path: Path) -> int:
    """Open a lock file; Python's descriptors are close-on-exec, so no program inherits it."""
    flags = os.O_RDWR | os.O_NOFOLLOW
    with suppress(FileExistsError):
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        accounts.give_to_owner(descriptor, path.parent.stat())
        return descriptor
    try:
        return os.open(path, flags)
    except PermissionError as error:
        raise accounts.owned_by_another(path) from error


_instances: weakref.WeakSet[EmbeddedPostgres] = weakref.WeakSet()


def _forget_in_children() -> None:
    for instance in list(_instances):
        instance._after_fork()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_in_children)
