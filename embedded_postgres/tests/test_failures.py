"""The server, where a server or its user was killed before, or the server cannot start."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from postgres_users import Worker, eventually, is_alive, is_locked, server_pid


def test_a_killed_server_is_started_again_for_the_same_user(var: Path) -> None:
    with Worker(var) as worker:
        worker.query("create table kept as select 42 as answer")
        pid = server_pid(var)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_alive(pid))
        assert (var / "postgres/data/postmaster.pid").exists()
        assert worker.query("select answer from kept") == "42"
        assert server_pid(var) != pid


def test_the_pid_in_a_stale_file_may_belong_to_another_process(var: Path) -> None:
    with Worker(var) as worker:
        worker.query("select 1")
        os.kill(pid := server_pid(var), signal.SIGKILL)
        eventually(lambda: not is_alive(pid))
        data = var / "postgres/data"
        owner = data.stat().st_uid if os.geteuid() == 0 else None
        with subprocess.Popen(["sleep", "60"], user=owner) as other:
            for path in data.glob("*.pid"), data.glob(".s.*.lock"):
                for file in path:
                    file.write_text(file.read_text().replace(str(pid), str(other.pid)))
            try:
                assert worker.query("select 1") == "1"
            finally:
                other.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_who_is_cut_off_while_starting_leaves_nothing_in_the_way(
    var: Path, number: signal.Signals
) -> None:
    with Worker(var) as cut_off:
        cut_off.send("query('select 1')")
        eventually(lambda: is_locked(var))
        cut_off.process.send_signal(number)
        cut_off.process.communicate(timeout=30)
    if number == signal.SIGINT:
        assert not (var / "postgres/data/postmaster.pid").exists()
    began = time.monotonic()
    with Worker(var) as worker:
        assert worker.query("select 1") == "1"
        pid = server_pid(var)
    assert not is_alive(pid)
    assert time.monotonic() - began < 20


def test_data_of_another_version_is_refused_in_one_sentence(var: Path) -> None:
    with Worker(var) as worker:
        worker.query("select 1")
    (var / "postgres/data/PG_VERSION").write_text("9\n")
    with Worker(var) as worker:
        worker.send("query('select 1')")
        _, errors = worker.process.communicate(timeout=30)
    assert "was made by PostgreSQL 9, but" in errors.splitlines()[-1]


def test_a_failing_start_shows_the_log(var: Path) -> None:
    with Worker(var) as worker:
        worker.query("select 1")
    with (var / "postgres/data/postgresql.conf").open("a") as file:
        file.write("work_mem = 'nonsense'\n")
    with Worker(var) as worker:
        worker.send("query('select 1')")
        _, errors = worker.process.communicate(timeout=30)
    assert "did not start (log: " in errors
    assert 'invalid value for parameter "work_mem": "nonsense"' in errors
