"""A random name of this user's installation, kept in the state folder."""

from __future__ import annotations

import os
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

from silo_client.identity.folders import state_errors, state_folder

INSTALLATION = "installation"


def installation(known: str = "") -> str:
    """Return the name, which no other machine or user has, however alike they are.

    Args:
        known: the name to write where the file was deleted; a new one without it.

    Raises:
        StateError: the state folder cannot be used.
    """
    with state_errors():
        folder = state_folder()
        file = folder / INSTALLATION
        if not _is_whole(file):
            # Written whole before it gets its name: another process may read it now.
            with tempfile.TemporaryDirectory(dir=folder) as aside:
                new = Path(aside) / "installation"
                new.write_text(known or uuid.uuid4().hex)
                if file.exists():
                    # It is empty: the disk was full when it was made.
                    new.replace(file)
                else:
                    _link(new, file)
        return file.read_text()


def _is_whole(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def _link(new: Path, file: Path) -> None:
    """Give a file its name, unless another one has it."""
    try:
        with suppress(FileExistsError):
            os.link(new, file)
    except (OSError, NotImplementedError):
        # A file system without links: where two processes are first, the last one counts.
        new.replace(file)
