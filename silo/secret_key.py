"""The SECRET_KEY of an installation that runs on the embedded database."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def load_or_generate(var: Path, *, allowed: bool, keep: bool = True) -> str:
    """Return the key kept in `<var>/secret-key` (0600), made at the first call.

    Args:
        var: the data folder.
        allowed: false where the database is an external one: several servers then share it and must share
            the key, so it has to come from the configuration.
        keep: false where there is no database, and none will be made: then no folder and no file is made either, and
            a key that is not there yet is for this process only.

    Raises:
        ImproperlyConfigured: if no key may be generated, or the folder cannot be written.
    """
    if not allowed:
        raise ImproperlyConfigured(
            "DATABASE_URL is set, so server.secret_key (or SILO_SECRET_KEY) is required: "
            "at least 32 random characters, the same on every server"
        )
    path = var / "secret-key"
    try:
        if not keep and not path.exists():
            return _new()
        var.mkdir(parents=True, exist_ok=True)
        key = _read(path) or _generate(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"the secret key in {path} cannot be kept: {error}") from error
    if not key:
        raise ImproperlyConfigured(f"{path} is empty; delete it, and a new secret key is made")
    return key


def _new() -> str:
    return secrets.token_urlsafe(48)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _generate(path: Path) -> str:
    # Written to a draft and linked, so that two processes which start at once use the same whole key. mkstemp makes it
    # 0600.
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(_new() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    return _read(path)
