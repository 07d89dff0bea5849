"""Events are written to a live stream at once; while something has to go before, they are queued, or read from the
log: in order, none lost and none twice."""

import asyncio
import re
import time
from types import SimpleNamespace

import pytest
from django_eventstream.views import MAX_PENDING

from events_app.http.stream_answer import TAKE_OVER
from events_app.log import relay, replays
from events_app.log.event_log import Cursor, Entry, LogState, Page
from events_app.log.notification import Appended
from events_app.presence.backend import StreamGrant
from events_app.presence.store import Snapshot
from events_app.serving import openings, stream
from events_app.serving.keep_alives import KeepAlives
from events_app.serving.openings import Opening
from events_app.serving.stream_writer import CHUNK_BYTES

EPOCH = "abc"


class Answer:
    """As the server's."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.wait_for_room = world.room.wait
        self.ended = self.aborted = False

    @property
    def has_room(self) -> bool:
        return self._world.room.is_set()

    def write(self, data: bytes) -> None:
        self._world.writes.append(data)

    def end(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.aborted = True


class World:
    """A log, and one stream whose client reads while there is `room`.

    Args:
        directly: whether it is opened by a direct call of the lane.
    """

    def __init__(self, monkeypatch, directly) -> None:
        self._directly = directly
        self.room = asyncio.Event()
        self.room.set()
        self.writes: list[bytes] = []
        self.log: list[int] = []
        self.delivered = 0
        self.reads = 0
        self.while_reading = lambda: None
        self.departures: list[bool] = []
        monkeypatch.setattr(replays, "read", self.read)
        presence = SimpleNamespace(
            observed=SimpleNamespace(proved=time.monotonic()),
            heartbeat_written=lambda _: None,
            leave=lambda stream, by_client: self.departures.append(by_client),
        )
        self._process = SimpleNamespace(presence=presence, keep_alives=KeepAlives(8.0))
        self._opening = Opening(self.send, self._process)
        self.stream = self._opening.stream
        self.stream.grant = StreamGrant(frozenset({"a", "b"}), None, user_id=1)
        self.answer = Answer(self)

    @property
    def written(self) -> bytes:
        return b"".join(self.writes)

    @property
    def at_once(self) -> bool:
        """Whether the stream has no task."""
        return self.stream._task is None

    async def read(self, channels, after):
        self.reads += 1
        entries = [Entry(one, "test", "{}") for one in self.log if one > after]
        await asyncio.sleep(0)
        self.while_reading()
        return Page(entries[:3], len(entries) > 3)

    async def send(self, message):
        if message["type"] == TAKE_OVER:
            message["answer"] = self.answer

    def commit(self, event_id, channels=("a", "b"), data="{}"):
        self.log.append(event_id)
        relay.deliver(Appended(event_id, channels, (), "test", data), relay.Reach())

    def opens(self, head=0, at=None):
        """Begin the stream, its snapshot taken at a head."""
        self.stream.listen()
        log = LogState(Cursor(EPOCH, head), 0)
        if at is not None:
            self.stream.grant = StreamGrant(
                frozenset({"a", "b"}), None, user_id=1, last_event_id=f"{EPOCH}-{at}"
            )
        snapshot = Snapshot(log, {})
        if self._directly:
            arrival = asyncio.get_running_loop().create_future()
            lane = SimpleNamespace(
                when_left=lambda call: None, become_stream=lambda headers, left: self.answer
            )
            openings._DirectOpening(self.stream, lane, lambda headers: headers, arrival)
            arrival.set_result(snapshot)
        else:
            opening = self.stream.worked(lambda: self._opening._begin(snapshot))
            self.stream.waits_for(asyncio.create_task(opening))

    @property
    def ids(self):
        """The ids of the events that were written, in their order."""
        return [int(one) for one in re.findall(rb"id: abc-(\d+)\nevent: test\n", self.written)]


@pytest.fixture(params=[False, True], ids=["application", "direct call"])
def world(monkeypatch, request):
    return World(monkeypatch, request.param)


async def settled():
    for _ in range(50):
        await asyncio.sleep(0)


def play(world, scene):
    async def main():
        try:
            await scene()
        finally:
            world.stream.client_left()
            await settled()

    asyncio.run(main())


def test_a_live_stream_gets_an_event_at_once_and_once(world):
    async def scene():
        world.opens()
        await settled()
        world.commit(1)
        assert world.ids == [1]
        world.commit(2)
        assert (world.ids, len(world.writes), world.reads) == ([1, 2], 3, 0)
        assert world.at_once

    play(world, scene)


def test_an_event_between_snapshot_and_live_comes_once(world):
    async def scene():
        world.log = [1, 2]
        world.opens(head=2)
        # The one is in the snapshot and delivered late, the others come before the stream is live.
        relay.deliver(Appended(2, ["a"], (), "test", "{}"), relay.Reach())
        world.commit(3)
        world.commit(4)
        await settled()
        world.commit(5)
        await settled()
        assert world.ids == [3, 4, 5]

    play(world, scene)


@pytest.mark.parametrize("during", [1, MAX_PENDING - 1, 3 * MAX_PENDING])
def test_events_during_a_replay_come_after_it(world, during):
    """In every read of the log some more are committed, for a while."""
    more = iter(range(6, 6 + 3 * during))

    def commit_some():
        for _ in range(during):
            if (event_id := next(more, None)) is not None:
                world.commit(event_id)

    async def scene():
        world.log = [1, 2, 3, 4, 5]
        world.while_reading = commit_some
        world.opens(head=5, at=1)
        await settled()
        while (event_id := next(more, None)) is not None:
            world.commit(event_id)
            await settled()
        for _ in range(20):
            await settled()
        assert world.ids == list(range(2, 6 + 3 * during))

    play(world, scene)


@pytest.mark.parametrize("burst", [2, MAX_PENDING, MAX_PENDING + 5])
def test_a_stream_that_becomes_slow_in_a_burst_goes_on_where_it_was(world, burst):
    async def scene():
        world.opens()
        await settled()
        world.commit(1)
        world.room.clear()
        for event_id in range(2, 2 + burst):
            world.commit(event_id)
            await asyncio.sleep(0)
        await settled()
        assert world.ids == [1]
        world.room.set()
        # In the same turn, before the stream's task goes on.
        world.commit(100)
        await settled()
        world.commit(101)
        await settled()
        assert world.ids == [*range(1, 2 + burst), 100, 101]
        assert (world.reads > 0) == (burst + 1 > MAX_PENDING)

    play(world, scene)


def test_events_wait_behind_the_task_that_was_woken(world):
    async def scene():
        world.opens()
        await settled()
        world.log = [1]
        world.stream._listener.queue("log/a", relay.RelayedEvent("test", "{}", 1))
        # The task has not run yet: this must not overtake.
        world.commit(2)
        world.commit(3)
        await settled()
        assert world.ids == [1, 2, 3]

    play(world, scene)


def test_a_large_event_is_read_from_the_log(world):
    async def scene():
        world.opens()
        await settled()
        world.commit(1, data='"' + "x" * CHUNK_BYTES + '"')
        await settled()
        assert world.reads == 1
        world.commit(2)
        await settled()
        assert world.ids == [1, 2]

    play(world, scene)


def test_lines_are_written_at_once_unless_the_client_does_not_read(world):
    async def scene():
        world.opens()
        await settled()
        world.stream.heartbeat()
        world.stream.keep_alive()
        world.stream.probe()
        assert (len(world.writes), world.written.count(b"event: heartbeat")) == (4, 2)
        world.room.clear()
        world.stream.heartbeat()
        world.stream.keep_alive()
        await settled()
        assert len(world.writes) == 4
        world.room.set()
        await settled()
        assert world.written.count(b"event: heartbeat") == 3

    play(world, scene)


def test_a_stream_that_was_closed_while_its_client_did_not_read_is_given_no_event_any_more(world):
    async def scene():
        world.opens()
        await settled()
        world.commit(1)
        world.room.clear()
        world.commit(2)
        await settled()
        world.stream.close("no longer permitted")
        world.commit(3)
        world.room.set()
        await settled()
        assert world.ids == [1]
        assert (world.answer.ended, world.departures) == (True, [False])

    play(world, scene)


def test_a_write_that_fails_ends_its_stream_and_no_other_work(world, monkeypatch):
    def fails(self, data):
        raise ValueError("this one")

    async def scene():
        world.opens()
        await settled()
        monkeypatch.setattr(Answer, "write", fails)
        world.commit(1)
        await settled()
        assert (world.answer.ended, world.departures) == (True, [False])
        world.stream.keep_alive()

    play(world, scene)


def test_a_line_that_is_due_while_the_log_is_read_follows_the_read(world):
    async def scene():
        world.log = [1]
        world.while_reading = world.stream.keep_alive
        world.opens(head=1, at=0)
        await settled()
        assert world.written.count(b": keep-alive") == 3

    play(world, scene)


def test_a_closed_stream_whose_client_does_not_read_is_cut_off(world, monkeypatch):
    monkeypatch.setattr(stream, "CLOSE_SECONDS", 0.01)

    async def scene():
        world.opens()
        await settled()
        world.room.clear()
        world.stream.close("the server stops")
        await settled()
        assert (world.answer.aborted, world.departures) == (False, [])
        await asyncio.sleep(0.02)
        assert (world.answer.aborted, world.departures) == (True, [False])
        world.stream.close("again")

    play(world, scene)
    assert world.departures == [False]


def test_a_client_that_leaves_departs_at_once_whatever_its_stream_does(world):
    async def scene():
        world.opens()
        await settled()
        world.room.clear()
        world.commit(1)
        # Its task waits for room.
        await settled()
        world.stream.client_left()
        assert world.departures == [True]
        await settled()
        assert world.at_once

    play(world, scene)
    assert world.departures == [True]


def test_a_client_that_leaves_a_closed_stream_has_not_departed(world):
    async def scene():
        world.opens()
        await settled()
        world.stream.close("no longer permitted")
        world.stream.client_left()
        assert world.departures == [False]

    play(world, scene)


def test_what_is_written_in_parts_is_parted_at_the_end_of_a_line(world):
    async def scene():
        world.opens()
        await settled()
        line = b"data: %s\n" % (b"x" * 30_000)
        body = line * 20 + b"data: %s\n" % (b"x" * 2 * CHUNK_BYTES) + line
        await world.stream._writer.write(body)
        parts = world.writes[1:]
        assert len(parts) > 1
        assert all(part.endswith(b"\n") for part in parts)
        assert b"".join(parts).startswith(body)

    play(world, scene)
