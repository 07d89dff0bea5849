"""A process that was taken for dead, or whose database's clock went back, writes its open streams again."""

import asyncio

import pytest

from events_app.presence import server_processes
from events_app.presence.server_processes import NotRegistered
from tests.unit.written_presence import Here, database_that_is_tried_again_at_once, keys_of, sizes


@pytest.fixture
def database(monkeypatch):
    return database_that_is_tried_again_at_once(monkeypatch)


def test_a_process_that_was_taken_for_dead_registers_its_streams_in_sets(monkeypatch, database):
    monkeypatch.setattr(server_processes, "KEYS_AT_ONCE", 4)
    ready, told = [], []

    async def run():
        async with Here() as here:
            streams = await here.open(keys_of(10))
            by_key = {stream.grant.key: stream for stream in streams}
            database.arrivals.clear()
            database.rows.clear()

            def before(what):
                ready.append(here.presence.ready)
                if what == "register":
                    return  # without a row no heartbeat is committed
                known = {
                    one.connection_id
                    for one in here.presence._writer.registered(here.presence.streams.values())
                }
                told.append(
                    known <= {by_key[k].connection_id for s in database.arrivals for k in s}
                )

            database.before = before
            here.presence._writer.register_again()
            # It departs before it is registered again: both are written, in this order.
            here.presence.leave(streams[7], by_client=True)
            await here.until(lambda: here.presence.ready and database.departures)

    asyncio.run(run())
    assert sizes(database.arrivals) == [4, 4, 2]
    assert len(database.departures) == 1
    assert len(database.streams) == 9
    assert not any(ready[:4])
    # A heartbeat is told to nobody who is not registered.
    assert all(told)


@pytest.mark.parametrize("at", range(1, 5))
def test_a_process_given_up_while_it_registers_registers_again(monkeypatch, database, at):
    """Nobody is lost, wherever it is taken for dead again."""
    monkeypatch.setattr(server_processes, "KEYS_AT_ONCE", 3)

    async def run():
        async with Here() as here:
            streams = await here.open(keys_of(10))
            database.rows.clear()
            calls = []

            def before(what):
                calls.append(what)
                if len(calls) == at:
                    database.rows.clear()
                    raise NotRegistered

            database.before = before
            here.presence._writer.register_again()
            await here.until(lambda: here.presence.ready)
            (process,) = database.rows
            # Each of them is this process', as it is registered now.
            assert {database.streams[one.connection_id] for one in streams} == {process}
            assert len(here.presence._writer.registered(here.presence.streams.values())) == 10

    asyncio.run(run())


def test_a_stream_that_cannot_register_again_leaves_the_process_ready(database):
    async def run():
        async with Here() as here:
            streams = await here.open(keys_of(10))
            database.doomed.add(streams[3].grant.key)
            database.rows.clear()
            here.presence._writer.register_again()
            await here.until(lambda: here.presence.ready)
            assert len(here.presence._writer.registered(here.presence.streams.values())) == 9
            database.doomed.clear()
            await here.until(
                lambda: len(here.presence._writer.registered(here.presence.streams.values())) == 10
            )

    asyncio.run(run())


def test_streams_are_dated_anew_in_sets_and_go_on_being_registered(monkeypatch, database):
    monkeypatch.setattr(server_processes, "KEYS_AT_ONCE", 4)

    async def run():
        async with Here() as here:
            streams = await here.open(keys_of(10))
            database.arrivals.clear()
            writer = here.presence._writer
            database.before = lambda what: registered.append(len(writer.registered(streams)))
            registered = []
            writer.reset_opened_at()
            await here.until(lambda: sum(sizes(database.arrivals)) == 10)
            assert here.presence.ready
            return registered

    assert asyncio.run(run()) == [10, 10, 10]
    assert sizes(database.arrivals) == [4, 4, 2]


def test_a_failed_departure_waits_until_its_stream_is_registered_again(monkeypatch, database):
    """Else the row that is written after it would stand for the client for as long as the process lives."""

    async def run():
        async with Here() as here:
            streams = await here.open(keys_of(6))
            database.doomed.update((streams[-1].grant.key, streams[-2].grant.key))
            for stream in streams[-2:]:
                here.presence.leave(stream, by_client=True)
            await here.until(lambda: len(database.failures) > 2)
            monkeypatch.setattr(server_processes, "KEYS_AT_ONCE", 1)
            # It is taken for dead, and cleaned up.
            database.rows.clear()
            database.streams.clear()
            database.doomed.clear()
            here.presence._writer.register_again()
            await here.until(lambda: here.presence.ready and len(database.departures) == 2)
            return [one.connection_id for one in streams[:-2]]

    assert asyncio.run(run()) == list(database.streams)


def test_a_stream_that_departs_is_not_dated_anew(database):
    async def run():
        async with Here() as here:
            (stream,) = await here.open(keys_of(1))
            loop = asyncio.get_running_loop()

            def before(what):
                if what == "depart":
                    # The clock goes back while the departure is being written.
                    asyncio.run_coroutine_threadsafe(reset_opened_at(), loop).result(5)

            async def reset_opened_at():
                here.presence._writer.reset_opened_at()

            database.before = before
            here.presence.leave(stream, by_client=True)
            await here.until(lambda: database.departures)
            # What is written after it has come after it.
            await here.open(keys_of(1))

    asyncio.run(run())
    assert len(database.streams) == 1


def test_a_stream_is_closed_when_its_departure_finds_the_identity_lost(database):
    """The process was taken for dead, and another machine came in between."""

    async def run():
        async with Here() as here:
            left, stays = await here.open(keys_of(2))
            database.rows.clear()
            database.displaced.add(stays.connection_id)
            here.presence.leave(left, by_client=True)
            await here.until(lambda: not stays.is_open)
            return stays.reason

    assert asyncio.run(run()) == "another machine has its identity"
