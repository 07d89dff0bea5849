"""What runs in this process beside the requests; there is none outside of `manage.py serve`."""

from dataclasses import dataclass

from events_app import timings
from events_app.database_probe import DatabaseProbe, database_answers
from events_app.presence import Presence
from events_app.relay import Relay


@dataclass
class Runtime:
    """The relay and the presence of a serving process, and its eye on the database."""

    relay: Relay
    presence: Presence
    database: DatabaseProbe

    @property
    def ready(self) -> bool:
        """Whether streams that are opened now would be served."""
        return self.relay.listening and self.presence.ready and not self.presence.stopping


_current: Runtime | None = None


def current() -> Runtime | None:
    """Return the runtime of this process, or None where none is served."""
    return _current


def start() -> Runtime:
    """Make the runtime of this process. Its tasks are started by the server."""
    global _current
    presence = Presence(timings.configured())
    relay = Relay(on_gap=lambda: presence.close_all("the event log has a gap"))
    _current = Runtime(relay, presence, DatabaseProbe(database_answers, timings.PROBE_SECONDS))
    return _current
