"""Wagtail's editing sessions: the ping by which its pages say who is editing, which is a hint and locks nothing."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks.load import Client, Operation
from benchmarks.peers.postgres import Postgres
from benchmarks.processes import Background, answers, free_port
from benchmarks.subject import Absent
from benchmarks.wire import Caller

SITE = Path(__file__).with_name("wagtail_site")
# An environment of its own, kept from run to run.
KEPT = Path(__file__).resolve().parents[2] / "var/bench/wagtail"
REQUIREMENTS = ("wagtail==8.0.1", "django==5.2.19", "gunicorn==27.0.1", "psycopg[binary]==3.3.9")
EDITORS = 32
# As many as there are servers of the service beside it; threads for all editors.
PROCESSES, THREADS = 2, 16
CSRF_TOKEN = "b" * 32
BODY = b"is_editing=1"


class Wagtail(Postgres):
    """A Wagtail site of its own, served by gunicorn on a PostgreSQL of its own."""

    name = "Wagtail ping"

    def __init__(self, folder: Path) -> None:
        python = _environment()
        super().__init__(folder)
        database = {
            "NAME": self.where["dbname"],
            "HOST": self.where["host"],
            "PORT": self.where["port"],
            "USER": self.where["user"],
        }
        env = os.environ | {
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": str(SITE),
            "BENCH_DATABASE": json.dumps(database),
        }
        made = subprocess.run(  # noqa: S603
            [python, "-m", "prepare", str(EDITORS)], env=env, check=True, stdout=subprocess.PIPE
        )
        self._editors: list[dict[str, str]] = json.loads(made.stdout)
        self.port = free_port()
        options = {
            "bind": f"127.0.0.1:{self.port}",
            "workers": PROCESSES,
            "threads": THREADS,
            "keep-alive": 600,
        }
        self._gunicorn = Background(
            *(python, "-m", "gunicorn", "django.core.wsgi:get_wsgi_application()"),
            *(text for name, value in options.items() for text in (f"--{name}", str(value))),
            log=folder / "gunicorn.log",
            env=env,
        )
        self._gunicorn.wait_until(partial(answers, self.port))

    @property
    def pids(self) -> list[int]:
        return [*super().pids, self._gunicorn.pid]

    def pairs(self, clients: int) -> Client:
        return self.alive()

    def alive(self) -> Client:
        return partial(ping_client, self.port, self._editors)

    def close(self) -> None:
        self._gunicorn.close()
        super().close()


async def ping_client(port: int, editors: list[dict[str, str]], number: int) -> Operation:
    """Return an operation that says that somebody is editing a page, and reads who else is."""
    caller = await Caller.connect(port)
    editor = editors[number]
    head = (
        f"POST {editor['path']} HTTP/1.1\r\nHost: localhost\r\n"
        f"Cookie: sessionid={editor['login']}; csrftoken={CSRF_TOKEN}\r\nX-CSRFToken: {CSRF_TOKEN}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(BODY)}\r\n\r\n"
    )
    data = head.encode() + BODY

    async def ping() -> int:
        await caller.checked(data, 200)
        return 1

    return ping


def _environment() -> str:
    """Return the interpreter of an environment with Wagtail.

    Raises:
        Absent: it cannot be installed.
    """
    python, installed = KEPT / ".venv/bin/python", KEPT / "installed"
    wanted = " ".join(REQUIREMENTS)
    if installed.exists() and installed.read_text() == wanted:
        return str(python)
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    install = (str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check")
    for command in ((sys.executable, "-m", "venv", str(KEPT / ".venv")), (*install, *REQUIREMENTS)):
        ended = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
        if ended.returncode:
            raise Absent(f"{wanted} could not be installed: {ended.stderr.strip()[-200:]}")
    installed.write_text(wanted)
    return str(python)
