"""Who this workstation is: the same after a restart, another for each machine, user and program."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
from pathlib import Path

from silo_client.windows import installation


def default_name(program: str = "") -> str:
    """Return what people see: the machine, and the program on it."""
    machine = platform.node() or "workstation"
    return f"{machine} ({program})" if program else machine


def default_fingerprint(program: str = "") -> str:
    """Return the fingerprint of this machine, user and program. It tells nobody what they are.

    Machines that were copied, and containers, have the same numbers: what tells them apart is in the state folder.
    """
    told = "\n".join(["silo", platform.node(), _user(), program, installation()])
    return hashlib.sha256(told.encode()).hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # An account without a name, in a container say.
        pass
    try:
        return Path.home().as_posix()
    except RuntimeError:
        # Nor has it a home.
        return str(getattr(os, "getuid", lambda: "")())
