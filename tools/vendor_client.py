"""Put the client and all that it imports into one folder, for programs into which pip cannot install.

    python -m tools.vendor_client FOLDER

What is in the folder is pure Python and runs unchanged on Python 3.9 to 3.13: a plug-in ships it, and appends the
folder to `sys.path`. The versions are those of `client/vendored.txt`; pip gets them as its configuration and its
environment (PIP_NO_INDEX, PIP_FIND_LINKS, ...) say. The command line `silo` is left out.

A folder that this has made before is replaced as a whole, any other one that has something in it is left alone.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from silo import client_package

CLIENT = Path(__file__).parents[1] / "client"
PINS = CLIENT / "vendored.txt"
OLDEST = "3.9"
# By this file the folder is known as one that may be replaced.
NOTE = "VENDORED.txt"
ABOUT = (
    "Made by `python -m tools.vendor_client` of Silo Sessions: change nothing here, make it again.\n"
    "The licences are in the folders *.dist-info.\n\n"
)
# Wheels without compiled files, that take this Python.
PURE = (
    *("--only-binary", ":all:", "--python-version", OLDEST),
    *("--platform", "any", "--implementation", "py", "--abi", "none"),
)
# Of a package's *.dist-info: what names it, and its licence. The rest is of this installation: paths among others.
KEPT = re.compile(r"METADATA|(licenses/)?(LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*", re.IGNORECASE)


def main() -> None:
    parser = argparse.ArgumentParser(description="Vendor the client into a folder.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder = parser.parse_args().folder.absolute()
    vendor(folder)
    files = [file for file in folder.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files) / 1e6
    print(f"{folder} has the client: {len(files)} files, {size:.1f} MB")


def vendor(folder: Path) -> None:
    """Make the folder, or make it anew.

    Args:
        folder: missing, empty, or made by this function before.

    Raises:
        SystemExit: there is something else in it, or pip failed; the folder is as it was.
    """
    if folder.exists() and not _is_ours(folder):
        sys.exit(f"{folder} has something else in it: name a folder that is new or empty.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside it, from where it can be renamed.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place:
        made = Path(place, "made")
        _install(made)
        _clean(made)
        (made / NOTE).write_text(ABOUT + "".join(f"{name}\n" for name in _names(made)))
        if folder.exists():
            folder.rename(Path(place, "before"))
        made.rename(folder)


def _is_ours(folder: Path) -> bool:
    return folder.is_dir() and ((folder / NOTE).is_file() or not any(folder.iterdir()))


def _install(made: Path) -> None:
    wheel = client_package.build(CLIENT).wheel
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, wheel.name)
        file.write_bytes(wheel.content)
        done = subprocess.run(  # noqa: S603
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--no-compile", "--target", str(made), *PURE),
                *("-r", str(PINS), str(file)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(f"pip could not get what {PINS.name} names:\n{done.stderr.strip()}")


def _clean(made: Path) -> None:
    """Remove what only an installation needs: programs, records, and the command line, which needs further packages."""
    for name in ("bin", "silo_client/cli"):
        shutil.rmtree(made / name, ignore_errors=True)
    for info in made.glob("*.dist-info"):
        for file in [file for file in info.rglob("*") if file.is_file()]:
            if not KEPT.fullmatch(file.relative_to(info).as_posix()):
                file.unlink()
        if len([file for file in info.rglob("*") if file.is_file()]) < 2:
            sys.exit(f"{info.name} has no licence.")


def _names(made: Path) -> Iterator[str]:
    for info in sorted(made.glob("*.dist-info"), key=lambda info: info.name.lower()):
        yield " ".join(info.name.removesuffix(".dist-info").rsplit("-", 1))


if __name__ == "__main__":
    main()
