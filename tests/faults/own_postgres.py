"""A PostgreSQL of the test's own, which can be restarted, killed and stopped without anybody else noticing."""

import atexit
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg

from django_embedded_postgres import EmbeddedPostgres, lock_files, processes
from tests.processes import warm
from tests.temporary import Temporary
from tests.waiting import eventually


class OwnPostgres(Temporary):
    """An embedded PostgreSQL in a folder of its own, migrated and used by nobody else."""

    def __init__(self) -> None:
        # Not pytest's: the account that PostgreSQL runs as has to be able to enter it.
        self._folder = Path(tempfile.mkdtemp(prefix="silo-faults-", dir="/tmp"))
        self._folder.chmod(0o711)
        self._server = EmbeddedPostgres(self._folder, user="silo")

    def _make(self) -> None:
        """Start it with data that were made once for all of them."""
        subprocess.run(["cp", "-a", f"{_made_once()}/.", self._folder], check=True)
        self.start()

    @property
    def url(self) -> str:
        """For the service's processes, which thereby do not start it again by themselves."""
        query = {"host": self._params.host, "port": self._params.port, "user": self._params.user}
        return f"postgresql:///silo?{urlencode(query)}"

    def manage(self, *arguments: str) -> str:
        """Run a management command; return what it prints."""
        command = (sys.executable, "-W", "error", "manage.py", *arguments)
        done = warm.run(command, os.environ | warm.UNBUFFERED | {"DATABASE_URL": self.url})
        assert not done.returncode, done.stderr
        return done.stdout.strip()

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql, parameters)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start it, and wait until it answers; after a kill that is after its recovery."""
        self._params = self._server.ensure_running("silo")

    def stop(self) -> None:
        """Stop it as `pg_ctl stop -m fast` does: connections are ended, and it is shut down in order."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL: nothing is shut down; what it was doing is found in its log at the next start."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop all its processes; whoever asks it something gets no answer and no error."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal_all(signal.SIGCONT)

    @property
    def _data(self) -> Path:
        return self._folder / "postgres" / "data"

    def _processes(self) -> list[int]:
        """All of them: each works in the data folder."""
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in pids if processes.is_server(pid, self._data)]

    def _end(self, number: signal.Signals) -> None:
        pid = lock_files.read_pid(self._data / "postmaster.pid")
        assert pid is not None
        os.kill(pid, number)
        eventually(lambda: not self._processes(), "the end of PostgreSQL")

    def _signal_all(self, number: signal.Signals) -> None:
        """Until there is no new one: the postmaster may have been about to fork."""
        signalled: set[int] = set()
        while new := set(self._processes()) - signalled:
            for pid in new:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            signalled |= new

    def _remove(self) -> None:
        with suppress(Exception):
            self.thaw()
        self._server.release()
        shutil.rmtree(self._folder)


class Made(OwnPostgres):
    """One that makes its data itself."""

    def _make(self) -> None:
        self.start()
        self.manage("migrate", "--verbosity", "0")

    def stop_for_good(self) -> Path:
        """Stop it; return the folder with its data, which is removed when the tests end."""
        self._server.release()
        atexit.register(shutil.rmtree, self._folder)
        return self._folder


@functools.cache
def _made_once() -> Path:
    return Made().__enter__().stop_for_good()
