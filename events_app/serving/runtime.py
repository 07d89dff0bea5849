"""The relay, presence, keep-alives and database probe of this process; there are none outside of `manage.py serve`."""

from dataclasses import dataclass
from functools import partial

from django.conf import settings

from events_app import timings
from events_app.database.probe import DatabaseProbe, WriteCheck
from events_app.database.standbys import StandbyWatch
from events_app.log.notify_watch import ADVICE
from events_app.log.relay import Relay
from events_app.presence.backend import backend
from events_app.presence.process import Presence
from events_app.serving.keep_alives import KeepAlives


@dataclass
class Runtime:
    """The parts of a serving process beside its requests."""

    relay: Relay
    presence: Presence
    database: DatabaseProbe
    keep_alives: KeepAlives
    standbys: StandbyWatch
    # Why this process still waits for the database after its start; "" once it is there.
    database_missing: str = ""

    @property
    def ready(self) -> bool:
        """Whether new streams would be served."""
        return not self.unready

    @property
    def unready(self) -> str:
        """The reason why this process is not ready, without the database; "" if there is none."""
        if self.presence.stopping:
            return "this server is stopping"
        if self.database_missing:
            return self.database_missing
        if not self.presence.useful:
            return "this server could not keep its clients alive for three heartbeats"
        if not self.presence.ready:
            return "this server is not registered in the database yet"
        return "" if self.relay.listening else "the relay of this server has no database connection"

    @property
    def warning(self) -> str:
        """A fault that does not keep traffic away from this process; "" if there is none."""
        late = ADVICE if self.relay.notify_watch.lost else ""
        return "; ".join(filter(None, [late, self.standbys.warning]))


_current: Runtime | None = None


def current() -> Runtime | None:
    """Return the runtime of this process, or None where none is served."""
    return _current


def start(port: int | None = None) -> Runtime:
    """Make the runtime of this process, which listens on this port. Its tasks are started by the server."""
    global _current
    configured = timings.configured()
    presence = Presence(configured, port)
    relay = Relay(on_gap=lambda: presence.close_all("the event log has a gap"))
    relay.notify_watch.on_change = _deafen_caches
    standbys = StandbyWatch(settings.EVENTS_DATABASE_STANDBYS)
    check = WriteCheck(standbys=standbys)
    probe = DatabaseProbe(check, timings.PROBE_SECONDS, timings.PROBE_KEPT_SECONDS)
    _current = Runtime(relay, presence, probe, KeepAlives(configured.keepalive), standbys)
    # Each beat writes it, for who asks which of the servers are ready.
    presence.identity.why_unready = partial(getattr, _current, "unready")
    return _current


def _deafen_caches(lost: bool) -> None:
    for cache in backend().caches:
        cache.deafened(lost)
