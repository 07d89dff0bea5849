"""Finds the Python that runs the helper: the very one that runs this program, or one that was named.

In a program that embeds Python, `sys.executable` may be that program, empty, or a Python that was found on the PATH. So
each candidate is asked, before it gets any data, whether it is this Python. A named one is used without a question.

A program of a snap has the library of Python in its own folder, and the interpreter in the system's. So the system's is
asked last, and need not have this Python's folder: only root can put something there.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from silo_client.errors import HelperError

PYTHON_VARIABLE = "SILO_PYTHON"
# The variable that `credentials.py` reads.
TOKEN_VARIABLE = "SILO_TOKEN"  # noqa: S105  (its name)
# It answers in hundredths of a second; on a machine that is out of memory it takes longer.
ANSWER_SECONDS = 10.0
# A program that embeds Python would open its windows if it was started.
NAMES = re.compile(r"(python|pypy)(_d|w)?[0-9.]*[a-z]?(\.exe)?", re.IGNORECASE)
# Of the system's own programs, on POSIX.
SYSTEM_FOLDER = Path("/usr/bin")
# A Python that differs in one of these cannot load this program's packages.
ASKED = "[sys.implementation.name, sys.hexversion, sys.maxsize, sys.base_prefix]"
# The packages that the helper imports, and those that they import where they are installed.
PACKAGES = (
    *(
        "silo_client",
        "httpx",
        "httpx_sse",
        "httpcore",
        "anyio",
        "h11",
        "certifi",
        "idna",
        "platformdirs",
    ),
    *("sniffio", "typing_extensions", "exceptiongroup", "socksio"),
)
# POSIX: not of the terminal's group, so that its Ctrl-C and its end are the parent's; Windows: the same, and no window.
_WINDOWS_FLAGS = 0x08000000 | 0x00000200


@dataclass(frozen=True)
class Interpreter:
    """A Python that can run the helper.

    Args:
        path: its path.
        named: whether it was named: it may be another Python, with packages of its own.
    """

    path: str
    named: bool

    def command(self, code: str) -> list[str]:
        """Return the command that runs some code, with the folders of the client's packages as its arguments.

        Variables of the environment that are meant for the program's own Python have no effect. Packages beside a
        Python that was not named are ignored: this program may have others.
        """
        flags = ["-E"] if self.named else ["-I", "-S"]
        if sys.flags.utf8_mode:
            flags += ["-X", "utf8"]
        if sys.dont_write_bytecode:
            flags += ["-B"]
        return [self.path, *flags, "-c", code, *places()]


def find_python(named: str | None = None) -> Interpreter:
    """Return a Python interpreter that can run the helper.

    Args:
        named: the path that the program has given; else the environment may name one.

    Raises:
        HelperError: the named path is not absolute, or none was named and this Python was not found.
    """
    for source, path in (("python=", named), (PYTHON_VARIABLE, os.environ.get(PYTHON_VARIABLE))):
        if not path:
            continue
        if not Path(path).is_absolute():
            raise HelperError(
                f"{source} names {path!r}: give the absolute path of a Python interpreter."
            )
        return Interpreter(str(path), named=True)
    others = []
    for candidate in candidates():
        if not (NAMES.fullmatch(candidate.name) and candidate.is_file()):
            continue
        if _is_this(candidate):
            return Interpreter(str(candidate), named=False)
        others.append(str(candidate))
    for name in _names() if os.name == "posix" else ():
        if (SYSTEM_FOLDER / name).is_file() and _is_alike(SYSTEM_FOLDER / name):
            return Interpreter(str(SYSTEM_FOLDER / name), named=False)
    seen = f" ({', '.join(others)}: not the Python of this program)" if others else ""
    raise HelperError(
        f"The Python interpreter of this program was not found{seen}: name one with python=, or in the"
        f" environment variable {PYTHON_VARIABLE}."
    )


def candidates() -> Iterator[Path]:
    """Yield the paths where this Python may be, likeliest first: absolute ones only, each once."""
    seen: set[Path] = set()
    for place in _places_of_python():
        if place.is_absolute() and place not in seen:
            seen.add(place)
            yield place


def places() -> list[str]:
    """Return the folders and archives from which this program imports the client and its packages, each once."""
    found: dict[str, None] = {}
    for name in PACKAGES:
        with suppress(ImportError, ValueError):
            spec = find_spec(name)
            if spec is not None and spec.origin:
                # A module is a file in the folder, a package a folder with a file in it.
                up = 2 if spec.submodule_search_locations is not None else 1
                found[str(Path(spec.origin).absolute().parents[up - 1])] = None
    return list(found)


def surroundings() -> dict[str, Any]:
    """Return the options of the helper's process: not in a folder of the program's, and without a token.

    The helper gets the token by its standard input.
    """
    environment = {name: text for name, text in os.environ.items() if name != TOKEN_VARIABLE}
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        if named := environment.get(name):
            # They are relative to the program's folder.
            environment[name] = os.path.abspath(named)  # noqa: PTH100  (it keeps an empty text)
    # A folder that a process is in can be neither unmounted nor, on Windows, removed.
    options: dict[str, Any] = {"cwd": Path(sys.prefix).anchor or None, "env": environment}
    if sys.platform == "win32":
        return options | {"creationflags": _WINDOWS_FLAGS}
    return options | {"start_new_session": True}


def _version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def _names() -> Sequence[str]:
    return f"python{_version()}", "python3", "python"


def _places_of_python() -> Iterator[Path]:
    names = _names()
    for path in (sys.executable, getattr(sys, "_base_executable", "")):
        if path:
            yield Path(path)
    prefixes = [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]
    for prefix in (Path(one) for one in prefixes if one):
        # POSIX, conda and FreeCAD; macOS's frameworks too, whose prefix is the version's folder.
        yield from (prefix / "bin" / name for name in names)
        yield prefix / "Resources/Python.app/Contents/MacOS/Python"
        # Windows: the usual one, a conda environment's or a CAD program's, and a virtual environment's.
        yield from (prefix / place / "python.exe" for place in ("", "bin", "Scripts"))
    # Beside the program, where its prefix is its library's.
    for folder in _folders_of_program():
        yield from (folder / name for name in (*names, "python.exe"))
        yield from (folder / "bin" / name for name in (*names, "python.exe"))
        yield from (folder / "python" / "bin" / name for name in names)
        yield folder / "python/python.exe"
        # In a bundle of macOS the program is in Contents/MacOS.
        contents = folder.parent
        yield from (contents / "bin" / name for name in names)
        yield from (contents / "Resources/bin" / name for name in names)
        framework = contents / "Frameworks/Python.framework/Versions" / _version()
        yield from (framework / "bin" / name for name in names)


def _folders_of_program() -> Iterator[Path]:
    if sys.executable:
        yield Path(sys.executable).parent
    with suppress(OSError):
        # The program itself, whatever its Python calls it.
        yield Path("/proc/self/exe").resolve(strict=True).parent


def _is_this(candidate: Path) -> bool:
    """Whether an interpreter answers that it is the one that runs this program."""
    its = _asked(candidate)
    return its[:3] == _mine()[:3] and _is_one_folder(str(its[3]), sys.base_prefix)


def _is_alike(candidate: Path) -> bool:
    """Whether an interpreter answers that it can load what this program's can: it may be of another correction."""
    its, mine = _asked(candidate), _mine()
    return bool(its) and (its[0], its[1] >> 16, its[2]) == (mine[0], mine[1] >> 16, mine[2])


def _mine() -> list[Any]:
    return [sys.implementation.name, sys.hexversion, sys.maxsize, sys.base_prefix]


def _asked(candidate: Path) -> list[Any]:
    """Return what an interpreter says it is; nothing where it does not answer so."""
    code = f"import json, sys; print(json.dumps({ASKED}))"
    try:
        answer = subprocess.run(
            [str(candidate), "-I", "-S", "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=ANSWER_SECONDS,
            check=True,
            **surroundings(),
        )
        its = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    kinds = [type(one) for one in its] if isinstance(its, list) else []
    return its if kinds == [str, int, int, str] else []


def _is_one_folder(one: str, other: str) -> bool:
    if os.path.normcase(one) == os.path.normcase(other):
        return True
    with suppress(OSError):
        return Path(one).samefile(other)
    return False
