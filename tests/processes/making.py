"""`make` as a newcomer uses it: fixtures that start it with a data folder of its own, and see what it leaves."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.ports import reserved
from tests.processes.embedded_database import stop_what_is_left
from tests.processes.service import ROOT, Process
from tests.waiting import eventually

STOP_SECONDS = 5
# Of this test run, and not for what it starts.
NOT_INHERITED = (
    "DATABASE_URL",
    "DJANGO_SETTINGS_MODULE",
    "MAKEFLAGS",
    "MAKELEVEL",
    "MFLAGS",
    "SILO_CONFIG",
    "SILO_SECRET_KEY",
)


@pytest.fixture(scope="module")
def venv() -> Iterator[str]:
    """A "virtual environment" that is this one, with everything installed."""
    with tempfile.TemporaryDirectory(prefix="silo-test-", dir="/tmp") as folder:
        python = Path(folder, "bin/python")
        python.parent.mkdir()
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        Path(folder, ".installed").write_bytes(
            b"".join(file.read_bytes() for file in requirements())
        )
        yield folder


def requirements() -> list[Path]:
    """The files that the Makefile names, in its order."""
    return [
        ROOT / "requirements.txt",
        ROOT / "constraints.txt",
        *sorted(ROOT.glob("*/pyproject.toml")),
    ]


@contextmanager
def data_folder() -> Iterator[Path]:
    """A data folder that the database's user can reach, with a space in its path."""
    folder = Path(tempfile.mkdtemp(prefix="silo test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    stop_what_is_left(folder)

    def removed() -> bool:
        # An initdb that was interrupted removes its files too.
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    eventually(removed)


@pytest.fixture
def var() -> Iterator[Path]:
    with data_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def migrated_once() -> Iterator[Path]:
    with data_folder() as folder:
        own = {"SILO_VAR": str(folder)}
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, env=kept() | own, check=True)
        yield folder


@pytest.fixture
def migrated_var(var: Path, migrated_once: Path) -> Path:
    """A data folder as `migrate` leaves it, copied to save the time of making it."""
    subprocess.run(["cp", "-a", f"{migrated_once}/.", var], check=True)
    return var


@pytest.fixture
def port() -> int:
    return reserved()


@pytest.fixture
def make(venv: str, var: Path, port: int) -> Iterator[Callable[..., Process]]:
    """Start make, in a session of its own as from a terminal."""
    started = []

    def start(*arguments: str, **env: str) -> Process:
        own = {"SILO_VAR": str(var), "PORT": str(port), "VENV": venv, "PYTHON": sys.executable}
        process = Process("make", *arguments, env=kept() | own | env)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.running:
            os.killpg(process.pid, signal.SIGKILL)
        for pid in users_of(var):
            os.kill(pid, signal.SIGKILL)
        process.close()


def kept() -> dict[str, str]:
    """The environment of this test run, without what is not for what it starts."""
    return {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}


def users_of(var: Path) -> list[int]:
    """The processes that were started with this data folder."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"SILO_VAR={var}\0".encode() in environ.read_bytes() + b"\0":
                found.append(int(environ.parent.name))
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


def nothing_is_left(var: Path) -> None:
    assert not users_of(var)
    assert not (var / "postgres/data/postmaster.pid").exists()
    for name in ("postgres.lock", "postgres.start.lock"):
        if (var / name).exists():
            with (var / name).open("rb+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready").status_code == 200
    except httpx.TransportError:
        return False
