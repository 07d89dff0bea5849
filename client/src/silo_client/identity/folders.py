"""The folders of the user's files, unless the environment names others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_state_path

from silo_client.errors import StateError

STATE_VARIABLE = "SILO_STATE"


def user_folder(variable: str, usual: Callable[..., Path]) -> Path:
    """Return a folder, which need not be there.

    Args:
        variable: the variable of the environment that may name it.
        usual: a function of `platformdirs` that returns the user's folder for such files.

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


def state_folder() -> Path:
    """Return the state folder, made so that only its user can read it: files that outlive a process.

    Raises:
        OSError: it cannot be made, or the user has no home folder to make it in.
    """
    folder = user_folder(STATE_VARIABLE, user_state_path)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@contextmanager
def state_errors() -> Iterator[None]:
    """Raise a `StateError` in place of an `OSError` of the state folder."""
    try:
        yield
    except OSError as error:
        raise StateError(
            f"The state folder cannot be used ({error}): name another one in {STATE_VARIABLE}."
        ) from error
