"""A lock file of PostgreSQL that a crash has garbled: it is mended where no server is, and never are there two."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from django_embedded_postgres import processes
from postgres_users import Worker, eventually, is_alive, server_pid

pytestmark = pytest.mark.skipif(not processes.HAS_PROC, reason="needs /proc")

NAMES = ["postmaster.pid", ".s.PGSQL.5432.lock"]
# What else it may be: test_lock_file_content.py.
CONTENTS = {"empty": b"", "binary": bytes(range(256)) * 40}


@pytest.fixture
def crashed(var: Path) -> Path:
    """The data folder of a server that was killed, and has left its lock files."""
    with Worker(var) as worker:
        worker.query("create table kept as select 42 as answer")
        os.kill(pid := server_pid(var), signal.SIGKILL)
        eventually(lambda: not is_alive(pid))
        worker.kill()
    return var / "postgres/data"


def check_starts(data: Path, *mended: str) -> None:
    """Check that the server starts with all that it had, and says which files were removed for it."""
    with Worker(data.parent.parent) as worker:
        assert worker.query("select answer from kept") == "42"
        _, errors = worker.process.communicate(timeout=30)
    said = errors.splitlines()
    assert [line.split()[0] for line in said] == [str(data / name) for name in mended]
    assert all(line.endswith("removed it, as no server is there.") for line in said)


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_what_is_garbled_is_mended(crashed: Path, content: bytes) -> None:
    for name in NAMES:
        (crashed / name).write_bytes(content)
    check_starts(crashed, *NAMES)


def test_one_that_ends_after_its_first_line_is_good_enough(crashed: Path) -> None:
    for name in NAMES:
        file = crashed / name
        file.write_bytes(file.read_bytes().split(b"\n")[0])
    check_starts(crashed)


def test_one_that_names_another_postgresql_is_nothing_to_it(crashed: Path, seed: Path) -> None:
    with Worker(seed) as other:
        other.query("select 1")
        for name in NAMES:
            (crashed / name).write_text(f"{server_pid(seed)}\n")
        check_starts(crashed)
        assert other.query("select 2") == "2"


@pytest.mark.skipif(os.geteuid() != 0, reason="for others 0600 can be read")
def test_one_that_the_server_cannot_read_is_mended(crashed: Path) -> None:
    file = crashed / NAMES[0]
    file.unlink()
    file.write_text("1\n")  # as whoever runs this, root say
    file.chmod(0o600)
    check_starts(crashed, NAMES[0])


def test_a_folder_in_its_place_is_named(crashed: Path) -> None:
    file = crashed / NAMES[0]
    file.unlink()
    file.mkdir()
    with Worker(crashed.parent.parent) as worker:
        worker.send("query('select 1')")
        _, errors = worker.process.communicate(timeout=30)
    file.rmdir()
    assert f"{file} cannot be read (Is a directory): remove it" in errors.splitlines()[-1]


def test_while_its_server_lives_nobody_starts_another_one(var: Path) -> None:
    file = var / "postgres/data/postmaster.pid"
    with Worker(var) as first, Worker(var) as second:
        first.query("select 1")
        pid, content = server_pid(var), file.read_bytes()
        file.write_bytes(b"")
        second.send("query('select 2')")
        with (var / "postgres/postgres.log").open() as log:
            waits = second.process
            eventually(lambda: waits.poll() is None and _threads_wait(waits.pid))
            assert file.read_bytes() == b""
            assert is_alive(pid)
            file.write_bytes(content)
            assert second.receive() == "2"
            assert "is empty" not in log.read()
        assert server_pid(var) == pid


def _threads_wait(pid: int) -> bool:
    """Whether it holds the lock under which servers are started: it looks whether it may."""
    return any(
        os.readlink(file).endswith("postgres.start.lock")
        for file in Path(f"/proc/{pid}/fd").iterdir()
        if file.is_symlink()
    )
