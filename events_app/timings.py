"""The timings of streams, presence and relay, each with its reason. `events_app/checks.py` holds their ratios."""

from dataclasses import dataclass
from typing import Final

from django.conf import settings

# The contract promises clients a line at least every 10 s; two seconds are left for a busy loop.
KEEPALIVE_SECONDS: Final = 8.0

# How long written data may stay unacknowledged before the kernel gives a peer up (TCP_USER_TIMEOUT). The
# kernel notices at the first retransmission after it, measured at up to 11 s with KEEPALIVE_SECONDS between
# two writes: together below the default dead_peer_seconds of 45.
USER_TIMEOUT_SHARE: Final = 0.5

# The LISTEN connection is asked for a sign of life, and the log read, at least this often.
RELAY_PROBE_SECONDS: Final = 5.0

# A process may miss three beats before it is taken for dead.
BEATS_PER_SERVER_DEAD: Final = 4

# What cannot reach the database waits this long before the next try, doubling up to the second.
RETRY_FIRST_SECONDS: Final = 0.2
RETRY_LAST_SECONDS: Final = 5.0

# A client that opens a stream while the database does not answer is told so (503) after this long.
ARRIVAL_TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Timings:
    """The configured timings, in seconds."""

    heartbeat: float
    server_dead: float
    dead_peer: float

    @property
    def beat(self) -> float:
        """Between two beats of a server process."""
        return self.server_dead / BEATS_PER_SERVER_DEAD

    @property
    def user_timeout(self) -> float:
        """For TCP_USER_TIMEOUT."""
        return self.dead_peer * USER_TIMEOUT_SHARE


def configured() -> Timings:
    """Return what the settings say."""
    return Timings(
        heartbeat=settings.EVENTS_HEARTBEAT_SECONDS,
        server_dead=settings.EVENTS_SERVER_DEAD_SECONDS,
        dead_peer=settings.EVENTS_DEAD_PEER_SECONDS,
    )


def backoff(attempt: int) -> float:
    """Return the pause in seconds before try number `attempt` (from 1)."""
    return float(min(RETRY_LAST_SECONDS, RETRY_FIRST_SECONDS * 2 ** (attempt - 1)))
