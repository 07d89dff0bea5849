"""The fingerprint and the default name of a workstation: of machine, user and program, the same after a restart."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
from pathlib import Path

from silo_client.identity import machine_identity
from silo_client.identity.machine_identity import Identity


def default_name(program: str = "", number: int = 1, name: str = "") -> str:
    """Return the name that people see: the machine, and the program on it.

    Args:
        program: the program.
        number: distinguishes machines with the same host name; see `Identity`.
        name: the name that the program has given, instead of all that.
    """
    shown = name or platform.node() or "workstation"
    shown += f" #{number}" if number > 1 else ""
    return f"{shown} ({program})" if program and not name else shown


def default_fingerprint(program: str = "", of: Identity | None = None) -> str:
    """Return the fingerprint of this machine, user and program. It is a hash and does not reveal them.

    Args:
        program: the program.
        of: the machine's identity; the present one by default.
    """
    one = of or machine_identity.current()
    text = "\n".join(["silo", one.host, _user(), program, one.installation])
    return hashlib.sha256(text.encode()).hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # An account without a name, in a container for example.
        pass
    try:
        return Path.home().as_posix()
    except RuntimeError:
        # Nor has it a home.
        return str(getattr(os, "getuid", lambda: "")())
