"""One cluster in its place: made, started, asked and stopped. Callers hold the start lock."""

from __future__ import annotations

import logging
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from silo.embedded_postgres import accounts, binaries, placement, processes
from silo.embedded_postgres.errors import EmbeddedPostgresError, NotYet
from silo.embedded_postgres.placement import PORT, SOCKET_NAME, Place

SUPERUSER = "silo"
DATABASE = "silo"
START_SECONDS = 120.0
UNINTERRUPTED_SECONDS = 5
STOP_SECONDS = 60.0
POLL_SECONDS = 0.02
LOG_BYTES = 10_000_000
ALL_CONNECTIONS_TAKEN = ("too many clients", "remaining connection slots")

logger = logging.getLogger(__name__)

INITDB_SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class ConnectionParams:
    host: str
    port: int
    user: str
    dbname: str


class Cluster:
    """The server of one place."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def is_alive(self) -> bool:
        with suppress(processes.Garbled):
            pid = processes.first_number(self._place.data / "postmaster.pid")
            return pid is not None and processes.is_server(pid, self._place.data)
        return False

    def ensure_started(self) -> ConnectionParams:
        """Start what does not run, wait out who starts or stops, and see that it answers.

        A server may be coming up or going down without anybody holding the lock: its starter or
        stopper was killed.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if not self.is_alive():
                    self._start(deadline)
                host = str(placement.socket_folder(self._place))
                params = ConnectionParams(host, PORT, SUPERUSER, DATABASE)
                _ensure_database(params)
                return params
            except NotYet as error:
                if time.monotonic() > deadline:
                    self._fail("does not answer", str(error))
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop it where it runs, without waiting for its clients."""
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
        self._clear_leftovers()
        self._prepare_log()
        log_before = place.log.stat().st_size
        sockets = placement.socket_folder(place)
        settings = {
            "listen_addresses": "''",
            "unix_socket_directories": "." if sockets == place.data else str(sockets),
            "unix_socket_permissions": "0700",
            "port": str(PORT),
            "cluster_name": "silo",
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        # Relative paths: pg_ctl builds a shell command of them and escapes nothing.
        arguments = ["start", "--silent", "--wait", f"--timeout={UNINTERRUPTED_SECONDS}"]
        arguments += ["-D", "data", "-l", "postgres.log", "-o", options]
        # An interrupt would kill pg_ctl and leave a server behind that nobody knows of yet.
        with processes.signals_held():
            code, output = processes.run(place, programs / "pg_ctl", arguments, START_SECONDS)
        if code == 0:
            return
        if self.is_alive():  # it takes long, or somebody else's start came first
            raise NotYet(output)
        said = place.log.read_bytes()[log_before:].decode(errors="replace")
        # Backends of a killed postmaster need a moment to notice.
        if "is still in use" in said and time.monotonic() < deadline:
            raise NotYet(said)
        self._fail("did not start", f"{output}\n{processes.tail(said)}")

    def _initdb(self, initdb: Path, major: int) -> None:
        """Make the cluster beside its place and move it there, so that `data` is whole or absent.

        The name is new each time: the initdb of a killed process may still be writing.
        """
        home = self._place.home
        for leftover in home.glob("initdb-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        target = accounts.make_private_folder("initdb-", home, self._place.account)
        # The built-in provider knows upper and lower case beyond ASCII, on every platform.
        unicode = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else []
        settings = [f"--set={name}={value}" for name, value in INITDB_SETTINGS.items()]
        arguments = ["-D", target.name, f"--username={SUPERUSER}", *settings]
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

    def _clear_leftovers(self) -> None:
        """Remove what a dead server left and a new one would believe in.

        PostgreSQL takes any living process whose number is in one of its files for its rival.
        Where no process has that number it copes, and its own checks are worth having; so they
        are where the number is that of a server which a killed process has just started.
        """
        data = self._place.data
        socket_lock = placement.socket_folder(self._place) / f"{SOCKET_NAME}.lock"
        for file in (data / "postmaster.pid", socket_lock):
            try:
                pid = processes.first_number(file, self._place.account)
            except processes.Garbled as fault:
                self._remove_garbled(file, str(fault))
                continue
            if pid is not None and processes.exists(pid) and not processes.is_server(pid, data):
                file.unlink(missing_ok=True)

    def _remove_garbled(self, file: Path, fault: str) -> None:
        """Remove a lock file that a crash or a full disk has left without a number: PostgreSQL would refuse to start.

        Only where no server can be there. One that has just made the file is in its folder already, and one that lost
        its number ends by itself within a minute: both are waited for.
        """
        data = self._place.data
        if not processes.HAS_PROC:
            self._fail(
                "does not start",
                f"{file} {fault}: see that no PostgreSQL runs on {data}, and remove that file.",
            )
        there = processes.in_folders([data, self._place.home])
        if not there and processes.answers(placement.socket_folder(self._place) / SOCKET_NAME):
            there = ["which cannot be seen from here"]
        if there:
            raise NotYet(
                f"{file} {fault}, but a process of PostgreSQL is there, {', '.join(there)}: end that process."
            )
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            self._fail("does not start", f"{file} {fault}: remove it ({error.strerror}).")
        logger.warning("%s %s: removed it, as no server is there.", file, fault)

    def _prepare_log(self) -> None:
        log = self._place.log
        with suppress(FileNotFoundError):
            if log.stat().st_size > LOG_BYTES:
                log.replace(log.with_name("postgres.log.1"))
        with suppress(FileExistsError):
            descriptor = os.open(log, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            accounts.give(descriptor, self._place.data.stat())
            os.close(descriptor)

    def _fail(self, what: str, detail: str) -> NoReturn:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL in {self._place.home} {what} (log: {self._place.log}):"
            f" {detail.strip()}"
        )


def _ensure_database(params: ConnectionParams) -> None:
    import psycopg

    try:
        with psycopg.connect(
            host=params.host,
            port=params.port,
            user=params.user,
            dbname="postgres",
            connect_timeout=10,
            autocommit=True,
        ) as connection:
            query = "SELECT FROM pg_database WHERE datname = %s"
            if connection.execute(query, [params.dbname]).fetchone() is None:
                with suppress(psycopg.errors.DuplicateDatabase):
                    connection.execute(f"CREATE DATABASE {DATABASE}")
    except psycopg.OperationalError as error:
        if any(words in str(error) for words in ALL_CONNECTIONS_TAKEN):
            return  # it runs, and whoever took them has the database
        raise NotYet(str(error)) from error
