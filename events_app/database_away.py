"""What tells that the database cannot be reached for now, and how long to wait before the next try."""

from typing import Final

from django.db import InterfaceError, InternalError, OperationalError

# InternalError too: so a transaction ends that the database gave up because this process was stopped or cut off in
# the middle of it, and so does a write to a server that a failover has made a standby.
DATABASE_AWAY: Final = (OperationalError, InterfaceError, InternalError)

# The first pause, doubled with every attempt up to the last.
RETRY_FIRST_SECONDS: Final = 0.2
RETRY_LAST_SECONDS: Final = 5.0
_DOUBLINGS: Final = 10


def backoff(attempt: int) -> float:
    """Return the pause in seconds after failed attempt number `attempt` (from 1)."""
    doubled = RETRY_FIRST_SECONDS * 2 ** min(attempt - 1, _DOUBLINGS)
    return float(min(RETRY_LAST_SECONDS, doubled))
