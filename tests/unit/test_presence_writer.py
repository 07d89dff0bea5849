"""How much one transaction of the presence writes, and that a key that cannot be written keeps no other one waiting."""

import asyncio
import logging
import threading
import uuid
from dataclasses import replace

import psycopg
import pytest
from django.db import OperationalError

from events_app.presence import queue, server_processes, store
from events_app.presence.backend import StreamRefused
from events_app.presence.store import Snapshot
from tests.unit.written_presence import (
    Here,
    Stream,
    database_that_is_tried_again_at_once,
    keys_of,
    sizes,
)


@pytest.fixture
def database(monkeypatch):
    return database_that_is_tried_again_at_once(monkeypatch)


def leave_together(database, keys, until):
    """Have a stream of each key open, and all of them end at once."""

    async def run():
        async with Here() as here:
            streams = await here.open(keys)
            for stream in streams:
                here.presence.leave(stream, by_client=True)
            await here.until(until)

    asyncio.run(run())


def test_so_many_keys_are_written_at_once(monkeypatch, database):
    monkeypatch.setattr(server_processes, "KEYS_AT_ONCE", 4)
    keys = keys_of(10)
    # Both streams of one client are written together.
    leave_together(database, [*keys, keys[0]], lambda: sum(sizes(database.departures)) == 10)
    assert sizes(database.arrivals) == [4, 4, 2]
    assert sizes(database.departures) == [4, 4, 2]


def test_users_take_turns_where_more_wait_than_are_written_at_once(monkeypatch, database):
    monkeypatch.setattr(server_processes, "KEYS_AT_ONCE", 4)

    async def run():
        async with Here() as here:
            many = [here.opening(key) for key in keys_of(20)]
            other, arriving = here.opening(keys_of(1)[0], user_id=2)
            async with asyncio.timeout(20):
                await asyncio.gather(arriving, *(task for _, task in many))
            return other.grant.key

    late = asyncio.run(run())
    assert late in database.arrivals[0]
    assert sizes(database.arrivals) == [4, 4, 4, 4, 4, 1]


@pytest.mark.parametrize("place", [0, 5, 9])
def test_a_failing_departure_does_not_block_others(database, place):
    keys = keys_of(10)

    async def run():
        async with Here() as here:
            streams = await here.open(keys)
            database.doomed.add(keys[place])
            for stream in streams:
                here.presence.leave(stream, by_client=True)
            await here.until(lambda: sum(sizes(database.departures)) == 9)

    asyncio.run(run())
    assert set().union(*database.departures) == set(keys) - database.doomed
    # All of them together, then one after the other, it among them: no more while others waited.
    waited = [before for _, before in database.failures if before < len(database.departures)]
    assert len(waited) <= 2


@pytest.mark.parametrize("place", [0, 5, 9])
def test_a_failing_arrival_does_not_block_others_and_is_logged(database, caplog, place):
    keys = keys_of(10)
    database.doomed.add(keys[place])

    async def run():
        async with Here() as here:
            opened = [here.opening(key) for key in keys]
            others = [task for stream, task in opened if stream.grant.key not in database.doomed]
            async with asyncio.timeout(20):
                await asyncio.gather(*others)
            # Nor who comes later, while it is tried again and again.
            await here.open(keys_of(3))
            await here.until(lambda: len(database.failures) > 4)
            unwritten = dict(opened)
            assert [t.done() for s, t in unwritten.items() if s.grant.key in database.doomed] == [
                False
            ]
            # What was in the way is gone.
            database.doomed.clear()
            async with asyncio.timeout(20):
                await asyncio.gather(*unwritten.values())

    asyncio.run(run())
    named = {one.key for one in caplog.records if one.levelno == logging.ERROR}
    assert named == {keys[place]}


def test_a_stream_that_left_before_its_arrival_was_written_arrives_and_departs(database):
    key = uuid.uuid4()
    database.doomed.add(key)

    async def run():
        async with Here() as here:
            stream, arriving = here.opening(key)
            await here.until(lambda: len(database.failures) > 2)
            arriving.cancel()
            here.presence.leave(stream, by_client=True)
            await here.until(lambda: len(database.failures) > 4)
            database.doomed.clear()
            await here.until(lambda: database.departures)

    asyncio.run(run())
    assert (sizes(database.arrivals), sizes(database.departures)) == ([1], [1])
    assert database.streams == {}


def test_a_departure_does_not_wait_for_an_arrival_of_its_key_by_another_user(monkeypatch, database):
    key = uuid.uuid4()
    arrive = database.arrive

    def refuse_others(process, arrivals):
        if any(arrival.user_id == 2 for arrival in arrivals):
            raise database.error
        arrive(process, arrivals)

    async def run():
        async with Here() as here:
            [stream] = await here.open([key])
            database.error.__cause__ = psycopg.errors.LockNotAvailable()
            monkeypatch.setattr(store, "arrive", refuse_others)
            _, arriving = here.opening(key, user_id=2)
            await asyncio.sleep(0)
            here.presence.leave(stream, by_client=True)
            await here.until(lambda: database.departures)
            assert not arriving.done()
            arriving.cancel()

    asyncio.run(run())


def test_a_database_outage_splits_no_set_and_blames_no_key(database, caplog):
    keys = keys_of(50)
    database.error = OperationalError("connection failed")
    database.error.__cause__ = psycopg.OperationalError()

    async def run():
        async with Here() as here:
            database.doomed.update(keys)
            opened = [here.opening(key)[1] for key in keys]
            await here.until(lambda: len(database.failures) > 5)
            database.doomed.clear()
            async with asyncio.timeout(20):
                await asyncio.gather(*opened)

    asyncio.run(run())
    assert sizes(database.arrivals) == [50]
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]


def test_a_database_outage_delays_its_first_departure_by_its_own_length(monkeypatch, database):
    # What fails alone, by its own fault, would never get its turn again.
    monkeypatch.setattr(queue, "FAILING_SHARE", 1e-12)
    (key,) = keys_of(1)
    database.error = OperationalError("connection failed")
    database.error.__cause__ = psycopg.OperationalError()

    async def run():
        async with Here() as here:
            (stream,) = await here.open([key])
            database.doomed.add(key)
            here.presence.leave(stream, by_client=True)
            await here.until(lambda: len(database.failures) > 2)
            database.doomed.clear()
            await here.until(lambda: database.departures == [{key}])

    asyncio.run(run())


def test_a_stream_that_ends_during_a_heartbeat_gets_none(monkeypatch, database):
    async def run():
        async with Here() as here:
            stream = Stream(uuid.uuid4())
            stream.grant = replace(stream.grant, ack=True)
            await here.presence.arrive(stream)
            loop = asyncio.get_running_loop()

            async def leave():
                here.presence.leave(stream, by_client=True)
                await here.until(
                    lambda: database.departures and not here.presence._writer._registered
                )

            def touch(process, keys, acks, grants):
                asyncio.run_coroutine_threadsafe(leave(), loop).result(20)
                return store.Touched(set(acks), set())

            monkeypatch.setattr(store, "touch", touch)
            heartbeats = here.presence._heartbeats
            await heartbeats.heartbeat(stream.grant.key.int % heartbeats._slots)
            here.presence.heartbeat_written(stream.connection_id)
            return stream.heartbeats, here.presence._acknowledgements._asked

    assert asyncio.run(run()) == (0, {})


def test_an_arrival_that_is_not_written_when_the_server_stops_is_refused(monkeypatch, database):
    """But for one whose client departed before the stop: it may have been the last one of its key."""
    monkeypatch.setattr(server_processes, "KEYS_AT_ONCE", 1)

    async def run():
        async with Here() as here:
            await here.open(keys_of(1))
            reached, goes_on = threading.Event(), threading.Event()

            def before(what):
                reached.set()
                goes_on.wait(20)

            database.before = before
            written, waits, left = (here.opening(key) for key in keys_of(3))
            failing = here.opening(doomed)
            await here.until(reached.is_set)
            here.presence.leave(left[0], by_client=True)
            here.presence.stopping = True
            late = here.opening(keys_of(1)[0])
            stopping = asyncio.create_task(here.presence.stop())
            await asyncio.sleep(0)
            database.before = lambda what: None
            goes_on.set()
            await stopping
            opened = [written, waits, failing, late]
            ends = await asyncio.gather(*(task for _, task in opened), return_exceptions=True)
            return {left[0].grant.key, written[0].grant.key}, [type(one) for one in ends]

    (doomed,) = keys_of(1)
    database.doomed.add(doomed)
    expected, ends = asyncio.run(run())
    assert ends == [Snapshot, asyncio.CancelledError, asyncio.CancelledError, StreamRefused]
    assert set().union(*database.arrivals[1:]) == expected
    assert len(database.departures) == 1
