"""Folders without data, and copies of one with data."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgres_users import Worker, environment, stop_what_is_left


def pytest_configure() -> None:
    # A process that a shell started in the background ignores Ctrl-C, and so would every process that it tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def state(seed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where data that cannot stay in its folder goes in the tests, instead of /var/lib."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-test-", dir="/tmp"))
    folder.chmod(0o755)
    monkeypatch.setenv("TEST_STATE", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def fresh_var(tmp_path: Path) -> Iterator[Path]:
    """A folder that does not exist yet, in one that only its owner can enter, as pytest makes them."""
    folder = tmp_path / "var"
    yield folder
    stop_what_is_left(folder)


@pytest.fixture(scope="session")
def seed() -> Iterator[Path]:
    """A folder with data, made once."""
    with tempfile.TemporaryDirectory(prefix="embedded-test-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with Worker(folder / "var", env=environment() | {"TEST_STATE": name}) as worker:
            worker.query("select 1")
        yield folder / "var"


@pytest.fixture
def var(seed: Path, state: Path) -> Iterator[Path]:
    """A folder with new data, copied to save the time of creating it."""
    folder = state / "var"
    subprocess.run(["cp", "-a", seed, folder], check=True)
    yield folder
    stop_what_is_left(folder)
