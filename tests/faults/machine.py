"""A machine with a systemd of its own: a container of systemd-nspawn that is made of this machine's own files.

What it writes is kept in memory and gone with it. It has a network of its own, which leads nowhere.
"""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path

from tests.processes.service import Process
from tests.processes.warm import ROOT
from tests.temporary import Temporary
from tests.waiting import eventually

# With arguments: a folder for what it writes, what is copied into its files, the folder of this Python's packages, and
# the cgroups of its processes. useradd is as in docs/operations.md.
BOOT = """
set -e
own=$1 files=$2 packages=$3
shift 3
for cgroup; do
    mkdir "$cgroup"
    echo $$ >"$cgroup/cgroup.procs"
done
mount -t tmpfs tmpfs "$own"
mkdir "$own/upper" "$own/work" "$own/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$own/upper,workdir=$own/work" "$own/root"
useradd --root "$own/root" --system --home-dir /opt/silo --shell /usr/sbin/nologin silo
cp -a --no-preserve=ownership "$files/." "$own/root/"
chgrp --recursive "$(awk -F: '$1 == "silo" { print $3 }' "$own/root/etc/group")" "$own/root/etc/silo"
exec systemd-nspawn --directory="$own/root" --register=no --keep-unit --private-network --console=pipe --quiet \
    --bind-ro="$packages:/opt/packages" --boot systemd.unit=basic.target
"""
BOOT_SECONDS = 30


def why_not() -> str:
    """Return why there can be no such machine here, "" if nothing is known to be in its way."""
    if os.geteuid() != 0:
        return "needs root for a container"
    if not shutil.which("systemd-nspawn"):
        assert "SILO_TEST_SYSTEMD" not in os.environ, "the package systemd-container is missing"
        return "needs systemd-nspawn"
    if not _python().exists():
        return f"needs {_python()}, as users of the machine cannot enter the folder of this Python"
    return "" if _cgroups() else "needs a file system of cgroups"


class CannotBoot(Exception):
    """The container's systemd does not start here; the text is what was printed."""


class Machine(Temporary):
    """The machine, while it runs.

    Args:
        folder: an empty one.
        files: what is copied into its file system, from its top.

    Raises:
        CannotBoot: from `with`.
    """

    def __init__(self, folder: Path, files: Path) -> None:
        self._folder, self._files = folder, files

    def _make(self) -> None:
        self._cgroups = [top / f"silo-test-{os.getpid()}" for top in _cgroups()]
        packages = sysconfig.get_path("purelib")
        script = ("sh", "-c", BOOT, "sh", self._folder, self._files, packages, *self._cgroups)
        own = ("unshare", "--mount", "--propagation", "private", *map(str, script))
        self._process = Process(*own, env=dict(os.environ))
        try:
            eventually(self._has_booted, "the machine runs", BOOT_SECONDS)
        except AssertionError as error:
            raise CannotBoot(self._process.output) from error

    def _remove(self) -> None:
        # All of its processes end with the first one, which does not end with nspawn.
        if self._process.running and (first := self._first()):
            os.kill(first, signal.SIGKILL)
            self._process.wait()
        self._process.close()
        eventually(self._cgroups_are_gone, "the machine's processes are gone")

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in it; return its code and what it printed, errors among it."""
        spaces = ("--mount", "--uts", "--ipc", "--net", "--pid")
        return subprocess.run(
            ["nsenter", f"--target={self._first()}", *spaces, "--", *command],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )

    def must(self, *command: str) -> str:
        """Run a command in it that has to succeed; return what it printed."""
        done = self.run(*command)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def type(self, script: str) -> str:
        """Type a block of a page in it, as root; return what it printed."""
        return self.must("bash", "-euc", script)

    def _first(self) -> int | None:
        """Return the process that is the machine's first one, None while there is none."""
        pid = self._process.pid
        if Path(f"/proc/{pid}/comm").read_text() != "systemd-nspawn\n":
            return None
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else None

    def _has_booted(self) -> bool:
        assert self._process.running, self._process.output
        if self._first() is None:
            return False
        return self.run("systemctl", "is-active", "--quiet", "basic.target").returncode == 0

    def _cgroups_are_gone(self) -> bool:
        for cgroup in self._cgroups:
            for folder, _, _ in os.walk(cgroup, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()
        return not any(cgroup.exists() for cgroup in self._cgroups)


def install(files: Path) -> None:
    """Put the project into a machine's files as docs/operations.md says, but for the units and what `pip` installs."""
    there = files / "opt/silo"
    parts = ("silo", "board_app", "sessions_app", "events_app", "client", "deploy")
    for part in parts:
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "build", "*.egg-info")
        shutil.copytree(ROOT / part, there / part, ignore=ignored)
    shutil.copy(ROOT / "manage.py", there)
    make = [str(_python()), "-m", "venv", "--without-pip", str(there / ".venv")]
    subprocess.run(make, check=True, capture_output=True)
    [packages] = there.glob(".venv/lib/python3*/site-packages")
    (packages / "bound.pth").write_text("/opt/packages\n")


def _python() -> Path:
    """Return this Python where everybody may run it, else Debian's of the same version."""
    base = Path(sys.base_prefix)
    hidden = any(base.is_relative_to(home) for home in ("/root", "/home"))
    name = f"bin/python3.{sys.version_info.minor}"
    return Path("/usr") / name if hidden else base / name


def _cgroups() -> list[Path]:
    """Return the hierarchies of cgroups that systemd may use."""
    top = Path("/sys/fs/cgroup")
    tops = (top, top / "systemd", top / "unified")
    return [one for one in tops if (one / "cgroup.procs").exists()]
