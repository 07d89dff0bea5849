"""`/ready` of a server whose database answers, and can commit nothing."""

import os
import shutil
import subprocess
from contextlib import ExitStack, suppress

import httpx
import pytest

from tests.faults.own_postgres import OwnPostgres
from tests.faults.services import is_ready
from tests.processes.service import Serve
from tests.waiting import eventually

DISK_MEGABYTES = 160
FILLER = "filler"


class SmallDisk(OwnPostgres):
    """On a file system of its own, which can be filled."""

    def _make(self):
        size = f"size={DISK_MEGABYTES}m,mode=711"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", self._folder], check=True)
        super()._make()

    def fill(self):
        with suppress(OSError), (self._folder / FILLER).open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)

    def empty(self):
        (self._folder / FILLER).unlink()

    def _remove(self):
        self._server.release()
        subprocess.run(["umount", "--lazy", self._folder], check=False)
        self._folder.rmdir()


def not_ready(server) -> str:
    """Return why a server says that it is not ready, "" if it is or says nothing."""
    with suppress(httpx.TransportError):
        return str(httpx.get(f"{server.url}/ready", timeout=2).json().get("reason", ""))
    return ""


def serve(database, stack) -> Serve:
    server = Serve(DATABASE_URL=database.url)
    stack.callback(server.close)
    return server.ready()


def test_a_synchronous_standby_that_is_missing_is_noticed(
    own_postgres, processes_without_a_database
):
    server = serve(own_postgres, processes_without_a_database)
    own_postgres.query("ALTER SYSTEM SET synchronous_standby_names = 'missing'")
    own_postgres.query("SELECT pg_reload_conf()")
    eventually(lambda: "does not acknowledge a commit" in not_ready(server))
    assert httpx.get(f"{server.url}/health").status_code == 200
    own_postgres.query("ALTER SYSTEM RESET synchronous_standby_names")
    own_postgres.query("SELECT pg_reload_conf()")
    eventually(lambda: is_ready(server))
    server.line("server not ready")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="only root mounts")
def test_a_full_disk_is_noticed_and_said():
    with SmallDisk() as database, ExitStack() as stack:
        server = serve(database, stack)
        database.fill()
        eventually(lambda: "No space left on device" in not_ready(server))
        database.empty()
        eventually(lambda: is_ready(server))
