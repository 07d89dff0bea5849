"""How many departures one transaction writes, and that one which cannot be written keeps nobody else from leaving."""

import asyncio
import time
import uuid

import pytest
from django.db import OperationalError

from events_app import presence, presence_store, presence_writer, timings
from events_app.presence_domain import StreamGrant
from events_app.presence_store import Arrived, NotRegistered


class Stream:
    """An open stream, as far as presence knows it."""

    def __init__(self, key):
        self.connection_id, self.opened = uuid.uuid4(), time.monotonic()
        self.grant = StreamGrant(frozenset(), key, user_id=1)
        self.closed = asyncio.Event()
        self.reason = None

    def close(self, reason, *, departed=False):
        self.reason = reason
        self.closed.set()


def arrived(them, displaced=()):
    return Arrived({one.key for one in them}, set(displaced))


@pytest.fixture
def writes(monkeypatch):
    """The sets of keys that were written, those that never can be, and how many were written before each failure."""
    written, doomed, failures = [], set(), []

    def depart(process, departures):
        keys = {departure.key for departure in departures}
        if keys & doomed:
            failures.append(len(written))
            raise OperationalError("given up")
        written.append(keys)

    monkeypatch.setattr(presence_store, "depart", depart)
    monkeypatch.setattr(presence_store, "arrive", lambda process, them: arrived(them))
    monkeypatch.setattr(presence_store, "snapshot", lambda keys: None)
    monkeypatch.setattr(presence_writer, "backoff", lambda attempt: 0)
    return written, doomed, failures


def leave_together(keys, until):
    """Have a stream of each key open, and all of them end at once."""

    async def run():
        here = presence.Presence(timings.configured())
        writing = asyncio.create_task(here.write_loop())
        streams = [Stream(key) for key in keys]
        await asyncio.gather(*(here.arrive(stream) for stream in streams))
        for stream in streams:
            here.leave(stream, by_client=True)
        async with asyncio.timeout(20):
            while not until():
                assert not writing.done(), writing.result()
                await asyncio.sleep(0.001)
        writing.cancel()

    asyncio.run(run())


def test_so_many_keys_are_written_at_once(monkeypatch, writes):
    monkeypatch.setattr(presence_writer, "MAX_KEYS_AT_ONCE", 4)
    written, _, _ = writes
    keys = [uuid.uuid4() for _ in range(10)]
    # Both streams of one client are written together.
    leave_together([*keys, keys[0]], lambda: sum(map(len, written)) == 10)
    assert [len(some) for some in written] == [4, 4, 2]


@pytest.mark.parametrize("place", [0, 5, 9])
def test_one_that_cannot_be_written_keeps_nobody_else_from_leaving(writes, place):
    written, doomed, failures = writes
    keys = [uuid.uuid4() for _ in range(10)]
    doomed.add(keys[place])
    leave_together(keys, lambda: sum(map(len, written)) == 9)
    assert set().union(*written) == set(keys) - doomed
    # All of them together, then one after the other, it among them: no more while others waited.
    assert len([before for before in failures if before < len(written)]) <= 2


def test_who_has_lost_its_identity_is_closed_although_a_departure_found_it_out(monkeypatch, writes):
    """The process was taken for dead, and another machine came in between."""
    left, stays = uuid.uuid4(), uuid.uuid4()

    async def run():
        here = presence.Presence(timings.configured())
        streams = [Stream(left), Stream(stays)]
        depart = presence_store.depart
        registered = []

        def depart_at_second(process, departures):
            if not registered:
                raise NotRegistered
            depart(process, departures)

        def register(process, them):
            registered.extend(them)
            return arrived(them, [streams[1].connection_id])

        monkeypatch.setattr(presence_store, "depart", depart_at_second)
        monkeypatch.setattr(presence_store, "register", register)
        monkeypatch.setattr(presence_store, "beat", lambda process, server_dead: None)
        writing = asyncio.create_task(here.write_loop())
        await asyncio.gather(*(here.arrive(stream) for stream in streams))
        here.leave(streams[0], by_client=True)
        async with asyncio.timeout(20):
            await streams[1].closed.wait()
        writing.cancel()
        return len(registered), streams[1].reason

    assert asyncio.run(run()) == (2, "another machine has its identity")
