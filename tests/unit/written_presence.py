"""Open streams, a server process and a database, as far as the presence of a process knows them."""

import asyncio
import time
import uuid

from django.db import OperationalError

from events_app import timings
from events_app.presence import clean_up, process, queue, server_processes, store, writer
from events_app.presence.backend import StreamGrant
from events_app.presence.server_processes import NotRegistered
from events_app.presence.store import Arrived, Snapshot


def keys_of(count):
    return [uuid.uuid4() for _ in range(count)]


def sizes(sets):
    return [len(some) for some in sets]


class Stream:
    address = ""
    """An open stream, as far as presence knows it."""

    def __init__(self, key, user_id=1):
        self.connection_id, self.opened = uuid.uuid4(), time.monotonic()
        self.grant = StreamGrant(frozenset(), key, user_id)
        self.is_open = True
        self.reason = None
        self.heartbeats = 0

    def close(self, reason, *, departed=False):
        self.reason = reason
        self.is_open = False

    def heartbeat(self):
        self.heartbeats += 1


class Database:
    """What the writer writes, and what fails."""

    def __init__(self):
        self.rows = set()
        self.arrivals, self.departures = [], []
        self.doomed, self.failures = set(), []
        self.displaced = set()
        self.streams = {}
        self.before = lambda what: None
        self.error = OperationalError("given up")

    def stand_in(self, monkeypatch):
        """Have the presence write here."""
        for name in ("arrive", "depart", "snapshot", "register"):
            monkeypatch.setattr(store, name, getattr(self, name))
        for name in ("is_registered", "beat"):
            monkeypatch.setattr(server_processes, name, getattr(self, name))
        monkeypatch.setattr(clean_up, "unregister", lambda process: None)

    def is_registered(self, process):
        return process.id in self.rows

    def register(self, process):
        self.before("register")
        self.rows.add(process.id)

    def beat(self, process, server_dead):
        if process.id not in self.rows:
            raise NotRegistered

    def arrive(self, process, arrivals):
        self._write("arrive", process, arrivals)
        self.arrivals.append({arrival.key for arrival in arrivals})
        gone = {one.connection_id for one in arrivals if one.connection_id in self.displaced}
        for one in arrivals:
            self.streams[one.connection_id] = process.id
        return Arrived({one.key for one in arrivals}, gone)

    def depart(self, process, departures):
        self._write("depart", process, departures)
        self.departures.append({departure.key for departure in departures})
        for one in departures:
            # An arrival that were written later would never be taken away.
            del self.streams[one.connection_id]

    def snapshot(self, keys):
        return Snapshot(None, {key: {} for key in keys})

    def _write(self, what, process, changes):
        if process.id not in self.rows:
            raise NotRegistered
        self.before(what)
        if {change.key for change in changes} & self.doomed:
            self.failures.append((what, len(self.departures)))
            raise self.error


def database_that_is_tried_again_at_once(monkeypatch):
    """Return a database that the presence writes to; what fails is tried again without a pause."""
    database = Database()
    database.stand_in(monkeypatch)
    monkeypatch.setattr(queue, "backoff", lambda attempt: 0)
    monkeypatch.setattr(writer, "backoff", lambda attempt: 0)
    monkeypatch.setattr(queue, "FAILING_SHARE", 1)
    return database


class Here:
    """A server process whose presence writes, in a test's event loop."""

    async def __aenter__(self):
        self.presence = process.Presence(timings.configured())
        self._writing = asyncio.create_task(self.presence.write_loop())
        return self

    async def __aexit__(self, *_):
        self._writing.cancel()

    async def open(self, keys):
        streams = [Stream(key) for key in keys]
        await asyncio.gather(*(self.presence.arrive(stream) for stream in streams))
        return streams

    def opening(self, key, user_id=1):
        stream = Stream(key, user_id)
        return stream, asyncio.create_task(self.presence.arrive(stream))

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition():
                assert not self._writing.done(), self._writing.result()
                await asyncio.sleep(0.001)
