"""One data folder and its server: created, started, asked and stopped. The caller holds the start lock."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from django_embedded_postgres import accounts, binaries, lock_files, placement, processes
from django_embedded_postgres.errors import EmbeddedPostgresError, NotReady
from django_embedded_postgres.placement import PORT, Place

CLUSTER_NAME = "django-embedded-postgres"  # as `ps` shows it
START_SECONDS = 120.0
UNINTERRUPTED_SECONDS = 5
STOP_SECONDS = 60.0
POLL_SECONDS = 0.02
LOG_BYTES = 10_000_000
# The words of a server whose messages are in English, as LC_ALL=C makes them.
ALL_CONNECTIONS_TAKEN = ("too many clients", "remaining connection slots")
UNKNOWN_ROLE = 'role "{}" does not exist'

logger = logging.getLogger(__name__)

INITDB_SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class ConnectionParams:
    """How to connect.

    Args:
        host: the folder of the server's socket.
        port: a number in the name of the socket; the server listens on no TCP port.
        user: the superuser.
    """

    host: str
    port: int
    user: str


class Cluster:
    """The server of one place, and its superuser."""

    def __init__(self, place: Place, user: str) -> None:
        self._place = place
        self._user = user

    def is_alive(self) -> bool:
        with suppress(lock_files.UnreadableLockFile):
            pid = lock_files.read_pid(self._place.data / "postmaster.pid")
            return pid is not None and processes.is_server(pid, self._place.data)
        return False

    def ensure_started(self, databases: Collection[str]) -> ConnectionParams:
        """Start the server if it does not run, wait until it answers, and create the databases that are missing.

        The server may be starting or stopping although no process holds the start lock: that process was killed.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if not self.is_alive():
                    self._start(deadline)
                host = str(placement.socket_folder(self._place))
                params = ConnectionParams(host, PORT, self._user)
                self._ensure_databases(params, databases)
                return params
            except NotReady as error:
                if time.monotonic() > deadline:
                    self._fail("does not answer", str(error))
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop the server if it runs, without waiting for its clients."""
        if not self.is_alive():
            return
        _, install = binaries.install_for(self._place.data)
        pg_ctl = binaries.reachable_install(install, self._place.account) / "bin" / "pg_ctl"
        arguments = ["stop", "--silent", "--wait", f"--timeout={STOP_SECONDS:.0f}"]
        arguments += ["-m", "fast", "-D", "data"]
        code, output = processes.run(self._place, pg_ctl, arguments, STOP_SECONDS + 10)
        if code != 0 and self.is_alive():
            said = self._place.log.read_text(errors="replace")
            self._fail("did not stop", f"{output}\n{processes.tail(said)}")

    def _start(self, deadline: float) -> None:
        place = self._place
        major, install = binaries.install_for(place.data)
        programs = binaries.reachable_install(install, place.account) / "bin"
        if not place.data.exists():
            self._initdb(programs / "initdb", major)
        lock_files.remove_leftovers(place)
        self._prepare_log()
        log_before = place.log.stat().st_size
        sockets = placement.socket_folder(place)
        settings = {
            "listen_addresses": "''",
            "unix_socket_directories": "." if sockets == place.data else str(sockets),
            "unix_socket_permissions": "0700",
            "port": str(PORT),
            "cluster_name": CLUSTER_NAME,
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        # Relative paths: pg_ctl builds a shell command of them and escapes nothing.
        arguments = ["start", "--silent", "--wait", f"--timeout={UNINTERRUPTED_SECONDS}"]
        arguments += ["-D", "data", "-l", "postgres.log", "-o", options]
        # An interrupt would kill pg_ctl, and a server would stay that no process knows of yet.
        with processes.signals_blocked():
            code, output = processes.run(place, programs / "pg_ctl", arguments, START_SECONDS)
        if code == 0:
            return
        if self.is_alive():  # it takes long, or somebody else's start came first
            raise NotReady(output)
        said = place.log.read_bytes()[log_before:].decode(errors="replace")
        # Backends of a killed postmaster need a moment to notice.
        if "is still in use" in said and time.monotonic() < deadline:
            raise NotReady(said)
        self._fail("did not start", f"{output}\n{processes.tail(said)}")

    def _initdb(self, initdb: Path, major: int) -> None:
        """Create the data under another name and then rename it, so that `data` is whole or absent.

        The name is new each time: the initdb of a killed process may still be writing.
        """
        home = self._place.home
        for leftover in home.glob("initdb-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        target = accounts.make_private_folder("initdb-", home, self._place.account)
        # PostgreSQL's own locale provider knows upper and lower case beyond ASCII, on every platform.
        unicode = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else []
        settings = [f"--set={name}={value}" for name, value in INITDB_SETTINGS.items()]
        arguments = ["-D", target.name, f"--username={self._user}", *settings]
        arguments += ["--auth-local=trust", "--auth-host=reject", "--no-instructions"]
        arguments += ["--encoding=UTF8", "--locale=C", *unicode]
        code, output = processes.run(self._place, initdb, arguments, START_SECONDS)
        if code != 0:
            shutil.rmtree(target, ignore_errors=True)
            self._fail("could not be created", output)
        target.rename(self._place.data)
        folder = os.open(home, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _prepare_log(self) -> None:
        log = self._place.log
        with suppress(FileNotFoundError):
            if log.stat().st_size > LOG_BYTES:
                log.replace(log.with_name("postgres.log.1"))
        with suppress(FileExistsError):
            descriptor = os.open(log, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            accounts.give_to_owner(descriptor, self._place.data.stat())
            os.close(descriptor)

    def _ensure_databases(self, params: ConnectionParams, databases: Collection[str]) -> None:
        """Connect, which shows that the server answers, and create what is missing."""
        import psycopg
        from psycopg import sql

        try:
            with psycopg.connect(
                host=params.host,
                port=params.port,
                user=params.user,
                dbname="postgres",
                connect_timeout=10,
                autocommit=True,
                application_name="django_embedded_postgres",
            ) as connection:
                for name in databases:
                    query = "SELECT FROM pg_database WHERE datname = %s"
                    if connection.execute(query, [name]).fetchone() is None:
                        # Another process may be creating it: the test runners do.
                        taken = (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation)
                        with suppress(*taken):
                            create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
                            connection.execute(create)
        except psycopg.OperationalError as error:
            said = str(error)
            if any(words in said for words in ALL_CONNECTIONS_TAKEN):
                return  # the server runs, and the processes that took all connections have the database
            if UNKNOWN_ROLE.format(params.user) in said:
                self._fail("was created with another user", said)
            raise NotReady(said) from error
        except psycopg.Error as error:
            self._fail(f"cannot have the databases {', '.join(sorted(databases))}", str(error))

    def _fail(self, what: str, detail: str) -> NoReturn:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL in {self._place.home} {what} (log: {self._place.log}):"
            f" {detail.strip()}"
        )
