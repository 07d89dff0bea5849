"""Who this workstation is: the same after a restart, another for each machine, user and program."""

from __future__ import annotations

import getpass
import hashlib
import platform
import sys
import uuid
from pathlib import Path


def default_name(program: str = "") -> str:
    """Return what people see: the machine, and the program on it."""
    machine = platform.node() or "workstation"
    return f"{machine} ({program})" if program else machine


def default_fingerprint(program: str = "") -> str:
    """Return the fingerprint of this machine, user and program. It tells nobody what they are."""
    told = "\n".join(["silo", _machine(), _user(), program])
    return hashlib.sha256(told.encode()).hexdigest()


def _machine() -> str:
    for file in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            if text := Path(file).read_text().strip():
                return text
        except OSError:
            continue
    if sys.platform == "win32" and (text := _windows_machine()):
        return text
    # The address of a network card; where there is none, a number that is another one each time.
    node = uuid.getnode()
    if node >> 40 & 1:
        return platform.node()
    return f"{node:012x}"


def _windows_machine() -> str:
    if sys.platform != "win32":
        return ""
    import winreg

    try:
        with winreg.OpenKey(
            winreg.HKEY_LOCAL_MACHINE,
            r"SOFTWARE\Microsoft\Cryptography",
            0,
            winreg.KEY_READ | winreg.KEY_WOW64_64KEY,
        ) as key:
            return str(winreg.QueryValueEx(key, "MachineGuid")[0])
    except OSError:
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # An account without a name, in a container say.
        return Path.home().as_posix()
