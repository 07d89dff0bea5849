"""Which machine this is: the one it was yesterday, and the one that runs now."""

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
# The least that is no placeholder: while a system is installed, the file says `uninitialized`.
MACHINE_ID_LENGTH = 16
COMMAND_SECONDS = 5.0
KEPT_NAME = "running.json"
UNINITIALIZED = "uninitialized"


def lasting_name() -> str:
    """Return a name of this machine that stays, whatever its host name. A copy of its disk has the same.

    Where the system knows none, it is made of the host name. It tells nobody what the machine's number is.
    """
    return _hash("machine", _machine_id() or platform.node())[:16]


def running_name(folder: Path) -> str:
    """Return a name of this running machine: the same for all processes that use the folder until it starts anew.

    A copy of the machine that runs at the same time has another one, as it was started for itself; so has a second
    container of one image, although it shares the machine's start, as its folder is another one.

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
    """Have this running machine be called as before, though its folder was deleted and made again.

    It is for this folder and this start: a copy of it has the file, and another name.

    Raises:
        OSError: it cannot be written.
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
        lines = _said_by("ioreg", "-rd1", "-c", "IOPlatformExpertDevice").splitlines()
        numbers = [line.split('"')[3] for line in lines if '"IOPlatformUUID"' in line]
        return numbers[0] if numbers else ""
    for file in MACHINE_ID_FILES:
        with suppress(OSError, ValueError):
            text = file.read_text().strip()
            if len(text) >= MACHINE_ID_LENGTH and text != UNINITIALIZED:
                return text
    return ""


def _boot() -> str:
    """Return what differs between two starts of a machine; "" where the system does not know."""
    if sys.platform == "win32":
        return _windows_logon()
    if sys.platform == "darwin":
        return _said_by("sysctl", "-n", "kern.bootsessionuuid").strip()
    with suppress(OSError, ValueError):
        return BOOT_ID_FILE.read_text().strip()
    return ""


@cache
def _said_by(*command: str) -> str:
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
        """Windows numbers its starts, and copies count alike. This key is in memory, from logging on to logging off."""
        access = winreg.KEY_READ | winreg.KEY_WRITE
        with (
            suppress(OSError),
            winreg.OpenKey(winreg.HKEY_CURRENT_USER, "Volatile Environment", 0, access) as key,
        ):
            with suppress(FileNotFoundError):
                return str(winreg.QueryValueEx(key, "SILO_MACHINE")[0])
            winreg.SetValueEx(key, "SILO_MACHINE", 0, winreg.REG_SZ, uuid.uuid4().hex)
            # Of two that begin at once the last one counts.
            return str(winreg.QueryValueEx(key, "SILO_MACHINE")[0])
        return ""
