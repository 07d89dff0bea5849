"""Processes that use the embedded PostgreSQL, and what a test sees of them from outside."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest

from django_embedded_postgres import accounts, binaries, processes

SOURCE = Path(__file__).parents[1] / "src"
PATIENCE_SECONDS = 20.0

# Reads commands from its standard input and ends with it.
WORKER = """
import os, sys
from pathlib import Path
import psycopg
from django_embedded_postgres import accounts, placement
from django_embedded_postgres import EmbeddedPostgres

accounts.STATE_FOLDERS = (Path(os.environ["TEST_STATE"]),)
placement.SOCKET_FOLDERS = Path(os.environ["TEST_STATE"])
server = EmbeddedPostgres(Path(sys.argv[1]))

def query(sql):
    params = server.ensure_running("app")
    with psycopg.connect(
        host=params.host, port=params.port, user=params.user, dbname="app"
    ) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None

def forked_child_exits():
    pid = os.fork()
    if pid == 0:
        sys.exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def many_threads():
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(8) as pool:
        return len({params.host for params in pool.map(lambda _: server.ensure_running(), range(8))})

for line in sys.stdin:
    print(eval(line), flush=True)
"""

DJANGO = """
import os, sys, threading
from pathlib import Path
import django
from django.conf import settings
from django_embedded_postgres import accounts, database, placement

accounts.STATE_FOLDERS = (Path(os.environ["TEST_STATE"]),)
placement.SOCKET_FOLDERS = Path(os.environ["TEST_STATE"])
folder = Path(sys.argv[1])
options = {"pool": {"min_size": 1, "max_size": 4}} if sys.argv[2] == "pool" else {}
settings.configure(
    DATABASES={"default": database(folder, name="app", options=options)},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    USE_TZ=True,
)
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

assert not folder.exists(), "started by importing"
call_command("migrate", verbosity=0)

def work(number):
    User.objects.create(username=f"user-{number}")
    connection.close()

threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert User.objects.count() == 6
call_command("dbshell", "--", "-Atc", "select count(*) from auth_user")
connection.close()
connection.close_pool()  # else Django would go on with the pool of the other database
name = connection.creation.create_test_db(verbosity=0, autoclobber=True)
assert name == "test_app" and User.objects.count() == 0
connection.creation.destroy_test_db("app", verbosity=0)
assert User.objects.count() == 6
connection.close()
connection.close_pool()
print("done", flush=True)
"""


def eventually(condition: Callable[[], object]) -> None:
    """Wait until the condition is true; the test has failed if it stays false."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS} s: {condition}"
        threading.Event().wait(0.02)


def is_locked(folder: Path) -> bool:
    """Return whether a process starts or stops the server."""
    with (folder / "postgres.start.lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return not processes.HAS_PROC or ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def stop_what_is_left(folder: Path) -> None:
    """A failed test leaves no server."""
    if (folder / "postgres/data/postmaster.pid").exists():
        os.kill(server_pid(folder), signal.SIGKILL)


def server_pid(folder: Path) -> int:
    return int((folder / "postgres/data/postmaster.pid").read_text().split()[0])


class Worker:
    """A process that uses the server as it is told."""

    def __init__(self, folder: Path, python: str = sys.executable, **popen: object) -> None:
        self.process = subprocess.Popen(  # type: ignore[call-overload]
            [python, "-W", "error", "-c", WORKER, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            **({"env": environment(), "start_new_session": True} | popen),
        )

    def send(self, expression: str) -> None:
        self.process.stdin.write(expression + "\n")

    def receive(self) -> str:
        line: str = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return line.strip()

    def ask(self, expression: str) -> str:
        self.send(expression)
        return self.receive()

    def query(self, sql: str) -> str:
        return self.ask(f"query({sql!r})")

    def end(self) -> None:
        _, errors = self.process.communicate(timeout=30)
        assert (self.process.returncode, errors) == (0, "")

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=30)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None and kind is None:
            self.end()
        self.kill()


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")]))
    kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return {**kept, "PYTHONPATH": path}


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def python_for(account: accounts.Account) -> tuple[str, Path]:
    """Return an interpreter of this version that the account can run, and the folder of the packages."""
    packages = binaries.wheel_folder().parent
    name = f"python3.{sys.version_info.minor}"
    for found in (sys.executable, shutil.which(name, path="/usr/bin:/usr/local/bin")):
        needed = (Path(found), packages) if found else ()
        if found and not any(accounts.first_closed(path, account) for path in needed):
            return found, packages
    pytest.skip(f"{account} can run no Python with these packages")
