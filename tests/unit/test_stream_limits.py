"""How many streams a workstation, or a user who only watches, may have; their peers prove themselves once for all."""

import asyncio
import uuid

import pytest

from events_app.presence import stream_limits
from events_app.presence.backend import StreamGrant
from events_app.presence.stream_interface import TooManyStreams
from events_app.presence.stream_limits import MAX_STREAMS_PER_KEY, StreamGroups

KEY = uuid.uuid4()
WATCHING = StreamGrant(frozenset(), None, user_id=1)
MOST = 5


class Stream:
    """An open stream whose peer acknowledges what it is sent, or not."""

    def __init__(self, grant, *, is_there=True):
        self.connection_id = uuid.uuid4()
        self.grant = grant
        self.is_open = True
        self.asked = 0
        self.size = 10
        self._is_there = is_there

    def probe(self):
        self.asked += 1

    def unacknowledged(self):
        return 0 if self._is_there else 10

    def close(self, reason):
        self.is_open = False


@pytest.fixture(autouse=True)
def _soon(monkeypatch, settings):
    monkeypatch.setattr(stream_limits, "PROOF_SECONDS", 0.01)
    settings.EVENTS_STREAMS_PER_USER = MOST


def fill(group, streams):
    for stream in streams:
        group.add(stream)
    return streams


@pytest.mark.parametrize(
    ("grant", "most"),
    [(WATCHING, MOST), (StreamGrant(frozenset(), KEY, user_id=1), MAX_STREAMS_PER_KEY)],
)
def test_the_first_too_many_is_refused_and_all_that_are_open_were_asked(grant, most):
    async def check():
        group = StreamGroups()
        streams = fill(group, [Stream(grant) for _ in range(most)])
        with pytest.raises(TooManyStreams) as caught:
            await group.wait_for_room(grant)
        assert caught.value.most == most
        assert [stream.asked for stream in streams] == [1] * most
        group.remove(streams[0])
        await group.wait_for_room(grant)

    asyncio.run(check())


def test_streams_that_others_open_by_a_key_leave_its_owner_room():
    async def check():
        group = StreamGroups()
        theirs = StreamGrant(frozenset(), KEY, user_id=2)
        fill(group, [Stream(theirs) for _ in range(MAX_STREAMS_PER_KEY)])
        own = Stream(StreamGrant(frozenset(), KEY, user_id=1))
        await group.wait_for_room(own.grant)
        fill(group, [own])
        assert len(group.of(KEY)) == MAX_STREAMS_PER_KEY + 1
        group.remove(own)
        assert own.connection_id not in group.of(KEY)
        with pytest.raises(TooManyStreams):
            await group.wait_for_room(theirs)

    asyncio.run(check())


def test_a_stream_that_is_written_to_all_the_time_is_not_taken_for_dead():
    class Busy(Stream):
        """Its last event is always on its way."""

        def probe(self):
            super().probe()
            asyncio.get_running_loop().call_soon(self.write_event)

        def write_event(self):
            self.size += 10

        def unacknowledged(self):
            return 10

    async def check():
        group = StreamGroups()
        streams = fill(group, [Busy(WATCHING) for _ in range(MOST)])
        with pytest.raises(TooManyStreams):
            await group.wait_for_room(WATCHING)
        assert all(stream.is_open for stream in streams)

    asyncio.run(check())


def test_streams_of_workstations_are_not_counted_for_their_user():
    async def check():
        group = StreamGroups()
        fill(group, [Stream(StreamGrant(frozenset(), uuid.uuid4(), user_id=1)) for _ in range(20)])
        fill(group, [Stream(WATCHING) for _ in range(MOST)])
        await group.wait_for_room(StreamGrant(frozenset(), KEY, user_id=1))
        await group.wait_for_room(StreamGrant(frozenset(), None, user_id=2))

    asyncio.run(check())


def test_open_siblings_are_asked_once_and_only_newcomers_that_fit_get_in():
    async def check():
        group = StreamGroups()
        streams = fill(group, [Stream(WATCHING, is_there=n > 1) for n in range(MOST)])

        async def come():
            await group.wait_for_room(WATCHING)
            group.add(Stream(WATCHING))

        came = await asyncio.gather(*(come() for _ in range(50)), return_exceptions=True)
        assert [stream.asked for stream in streams] == [1] * MOST
        # Two peers did not answer, so two of the new ones have a place.
        assert came.count(None) == 2
        assert sum(isinstance(one, TooManyStreams) for one in came) == 48

    asyncio.run(check())


def test_where_all_leave_before_they_are_asked_there_is_room():
    async def check():
        group = StreamGroups()
        streams = fill(group, [Stream(WATCHING) for _ in range(MOST)])
        coming = asyncio.create_task(group.wait_for_room(WATCHING))
        # It is about to ask them.
        await asyncio.sleep(0)
        for stream in streams:
            group.remove(stream)
        await coming

    asyncio.run(check())
