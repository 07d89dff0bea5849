"""The server, used by real processes that come and go: the last one stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import django
import pytest

from django_embedded_postgres import processes
from postgres_users import (
    DJANGO,
    Worker,
    environment,
    eventually,
    is_alive,
    is_locked,
    server_pid,
    stop_what_is_left,
)


def test_a_fresh_server_answers_and_a_second_start_finds_its_data(fresh_var: Path) -> None:
    with Worker(fresh_var) as worker:
        worker.query("create table kept as select 42 as answer")
        assert worker.query("select count(*) from kept") == "1"
        for setting, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "listen_addresses": "",
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "TimeZone": "UTC",
            "server_encoding": "UTF8",
        }.items():
            assert worker.query(f"show {setting}") == value
        assert worker.query("select upper('ä')") == "Ä"
        first = server_pid(fresh_var)
    assert not is_alive(first)
    with Worker(fresh_var) as worker:
        assert worker.query("select answer from kept") == "42"
        assert server_pid(fresh_var) != first


def test_only_the_last_user_stops_the_server(var: Path) -> None:
    with Worker(var) as first, Worker(var) as second:
        first.query("select 1")
        second.query("select 1")
        pid = server_pid(var)
        first.end()
        assert is_alive(pid)
        assert second.query("select 2") == "2"
        second.end()
        assert not is_alive(pid)
        assert not (var / "postgres/data/postmaster.pid").exists()


def test_after_a_kill_the_next_user_joins_and_its_end_stops_the_server(var: Path) -> None:
    with Worker(var) as killed:
        killed.query("select 1")
        pid = server_pid(var)
        killed.kill()
    assert is_alive(pid)
    with Worker(var) as worker:
        assert worker.query("select 1") == "1"
        assert server_pid(var) == pid
    assert not is_alive(pid)


def test_ten_at_once_on_a_fresh_folder(fresh_var: Path) -> None:
    workers = [Worker(fresh_var) for _ in range(10)]
    try:
        for worker in workers:
            worker.send("query('select 7')")
        assert [worker.receive() for worker in workers] == ["7"] * 10
        pid = server_pid(fresh_var)
        for worker in workers:
            worker.process.stdin.close()
            worker.process.stdin = None
        for worker in workers:
            worker.end()
        assert not is_alive(pid)
    finally:
        for worker in workers:
            worker.kill()


def test_joining_while_others_stop_it(var: Path) -> None:
    """Three come and go at once: each finds a server that stays as long as it is needed."""
    loop = "[(query('select 1'), server.release()) for _ in range(5)] and 'fine'"
    with Worker(var) as one, Worker(var) as two, Worker(var) as three:
        for worker in (one, two, three):
            worker.send(loop)
        assert [worker.receive() for worker in (one, two, three)] == ["fine"] * 3
    assert not (var / "postgres/data/postmaster.pid").exists()


def test_many_threads_are_one_user(var: Path) -> None:
    with Worker(var) as worker:
        assert worker.ask("many_threads()") == "1"
        pid = server_pid(var)
    assert not is_alive(pid)


@pytest.mark.parametrize("name", ["x" * 120, "a b'\"$(id)`id`\\,ä"])
def test_long_and_odd_paths(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "var"
    try:
        for _ in range(2):
            with Worker(folder) as worker:
                assert worker.query("select 1") == "1"
                host = Path(worker.ask("server.ensure_running().host"))
                assert host.stat().st_mode & 0o777 == 0o700
    finally:
        stop_what_is_left(folder)


def test_ctrl_c_ends_its_process_and_not_the_server_of_others(var: Path) -> None:
    with Worker(var) as starter, Worker(var) as other:
        starter.query("select 1")
        other.query("select 1")
        pid = server_pid(var)
        assert os.getsid(pid) != os.getsid(starter.process.pid)
        os.killpg(starter.process.pid, signal.SIGINT)
        starter.process.communicate(timeout=30)
        assert other.query("select 2") == "2"
        assert server_pid(var) == pid
    assert not is_alive(pid)


def test_sigterm_after_ctrl_c_does_not_cut_the_stop_short(var: Path) -> None:
    """Process managers pass Ctrl-C on to those who got it already."""

    with Worker(var) as worker:
        worker.query("select 1")
        pid = server_pid(var)
        worker.process.send_signal(signal.SIGINT)
        eventually(lambda: is_locked(var) or worker.process.poll() is not None)
        worker.process.send_signal(signal.SIGTERM)
        worker.process.communicate(timeout=30)
    assert not is_alive(pid)


def test_a_forked_child_does_not_stop_the_server_of_its_parent(var: Path) -> None:
    with Worker(var) as worker:
        worker.query("select 1")
        pid = server_pid(var)
        assert worker.ask("forked_child_exits()") == "0"
        assert is_alive(pid)
        assert worker.query("select 2") == "2"
    assert not is_alive(pid)


@pytest.mark.skipif(not processes.HAS_PROC, reason="needs /proc")
def test_the_server_holds_no_lock_of_ours(var: Path) -> None:
    with Worker(var) as worker:
        worker.query("select 1")
        open_files = Path(f"/proc/{server_pid(var)}/fd").iterdir()
        assert not [file for file in open_files if os.readlink(file).endswith(".lock")]


needs_pool = pytest.mark.skipif(django.VERSION < (5, 1), reason="without a connection pool")


@pytest.mark.parametrize("kind", ["plain", pytest.param("pool", marks=needs_pool)])
def test_the_django_backend(fresh_var: Path, kind: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", DJANGO, fresh_var, kind],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (answer.stdout, answer.stderr) == ("6\ndone\n", "")
    assert not (fresh_var / "postgres/data/postmaster.pid").exists()
