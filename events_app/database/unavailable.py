"""Which errors mean that the database is unavailable, and how long to wait before the next try."""

from typing import Final

import psycopg
from django.db import Error, InterfaceError, InternalError, OperationalError

# InternalError too: so a transaction ends that the database gave up because this process was stopped or cut off in
# the middle of it, and so does a write to a server that a failover has made a standby.
DATABASE_UNAVAILABLE: Final = (OperationalError, InterfaceError, InternalError)

# Classes of SQLSTATE by which a database says that it cannot serve any client now: its connections, its resources (the
# disk), its operator, a standby.
_SERVES_NOBODY: Final = ("08", "53", "57P", "58", "25006", "XX")

# The first pause, doubled with every attempt up to the last.
RETRY_FIRST_SECONDS: Final = 0.2
RETRY_LAST_SECONDS: Final = 5.0
_DOUBLINGS: Final = 10


def is_statement_error(error: Error) -> bool:
    """Return whether the database was reachable and refused this statement only, as far as can be told."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.Error):
        return True
    return cause.sqlstate is not None and not cause.sqlstate.startswith(_SERVES_NOBODY)


def is_unavailable(error: Exception) -> bool:
    """Return whether an error says that the database cannot be used now."""
    return isinstance(error, DATABASE_UNAVAILABLE) and not is_statement_error(error)


def message_of(error: Exception) -> str:
    """Return the part of an error that any caller may see: the database's own message, but not its address."""
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    message = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return f"the database says: {message}" if message else "the database cannot be reached"


def is_lock_timeout(error: Error) -> bool:
    """Return whether a statement has waited as long for a lock as it may (`lock_timeout`)."""
    return isinstance(error.__cause__, psycopg.errors.LockNotAvailable)


def backoff(attempt: int) -> float:
    """Return the pause in seconds after failed attempt number `attempt` (from 1)."""
    doubled = RETRY_FIRST_SECONDS * 2 ** min(attempt - 1, _DOUBLINGS)
    return float(min(RETRY_LAST_SECONDS, doubled))
