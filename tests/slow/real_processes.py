"""The driver of real server processes, a real sweeper and real streams. What they do by themselves it waits for."""

import itertools
import signal
import time
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from events_app.models import Connection, LogEntry, Observation, ServerProcess
from sessions_app.models import EditSession, PlaceInLine, Workstation
from sessions_app.roles import Role
from tests.factories import make_item, make_token, make_user
from tests.processes.service import Serve
from tests.slow.comparison import Entry
from tests.slow.in_process import entries_after, set_role
from tests.slow.listener import Listener
from tests.waiting import eventually

# Longer than the servers' beats may be late on a machine with other work to do.
SERVER_DEAD = 4.0
TIMEOUT = 600.0
ENVIRONMENT = {
    "SILO_SERVER_DEAD_SECONDS": str(SERVER_DEAD),
    "SILO_SESSION_TIMEOUT_MINUTES": str(TIMEOUT / 60),
    # As the model has it: how often others are told that somebody is idle depends on it.
    "SILO_HEARTBEAT_SECONDS": "30",
}
# Not the log: the servers and the watchers are somewhere in it. In a deadlock with a sweep or departure that one gives
# way: PostgreSQL looks for one after a second where nothing else is said. An autovacuum is waited for.
EMPTY = """
SET LOCAL deadlock_timeout = '30s';
SET LOCAL lock_timeout = '60s';
TRUNCATE sessions_app_handoffrequest, sessions_app_placeinline, sessions_app_editsession,
    sessions_app_endedsession, sessions_app_workstation
"""
PATIENCE = 30.0


class Stream(NamedTuple):
    workstation: str
    server: str
    listener: Listener


class RealProcesses:
    """See the module.

    Args:
        roles: the users' roles by name.
        items: the part numbers.
        serve: starts a server process that is ready.
    """

    # Clocks and beats go on by themselves.
    paced = False
    shift = timedelta(0)
    server_dead = SERVER_DEAD

    def __init__(
        self, roles: dict[str, int], items: Sequence[str], serve: Callable[..., Serve]
    ) -> None:
        self.roles = roles
        self.users = {name: make_user(name, Role(role)) for name, role in roles.items()}
        self.tokens = {name: make_token(user) for name, user in self.users.items()}
        self.items = {name: str(make_item(name).pk) for name in items}
        self._serve = serve
        self._servers: dict[str, Serve] = {}
        self._http: dict[str, httpx.Client] = {}
        self._watchers: dict[str, Listener] = {}
        self._streams: dict[str, Stream] = {}
        self._turns = itertools.count()
        self._last_ids: dict[str, str] = {}
        self._log: list[Entry] = []
        self._last_entry = 0
        self._slept = 0.0
        self.start()
        self.start()
        self._observed()

    def begin(self, grace: float) -> list[str]:
        """Begin an example with nothing in the database; return the ids of the servers."""
        for stream in self._streams.values():
            stream.listener.close()
        self._streams.clear()
        eventually(lambda: not Connection.objects.exists(), "all streams to be gone", PATIENCE)
        # What that released goes to the watchers.
        self.entries(0)
        for name, role in self.roles.items():
            if Role.of(self.users[name]) != role:
                set_role(self.users[name], role)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(EMPTY)
        self._last_ids.clear()
        self._log, self._slept, self._begun = [], 0.0, time.monotonic()
        return list(self._servers)

    def end(self) -> None:
        """Nothing has happened that nobody waited for."""

    def close(self) -> None:
        for listener in self._listeners():
            listener.close()
        for client in self._http.values():
            client.close()

    def call(self, user: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Call the API, now of this server, now of that; return status and JSON."""
        clients = list(self._http.values())
        client = clients[next(self._turns) % len(clients)]
        headers = {"Authorization": f"Bearer {self.tokens[user]}"}
        answer = client.request(method, path, json=body, headers=headers)
        return answer.status_code, answer.json() if answer.content else None

    def entries(self, expected: int) -> list[Entry]:
        """What was told since this was last asked, when every stream has got what is for it."""
        after = LogEntry.objects.filter(id__gt=self._last_entry)
        deadline = time.monotonic() + PATIENCE
        # What does not come the comparison shows better.
        while after.count() < expected and time.monotonic() < deadline:
            time.sleep(0.01)
        new = entries_after(self._last_entry)
        self._last_entry = max((entry.id for entry in new), default=self._last_entry)
        self._log += new
        listeners = self._listeners()
        for listener in listeners:
            listener.expect(new)
        for listener in listeners:
            listener.check()
        return new

    def elapsed(self) -> float:
        """Real seconds since the example began, of which the model's clock knows nothing."""
        return time.monotonic() - self._begun - self._slept

    # -- streams and servers --

    def beat(self, running: Collection[str]) -> None:
        """They do."""

    def start(self) -> str:
        """Start a server, and its watcher of everything."""
        server = self._serve(**ENVIRONMENT)
        pk = str(ServerProcess.objects.get(pid=server.pid).pk)
        self._servers[pk] = server
        self._http[pk] = httpx.Client(base_url=server.url, timeout=PATIENCE)
        watcher = next((w for w in self._watchers.values() if w.opened is None), None)
        watcher = watcher or Listener("/api/events?all=true", self.tokens["vic"], {"all"})
        watcher.open(server.url, watcher.last_id)
        self._watchers = {k: w for k, w in self._watchers.items() if w is not watcher}
        self._watchers[pk] = watcher
        return pk

    def connect(self, server: str, workstations: Sequence[str]) -> list[str]:
        """Open a stream, which goes on where the workstation's last one ended; return its id."""
        (at,) = workstations
        owner = Workstation.objects.get(pk=at).user
        channels = {f"workstation:{at}", f"user:{owner.pk}"}
        path = f"/api/events?workstation_id={at}"
        listener = Listener(path, self.tokens[owner.get_username()], channels)
        last = self._last_ids.get(at, "")
        opened = listener.open(self._servers[server].url, last)
        if last:
            listener.expect([e for e in self._log if e.id > int(last.rpartition("-")[2])])
        held = EditSession.objects.filter(workstation=at).values_list("pk", flat=True)
        assert {one["session_id"] for one in opened["sessions"]} == {str(pk) for pk in held}
        pk = str(opened["connection_id"])
        self._streams[pk] = Stream(at, server, listener)
        return [pk]

    def disconnect(
        self, server: str, streams: Collection[tuple[str, str]], *, by_client: bool
    ) -> None:
        """A client ends its stream, or dies; wait until the server has noticed."""
        for pk, _ in streams:
            self._close(pk, abruptly=next(self._turns) % 2 == 0)
            gone = Connection.objects.filter(pk=pk)
            eventually(lambda gone=gone: not gone.exists(), "the stream to be gone", PATIENCE)

    def forget(self, workstation: str) -> None:
        """It was deleted: the server closes its streams, and nothing more is for it."""
        for pk in [pk for pk, one in self._streams.items() if one.workstation == workstation]:
            self._close(pk)

    def stop(self, server: str) -> None:
        process = self._servers.pop(server)
        process.signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, process.output
        self._lost(server)

    def kill(self, server: str) -> None:
        """Kill it after a beat that knows all that was; wait until it is known to be dead."""
        row = ServerProcess.objects.filter(pk=server)
        before = row.get().last_beat
        eventually(lambda: row.get().last_beat > before, "a beat", PATIENCE)
        self._servers.pop(server).kill()
        self._lost(server)
        eventually(lambda: not row.exists(), "the dead server to be removed", PATIENCE)

    def age(self, workstation: str) -> None:
        """Nothing was heard of a workstation without a stream for longer than it may; wait for the sweeper."""
        by = timedelta(seconds=2 * TIMEOUT)
        held = EditSession.objects.filter(workstation=workstation)
        places = PlaceInLine.objects.filter(workstation=workstation)
        self._observed()
        with transaction.atomic():
            Workstation.objects.filter(pk=workstation).update(last_seen=F("last_seen") - by)
            held.update(last_heartbeat=F("last_heartbeat") - by)
        eventually(lambda: not held.exists() and not places.exists(), "the sweeper", PATIENCE)

    def set_role(self, user: str, role: int) -> None:
        with transaction.atomic():
            set_role(self.users[user], role)

    def slept(self, seconds: float) -> None:
        """The model's clock was moved on by so much, for time that has gone by here."""
        self._slept += seconds

    def _observed(self) -> None:
        """There has been no outage for long."""
        Observation.objects.update(since=Now() - timedelta(days=1))

    def _lost(self, server: str) -> None:
        """The streams of a server are gone with it."""
        self._http.pop(server).close()
        self._watchers[server].close()
        self._watchers[server].opened = None
        for pk, one in list(self._streams.items()):
            if one.server == server:
                self._close(pk)

    def _close(self, pk: str, *, abruptly: bool = False) -> None:
        stream = self._streams.pop(pk)
        stream.listener.close(abruptly=abruptly)
        self._last_ids[stream.workstation] = stream.listener.last_id

    def _listeners(self) -> list[Listener]:
        return [*self._watchers.values(), *(one.listener for one in self._streams.values())]
