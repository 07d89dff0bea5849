"""Make the zip of the FreeCAD add-on, with the client in it: `make freecad-addon`.

    python -m tools.freecad_addon FOLDER

FOLDER gets `SiloSessions`, the folder as it lies in FreeCAD's `Mod`, and `SiloSessions.zip`, which holds it.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tools.vendor_client import vendor

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "freecad"
NAME = "SiloSessions"
# Below the add-on's folder.
VENDOR = "freecad/silo_sessions/vendor"


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the zip of the FreeCAD add-on.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    file = make(parser.parse_args().folder.absolute())
    print(f"{file} has the add-on: {file.stat().st_size / 1e6:.1f} MB")


def make(folder: Path) -> Path:
    """Make the add-on in a folder, in place of an earlier one; return the zip.

    Args:
        folder: gets the add-on's folder and its zip.

    Raises:
        SystemExit: a folder with the add-on's name is no add-on of ours, or pip failed.
    """
    made = folder / NAME
    if made.exists() and not (made / VENDOR).is_dir():
        sys.exit(f"{made} is no add-on that this has made: name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{NAME}-") as place:
        new = Path(place, NAME)
        ignored = shutil.ignore_patterns("__pycache__", "vendor")
        shutil.copytree(SOURCE, new, ignore=ignored)
        shutil.copy(ROOT / "LICENSE", new)
        vendor(new / VENDOR)
        zipped = Path(shutil.make_archive(str(Path(place, "zip")), "zip", place, NAME))
        if made.exists():
            made.rename(Path(place, "before"))
        new.rename(made)
        return zipped.replace(folder / f"{NAME}.zip")


if __name__ == "__main__":
    main()
