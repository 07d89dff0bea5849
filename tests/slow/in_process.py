"""The driver inside the test's process: the real API and the real presence, on a clock that the test moves."""

import json
import time
import uuid
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from events_app.models import Connection, LogEntry, Observation, ServerProcess
from events_app.presence import clean_up, store
from events_app.presence.backend import backend
from events_app.presence.server_processes import ProcessIdentity
from events_app.presence.store import Arrival, Departure
from sessions_app import operations
from sessions_app.models import EditSession, Workstation
from sessions_app.roles import Role
from tests.factories import Api, api_of, clean_up_one, make_item, make_user
from tests.slow.comparison import Entry

EMPTY = """
TRUNCATE events_app_connection, events_app_serverprocess, events_app_logentry, sessions_app_handoffrequest,
    sessions_app_placeinline, sessions_app_editsession, sessions_app_endedsession, sessions_app_workstation
"""
# What the test makes older when time goes by.
TIMES: dict[Any, tuple[str, ...]] = {
    EditSession: ("acquired_at", "last_heartbeat"),
    Workstation: ("last_seen", "departed_at", "away_since", "idle_since", "idle_told_at"),
    ServerProcess: ("last_beat",),
    Connection: ("opened_at", "heartbeat_at", "acked_at"),
}
LIMIT = 1000


def entries_after(last: int) -> list[Entry]:
    """The log's entries after an id."""
    rows = LogEntry.objects.filter(id__gt=last).order_by("id")
    return [
        Entry(pk, kind, frozenset(channels), json.loads(data))
        for pk, kind, channels, data in rows.values_list("id", "type", "channels", "data")
    ]


def set_role(user: Any, role: int) -> None:
    """Give a user one role, and no other."""
    user.groups.set([Group.objects.get(name=Role(role).group)])


class InProcess:
    """See the module.

    Args:
        roles: the users' roles by name.
        items: the part numbers.
    """

    # Clocks and beats stand still unless a rule moves them.
    paced = True
    server_dead = 300.0

    def __init__(self, roles: dict[str, int], items: Sequence[str]) -> None:
        self.roles = roles
        self.users = {name: make_user(name, Role(role)) for name, role in roles.items()}
        self.apis: dict[str, Api] = {name: api_of(user) for name, user in self.users.items()}
        self.items = {name: str(make_item(name).pk) for name in items}

    def begin(self, grace: float) -> list[str]:
        """Begin an example with nothing in the database, and two servers; return their ids."""
        with connection.cursor() as cursor:
            cursor.execute(EMPTY)
        Observation.objects.update(since=Now() - timedelta(days=9), last_beat=Now())
        settings.EVENTS_DISCONNECT_GRACE = timedelta(seconds=grace)
        self.shift = timedelta(0)
        self._begun = time.monotonic()
        self._last_entry = 0
        self._processes: dict[str, ProcessIdentity] = {}
        for name, role in self.roles.items():
            if Role.of(self.users[name]) != role:
                set_role(self.users[name], role)
        return [self.start(), self.start()]

    def end(self) -> None:
        """Nothing runs."""

    def call(self, user: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Call the API; return status and JSON."""
        answer = self.apis[user](method, path, body)
        return answer.status_code, json.loads(answer.content) if answer.content else None

    def entries(self, expected: int = 0) -> list[Entry]:
        """What was told since this was last asked."""
        new = entries_after(self._last_entry)
        self._last_entry = max((entry.id for entry in new), default=self._last_entry)
        return new

    def elapsed(self) -> float:
        """Real seconds since the example began, which the model's clock knows nothing of."""
        return time.monotonic() - self._begun

    # -- streams and servers --

    def beat(self, running: Collection[str]) -> None:
        """All that run have just beaten."""
        ServerProcess.objects.filter(pk__in=running).update(last_beat=Now())
        Observation.objects.update(last_beat=Now())

    def start(self) -> str:
        process = ProcessIdentity()
        store.register(process, [])
        self._processes[str(process.id)] = process
        return str(process.id)

    def connect(self, server: str, workstations: Sequence[str]) -> list[str]:
        """Open streams at the same moment; return their ids."""
        arrivals = [Arrival(uuid.uuid4(), uuid.UUID(pk)) for pk in workstations]
        store.arrive(self._processes[server], arrivals)
        return [str(arrival.connection_id) for arrival in arrivals]

    def disconnect(
        self, server: str, streams: Collection[tuple[str, str]], *, by_client: bool
    ) -> None:
        """End these streams and workstations' at the same moment."""
        departures = [Departure(uuid.UUID(pk), uuid.UUID(at), by_client) for pk, at in streams]
        store.depart(self._processes[server], departures)

    def forget(self, workstation: str) -> None:
        """It was deleted; its streams stand for nobody."""

    def heartbeat(self, server: str, workstations: Collection[str]) -> None:
        keys = [uuid.UUID(pk) for pk in workstations]
        store.touch(self._processes[server], keys, [])

    def stop(self, server: str) -> None:
        clean_up.unregister(self._processes[server])

    def kill(self, server: str) -> None:
        """It just does not beat any more."""

    def clean_up(self) -> None:
        server_dead = timedelta(seconds=settings.EVENTS_SERVER_DEAD_SECONDS)
        while clean_up_one(server_dead):
            pass

    def time_passes(self) -> None:
        while backend().time_passes():
            pass

    # -- time --

    def sleep(self, seconds: float) -> None:
        """Make every time in the database older."""
        by = timedelta(seconds=seconds)
        for model, names in TIMES.items():
            model.objects.update(**{name: F(name) - by for name in names})
        self.shift += by

    def expire(self, timeout: float) -> None:
        EditSession.objects.expire_stale(timedelta(seconds=timeout), LIMIT, only_observed=True)

    def expire_idle(self, timeout: float) -> None:
        EditSession.objects.expire_idle(timedelta(seconds=timeout), LIMIT)

    def lose_places(self, timeout: float) -> None:
        operations.line.lose(timedelta(seconds=timeout), LIMIT)

    def set_role(self, user: str, role: int) -> None:
        set_role(self.users[user], role)
