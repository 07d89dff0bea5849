"""Where a user's files are, unless a variable of the environment names another folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def user_folder(variable: str, usual: Callable[..., Path]) -> Path:
    """Return a folder, which need not be there.

    Args:
        variable: that may name it.
        usual: of `platformdirs`: returns the user's own folder for such files.

    Raises:
        OSError: the user has no home folder to have it in.
    """
    if named := os.environ.get(variable):
        return Path(named).absolute()
    try:
        folder = usual("silo", appauthor=False)
    except RuntimeError:
        folder = Path("~")
    if not folder.is_absolute():
        # Earlier versions of platformdirs give a folder named ~ back.
        raise OSError("HOME is not set, and this user has no home folder")
    return folder
