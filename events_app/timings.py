"""The timings of streams, presence and relay, each with its reason. `events_app/checks.py` holds their ratios."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Final

from django.conf import settings

from events_app.json_text import json_text

# The contract promises clients a line at least every 10 s; two seconds are left for a busy loop.
KEEPALIVE_MAX_SECONDS: Final = 8.0

# Of dead_peer_seconds: the most between two writes, and how long written data may stay unacknowledged before the
# kernel gives a peer up (TCP_USER_TIMEOUT). Together 70 %; the rest is for the kernel, which notices at the first
# retransmission after the time-out.
KEEPALIVE_SHARE: Final = 0.2
# The same as a share of the grace: a client has to hear within it that its connection lives, to be sure of its
# sessions.
KEEPALIVE_GRACE_SHARE: Final = 1 / 3
USER_TIMEOUT_SHARE: Final = 0.5

# A LISTEN connection whose database does not answer is noticed within this time. After so long without a notification
# the log is read, which also shows that the connection works; the rest is for the answer, a page of the log.
RELAY_PROBE_SECONDS: Final = 5.0
RELAY_IDLE_SECONDS: Final = 2.0
RELAY_ANSWER_SECONDS: Final = RELAY_PROBE_SECONDS - RELAY_IDLE_SECONDS

# How often a server notifies itself, to see that notifications arrive: while all is well, and while it does not know,
# or knows that they do not. Each costs a database connection for some milliseconds. While a notification is awaited,
# or all are lost, the log is read so often.
NOTIFY_CHECK_SECONDS: Final = 60.0
NOTIFY_RETRY_SECONDS: Final = 3.0
RELAY_POLL_SECONDS: Final = 0.5

# A process may miss three beats before it is taken for dead.
BEATS_PER_SERVER_DEAD: Final = 4

# A silent client has to be gone in the time that is promised, so it is looked for more often than once a beat, and half
# a beat of its time is left for finding it.
LOOKS_PER_BEAT: Final = 4
LOOKING_BEATS: Final = 0.5

# The streams of a process have their heartbeats one after the other, so that their clients do not answer all at once;
# those of one such time together, so that it has few transactions: one a second at most.
HEARTBEAT_SLOT_SECONDS: Final = 1.0

# A process that could not write so many heartbeats is useless to its clients, which find a better one elsewhere.
HEARTBEATS_UNTIL_USELESS: Final = 3

# A health check that waits for a second gets its answer, even if the database does not answer.
PROBE_SECONDS: Final = 0.8
# However many proxies look, the database commits no more than once a second for them.
PROBE_KEPT_SECONDS: Final = 1.0

# A stream waits for its turn, however long, and for a server that cannot serve for moments. It is refused (503) only
# where no stream has got past its step for so long: its client may find a better server. There are two such steps, and
# proxies wait for a first byte for 30 s and more.
ARRIVAL_TIMEOUT_SECONDS: Final = 10.0

# The range of `retry:` in a stream and of `Retry-After` in a refusal, chosen at random: three seconds in the mean, as
# browsers wait by themselves, so that the clients of a restarted server do not all come back in one moment.
RETRY_SECONDS: Final = (1.0, 5.0)
RETRY_AFTER_SECONDS: Final = (1, 5)


@dataclass(frozen=True)
class Timings:
    """The configured timings, in seconds."""

    heartbeat: float
    server_dead: float
    dead_peer: float
    # How long a departed key may take to come back, and how long a present one may go without a heartbeat.
    disconnect_grace: float
    session_timeout: float

    @property
    def server_dead_time(self) -> timedelta:
        """`server_dead`, as the database counts."""
        return timedelta(seconds=self.server_dead)

    @property
    def beat(self) -> float:
        """Between two beats of a server process."""
        return self.server_dead / BEATS_PER_SERVER_DEAD

    @property
    def heartbeat_slots(self) -> int:
        """In how many parts, one after the other, the streams of a process have their heartbeats."""
        return max(1, int(self.heartbeat / HEARTBEAT_SLOT_SECONDS))

    @cached_property
    def keepalive(self) -> float:
        """The most between two writes to a stream."""
        most = min(KEEPALIVE_MAX_SECONDS, self.dead_peer * KEEPALIVE_SHARE)
        return (
            min(most, self.disconnect_grace * KEEPALIVE_GRACE_SHARE)
            if self.disconnect_grace
            else most
        )

    @property
    def acknowledgement(self) -> float:
        """The longest time until a client with `ack=true` that does not answer a heartbeat is gone."""
        return self.dead_peer - self.heartbeat

    @property
    def acknowledge(self) -> float:
        """How long such a client may take to answer."""
        return self.acknowledgement - LOOKING_BEATS * self.beat

    @property
    def user_timeout(self) -> float:
        """For TCP_USER_TIMEOUT."""
        return self.dead_peer * USER_TIMEOUT_SHARE

    @cached_property
    def safe(self) -> float:
        """How long, at least, a key keeps its sessions after the moment that a line of its stream proves.

        With a grace this holds in any case. Without one, a dead peer is noticed at the earliest after this time; a
        connection that is reset on the server's side alone cannot be foreseen. docs/client.md says how the client uses
        it.
        """
        return self.disconnect_grace or self.user_timeout

    @cached_property
    def vouched(self) -> float:
        """How long after the last beat of its process a line may still be written as proof of the present moment.

        A workstation that departed elsewhere meanwhile is released when the process is taken for dead and the grace is
        over.
        """
        return max(0.0, self.server_dead - self.safe)

    def as_payload(self) -> dict[str, float]:
        """Return the timings that a client gets in `stream-open`, in seconds."""
        return {
            "heartbeat_seconds": self.heartbeat,
            "keepalive_seconds": self.keepalive,
            "acknowledge_seconds": self.acknowledge,
            "grace_seconds": self.disconnect_grace,
            "safe_seconds": self.safe,
            "timeout_seconds": self.session_timeout,
        }

    @cached_property
    def as_json(self) -> str:
        """The same as JSON."""
        return json_text(self.as_payload())


def configured() -> Timings:
    """Return the timings of the settings."""
    return _timings(
        settings.EVENTS_HEARTBEAT_SECONDS,
        settings.EVENTS_SERVER_DEAD_SECONDS,
        settings.EVENTS_DEAD_PEER_SECONDS,
        settings.EVENTS_DISCONNECT_GRACE,
        settings.EVENTS_SESSION_TIMEOUT,
    )


@lru_cache(maxsize=2)
def _timings(
    heartbeat: float,
    server_dead: float,
    dead_peer: float,
    disconnect_grace: timedelta,
    session_timeout: timedelta,
) -> Timings:
    """Return the one object that all streams share: what follows from the settings is computed once."""
    return Timings(
        heartbeat,
        server_dead,
        dead_peer,
        disconnect_grace.total_seconds(),
        session_timeout.total_seconds(),
    )
