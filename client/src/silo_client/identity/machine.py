"""Names of this machine: one that lasts, and one of its present run."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
# A shorter id is a placeholder. While a system is installed, the file says `uninitialized`.
MACHINE_ID_LENGTH = 16
COMMAND_SECONDS = 5.0
KEPT_NAME = "running.json"
UNINITIALIZED = "uninitialized"


def lasting_name() -> str:
    """Return a name of this machine that lasts, whatever its host name. A copy of its disk has the same.

    It is a hash of the machine's id, or of the host name where the system has no id.
    """
    return _hash("machine", _machine_id() or platform.node())[:16]


def running_name(folder: Path) -> str:
    """Return a name of this running machine: the same for all processes that use the folder, until the next start.

    A copy of the machine that runs at the same time has another name, because it was started by itself. So has a second
    container of one image: it shares the machine's start, but its folder is another one.

    Args:
        folder: the state folder, with the file `installation` in it.
    """
    if sys.platform == "win32":
        # Python's releases number a Windows file differently.
        return _hash("running", _boot())
    places = [path.stat() for path in (folder, folder / "installation")]
    now = _hash("running", _boot(), *(f"{one.st_dev}:{one.st_ino}" for one in places))
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads((folder / KEPT_NAME).read_text("utf-8"))
        if kept["now"] == now:
            return str(kept["before"])
    return now


def keep_running_name(folder: Path, before: str) -> None:
    """Keep the name of this running machine, though its folder was deleted and made again.

    The file counts for this folder and this start: a copy of the machine has the file, and another name.

    Raises:
        OSError: the file cannot be written.
    """
    now = running_name(folder)
    if now != before:
        text = json.dumps({"now": now, "before": before})
        (folder / KEPT_NAME).write_text(text, "utf-8")


def _hash(*words: str) -> str:
    return hashlib.sha256("\n".join(["silo", *words]).encode()).hexdigest()


def _machine_id() -> str:
    if sys.platform == "win32":
        return _windows_machine_id()
    if sys.platform == "darwin":
        lines = _output_of("ioreg", "-rd1", "-c", "IOPlatformExpertDevice").splitlines()
        numbers = [line.split('"')[3] for line in lines if '"IOPlatformUUID"' in line]
        return numbers[0] if numbers else ""
    for file in MACHINE_ID_FILES:
        with suppress(OSError, ValueError):
            text = file.read_text().strip()
            if len(text) >= MACHINE_ID_LENGTH and text != UNINITIALIZED:
                return text
    return ""


def _boot() -> str:
    """Return the id of the machine's present start; "" where the system has none."""
    if sys.platform == "win32":
        return _windows_logon()
    if sys.platform == "darwin":
        return _output_of("sysctl", "-n", "kern.bootsessionuuid").strip()
    with suppress(OSError, ValueError):
        return BOOT_ID_FILE.read_text().strip()
    return ""


@cache
def _output_of(*command: str) -> str:
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        return subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=True
        ).stdout
    return ""


if sys.platform == "win32":
    import winreg

    def _windows_machine_id() -> str:
        path = r"SOFTWARE\Microsoft\Cryptography"
        access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
        with suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, path, 0, access) as key:
            return str(winreg.QueryValueEx(key, "MachineGuid")[0])
        return ""

    def _windows_logon() -> str:
        """Return a random name that lasts from log-on to log-off: copies of a Windows count their starts alike."""
        access = winreg.KEY_READ | winreg.KEY_WRITE
        with (
            suppress(OSError),
            winreg.OpenKey(winreg.HKEY_CURRENT_USER, "Volatile Environment", 0, access) as key,
        ):
            with suppress(FileNotFoundError):
                return str(winreg.QueryValueEx(key, "SILO_MACHINE")[0])
            winreg.SetValueEx(key, "SILO_MACHINE", 0, winreg.REG_SZ, uuid.uuid4().hex)
            # Where two processes begin at once, the last one counts.
            return str(winreg.QueryValueEx(key, "SILO_MACHINE")[0])
        return ""
