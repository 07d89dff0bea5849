"""Looks, before anything is served or swept, whether the database can be used: reached, and migrated.

It has a connection of its own. One of the pool would only say that it was waited for in vain, not why.
"""

import logging
import os
import pkgutil
import re
from functools import cache
from importlib import import_module
from typing import Final

import psycopg
from django.apps import apps
from django.db import Error as DatabaseError
from django.db.migrations.loader import MigrationLoader

from events_app.database import sql
from events_app.database.unavailable import message_of

logger = logging.getLogger(__name__)

# A service manager need not try again: somebody has to type something first (`RestartPreventExitStatus` of systemd).
EXIT_CODE: Final = os.EX_CONFIG

Migration = tuple[str, str]

# By what libpq, psycopg and the database say of a DATABASE_URL that leads nowhere, and what to say of it where anybody
# may read it. The library has no codes for these. In another language they count as an absence: also waited for.
_WRONG: Final = (
    (
        r"failed to resolve host .*(not known|No address)|could not translate host name",
        "the host that DATABASE_URL names is unknown",
    ),
    (
        r"authentication failed|no password supplied",
        "the database refuses the user or the password of DATABASE_URL",
    ),
    (r'role ".*" does not exist', "the user that DATABASE_URL names does not exist"),
    (r'database ".*" does not exist', "the database that DATABASE_URL names does not exist"),
    (r"no pg_hba\.conf entry", "the database's pg_hba.conf does not let this machine in"),
    (r"permission denied", "the user that DATABASE_URL names lacks a permission in the database"),
)


class NotMigrated(Exception):
    """The database lacks something that `migrate` creates. The text says what to type."""


class Unreachable(Exception):
    """The database cannot be used now; the text may be shown to anybody.

    Args:
        error: what was raised.
    """

    def __init__(self, error: Exception) -> None:
        self.error = error
        wrong = (reason for pattern, reason in _WRONG if re.search(pattern, str(error)))
        reason = next(wrong, "")
        # Whether somebody has to change something, as far as can be told.
        self.is_wrong = bool(reason)
        super().__init__(reason or message_of(error))


class Wait:
    """The wait for a database, of which the log says each reason once as an ERROR.

    Args:
        who: what waits, as the log says it.
    """

    def __init__(self, who: str) -> None:
        self._who = who
        self._reason = ""

    def log(self, unreachable: Unreachable, retry_in_seconds: float) -> None:
        """Log one failed try."""
        reason = str(unreachable)
        again = reason == self._reason
        self._reason = reason
        log = logger.error if unreachable.is_wrong and not again else logger.warning
        log(
            "%s waits for the database",
            self._who,
            extra={
                "reason": reason,
                "error": unreachable.error,
                "retry_in_seconds": retry_in_seconds,
            },
        )


def look() -> None:
    """Connect once, and look whether the database is migrated. One that is newer than this version is warned of.

    Raises:
        NotMigrated: it is not, or not as far as this version needs.
        Unreachable: it cannot be connected to.
    """
    try:
        with psycopg.connect(**sql.parameters_for("start"), autocommit=True) as connection:
            applied = _applied(connection)
            if lacking := needed() - applied:
                raise NotMigrated(_not_migrated_text(lacking, bool(applied)))
            rows = connection.execute(sql.SINGLE_ROWS).fetchone()
    except (psycopg.Error, DatabaseError, OSError) as error:
        raise Unreachable(error) from error
    if rows != (True, True):
        raise NotMigrated(
            "The database lacks rows that `manage.py migrate` creates: run `manage.py migrate`."
        )
    if unknown := newer(applied):
        logger.warning(
            "the database is newer than this version",
            extra={"migrations": len(unknown), "newest": ".".join(unknown[-1])},
        )


def newer(applied: frozenset[Migration]) -> list[Migration]:
    """Return those of the applied migrations, in order, that are of a newer version than this one."""
    return sorted(one for one in applied - needed() if one[0] in _apps())


def lacking() -> str:
    """Return in a sentence what Django's connection finds unmigrated, "" if nothing.

    Raises:
        django.db.Error: the database cannot be asked.
    """
    missing = needed() - sql.applied_migrations()
    return _not_migrated_text(missing, True) if missing else ""


@cache
def needed() -> frozenset[Migration]:
    """Return the migrations of this version: by their files' names, as to import each takes long."""
    return frozenset((label, name) for label in _apps() for name in _files(label))


@cache
def _apps() -> frozenset[str]:
    return frozenset(config.label for config in apps.get_app_configs())


def _files(label: str) -> list[str]:
    package, _ = MigrationLoader.migrations_module(label)
    try:
        path = import_module(package).__path__ if package else []
    except ModuleNotFoundError:
        return []
    return [module.name for module in pkgutil.iter_modules(path) if module.name[0] not in "_~"]


def _applied(connection: "psycopg.Connection[tuple[str, str]]") -> frozenset[Migration]:
    try:
        return frozenset(connection.execute(sql.APPLIED_MIGRATIONS).fetchall())
    except psycopg.errors.UndefinedTable:
        return frozenset()


def _not_migrated_text(lacking: frozenset[Migration], begun: bool) -> str:
    if not begun:
        return "The database has no tables yet: run `manage.py migrate`."
    first = ".".join(min(lacking))
    return (
        f"The database is older than this version (it lacks {len(lacking)} migrations,"
        f" such as {first}): run `manage.py migrate`."
    )
