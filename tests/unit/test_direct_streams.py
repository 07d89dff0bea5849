"""Streams that a direct call opens, without a task: what their clients get is what the application gives."""

import asyncio
import re
import uuid
from dataclasses import replace
from types import SimpleNamespace

import pytest
from channels.routing import URLRouter
from django.urls import re_path
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from events_app import timings
from events_app.log import relay
from events_app.log.event_log import Cursor, LogState
from events_app.log.notification import Appended
from events_app.presence.backend import NOTHING_HELD, StreamGrant, StreamRefused
from events_app.presence.process import Presence
from events_app.presence.store import Arrived, Snapshot
from events_app.presence.stream_limits import MAX_STREAMS_PER_KEY
from events_app.serving import admission, openings, runtime, stream_failures
from events_app.serving.keep_alives import KeepAlives
from silo.asgi import STREAMS
from silo.stream_answers import as_djangos, completed
from tests.unit.lane_channels import TURNS, Connection, run, turns
from tests.unit.written_presence import Database

KEY = uuid.uuid4()
GRANT = StreamGrant(frozenset({"user:1", f"workstation:{KEY}"}), KEY, user_id=1, shown=KEY)
HEAD = b"GET /api/events?workstation_id=%s HTTP/1.1\r\nHost: localhost\r\n" % str(KEY).encode()
REQUEST = HEAD + b"Authorization: Bearer silo_x\r\n\r\n"


class Domain:
    """Grants what it is told to; what is asked without a query, it knows at once."""

    verdict = GRANT

    def resolve_at_once(self, request):
        return self.verdict

    def unknown(self):
        return StreamRefused(404, "not_found", "There is none.")

    def foreign(self):
        return StreamRefused(403, "forbidden", "Another user's.")

    def displacement(self):
        return StreamRefused(409, "identity_in_use", "Another machine's.")


class World:
    """A server process with a database, and connections to it."""

    def __init__(self, monkeypatch):
        self.domain = Domain()
        self.database = Database()
        self.database.snapshot = self.snapshot
        self.arrived = lambda arrivals: Arrived({one.key for one in arrivals})
        self.database.arrive = lambda process, arrivals: self.arrived(arrivals)
        # A departure of what never arrived is none.
        self.database.depart = lambda process, departures: self.departed.append(departures)
        self.departed = []
        self.database.stand_in(monkeypatch)
        for module in (admission, openings, stream_failures):
            monkeypatch.setattr(module, "backend", lambda: self.domain)
        # That of the process looks again when an earlier test's stream would be late, or its loop has ended.
        monkeypatch.setattr(openings, "_arriving", admission.Step("its arrival"))
        self.relay = SimpleNamespace(has_started=True, started=self.started)
        monkeypatch.setattr(runtime, "current", lambda: self)

    async def started(self):
        """The relay has its cursor."""

    def snapshot(self, keys):
        return Snapshot(LogState(Cursor("abc", 7), 0), dict.fromkeys(keys, NOTHING_HELD))

    async def __aenter__(self):
        self.presence = Presence(timings.configured())
        self.presence.observed.proved = float("inf")
        self.keep_alives = KeepAlives(8.0)
        self._writing = asyncio.create_task(self.presence.write_loop())
        self.connections = []
        return self

    async def __aexit__(self, *_):
        for connection in self.connections:
            if connection.channel.transport is not None and not connection.channel._gone:
                leave(connection)
        await turns(TURNS)
        self._writing.cancel()

    async def asked(self, directly, request=REQUEST):
        """Send a request; return its connection, and whether the direct calls took it."""
        routes = [re_path("^api/events$", as_djangos(openings.application))]
        connection, took = Connection(True, URLRouter(routes)), []
        if directly:
            calls = openings.direct_calls(STREAMS, completed)

            def take(*call):
                took.append(calls(*call))
                return took[-1]

            connection.server.direct_calls = take
        self.connections.append(connection)
        await connection.send([request])
        return connection, took

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110  (for a moment)
                await asyncio.sleep(0.001)

    async def answered(self, connection):
        await self.until(lambda: connection.answers)


def leave(connection):
    connection.channel.connectionLost(Failure(ConnectionDone()))


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


ways = pytest.mark.parametrize("directly", [True, False], ids=["direct call", "application"])


def alike(answer):
    """Return an answer without what differs from stream to stream."""
    text = re.sub(rb'"connection_id":"[0-9a-f-]{36}"', b"CONNECTION", bytes(answer))
    return re.sub(rb"retry: \d+|keep-alive [\d.]+|\r\n[0-9a-f]+\r\n", b"VARIES", text)


def arrived_as(world, what):
    """Have arrivals end in one way or another."""
    ends = {
        "it arrives": lambda all_: Arrived({KEY}),
        "its key is gone": lambda all_: Arrived(),
        "its key is another user's": lambda all_: Arrived({KEY}, (), {all_[0].connection_id}),
        "its key is another machine's": lambda all_: Arrived({KEY}, {all_[0].connection_id}),
    }
    world.arrived = ends[what]


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("it arrives", b"200 OK"),
        ("its key is gone", b"404 Not Found"),
        ("its key is another user's", b"403 Forbidden"),
        ("its key is another machine's", b"409 Conflict"),
    ],
)
def test_both_ways_give_the_same(world, what, status):
    arrived_as(world, what)

    async def send():
        answers = []
        for directly in (True, False):
            async with world:
                connection, took = await world.asked(directly)
                await world.answered(connection)
                assert took == ([True] if directly else [])
                assert connection.answers.startswith(b"HTTP/1.1 " + status)
                assert len(world.presence.streams) == (what == "it arrives")
                answers.append(alike(connection.answers))
                leave(connection)
                assert world.presence.streams == {}
                assert connection.server.connections == {}
        assert answers[0] == answers[1]
        assert (b"event: heartbeat\n" in answers[0]) is (what == "it arrives")

    run(send)


@pytest.mark.parametrize(
    "field", [b"Origin: https://other.example\r\n", b"X-Forwarded-Proto: https\r\n", b"A: b\r\n"]
)
@pytest.mark.parametrize("is_granted", [True, False])
def test_headers_are_the_same(world, field, is_granted):
    if not is_granted:
        world.domain.verdict = StreamRefused(403, "forbidden", "No role.", role=1)

    async def send():
        answers = set()
        for directly in (True, False):
            async with world:
                request = HEAD + field + b"Authorization: Bearer silo_x\r\n\r\n"
                connection, _ = await world.asked(directly, request)
                await world.answered(connection)
                answers.add(alike(connection.answers))
        assert len(answers) == 1

    run(send)


@pytest.mark.parametrize(
    "change",
    [
        lambda world: setattr(world.domain, "verdict", None),
        lambda world: setattr(world.relay, "has_started", False),
        lambda world: setattr(world.presence, "stopping", True),
        lambda world: setattr(world.presence, "has_room", lambda grant: False),
    ],
    ids=["it needs a query", "the relay has no place yet", "a stop", "its key is full"],
)
def test_what_has_to_wait_or_is_refused_elsewhere_is_the_applications(world, change):
    async def send():
        async with world:
            change(world)
            # Nothing is asked: that is the application's.
            world.domain.resolve = lambda requests: [GRANT] * len(requests)
            _, took = await world.asked(True)
            assert took == [False]

    run(send)


@ways
@pytest.mark.parametrize("how", ["its client leaves", "the server closes it", "nobody arrives"])
def test_a_stream_that_ends_before_its_arrival_is_written_leaves_nothing(
    world, monkeypatch, directly, how
):
    if how == "nobody arrives":
        monkeypatch.setattr(timings, "ARRIVAL_TIMEOUT_SECONDS", 0.05)

    async def send():
        async with world:
            world._writing.cancel()
            connection, _ = await world.asked(directly)
            await world.until(lambda: world.presence.streams)
            (stream,) = world.presence.streams.values()
            if how == "its client leaves":
                leave(connection)
            elif how == "the server closes it":
                stream.close("no longer permitted")
            await world.until(lambda: not world.presence.streams)
            await connection.send([])
            expected = b"" if how == "its client leaves" else b"HTTP/1.1 503 "
            assert connection.answers[:13] == expected
            assert connection.server.connections == {}
            # Its departure waits behind its arrival.
            ((departure,),) = world.presence._writer._departures._waiting.values()
            assert departure.by_client is (how == "its client leaves")
            arrivals = world.presence._writer._arrivals._waiting.values()
            assert [one.waits for some in arrivals for one in some] == [False]

    run(send)


@ways
def test_an_arrival_has_the_address_of_its_client(world, directly, settings):
    settings.EVENTS_TRUSTED_PROXIES = ["0.0.0.0/0"]
    addresses = []

    def arrived(arrivals):
        addresses.extend(one.address for one in arrivals)
        return Arrived({KEY})

    world.arrived = arrived
    forwarded = REQUEST.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n")

    async def scenario():
        async with world:
            await world.asked(directly, forwarded)
            await world.until(lambda: addresses)

    run(scenario)
    assert addresses == ["192.0.2.7"]


@ways
def test_a_full_key_refuses_the_next(world, monkeypatch, directly):
    monkeypatch.setattr("events_app.presence.stream_limits.PROOF_SECONDS", 0.0)
    monkeypatch.setattr("events_app.http.peers.unacknowledged", lambda transport: 0)

    async def send():
        async with world:
            many = [await world.asked(directly) for _ in range(MAX_STREAMS_PER_KEY)]
            await world.until(lambda: all(connection.answers for connection, _ in many))
            late, took = await world.asked(directly)
            await world.answered(late)
            assert late.answers.startswith(b"HTTP/1.1 429 ")
            assert took == ([False] if directly else [])

    run(send)


@ways
def test_an_event_and_a_heartbeat_that_come_while_it_opens_are_written_once_it_is(world, directly):
    async def send():
        async with world:
            held = asyncio.Event()
            loop = asyncio.get_running_loop()

            def arrived(arrivals):
                asyncio.run_coroutine_threadsafe(held.wait(), loop).result(20)
                return Arrived({KEY})

            world.arrived = arrived
            connection, _ = await world.asked(directly)
            await world.until(lambda: world.presence.streams)
            (stream,) = world.presence.streams.values()
            relay.deliver(Appended(8, ["user:1"], (), "test", "{}"), relay.Reach())
            stream.heartbeat()
            stream.probe()
            held.set()
            await world.until(lambda: b"event: test\n" in connection.answers)
            assert connection.answers.index(b"stream-open") < connection.answers.index(b"test")
            assert connection.answers.count(b"event: heartbeat\n") == 1

    run(send)


def test_a_stream_that_only_watches_arrives_too(world):
    world.domain.verdict = replace(GRANT, key=None, shown=None)

    async def send():
        async with world:
            connection, took = await world.asked(True)
            await world.until(lambda: b"stream-open" in connection.answers)
            assert took == [True]

    run(send)
