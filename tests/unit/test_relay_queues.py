"""What waits in the queues of a process is bounded in bytes; what is dropped from them is read from the log."""

import asyncio
from types import SimpleNamespace

import pytest
from django_eventstream.views import get_listener_manager

from events_app.log import relay
from events_app.log.notification import Appended
from events_app.log.relay import RelayedEvent, StreamListener


@pytest.fixture
def listener_of():
    """Make a listener of some channels, whose client reads nothing."""
    made = []

    def make(*channels):
        listener = StreamListener(lambda event: False, lambda: None)
        listener.channels = {relay.listening_name(channel) for channel in channels}
        get_listener_manager().add_listener(listener)
        made.append(listener)
        return listener

    yield make
    for listener in made:
        get_listener_manager().remove_listener(listener)


def deliver(number, channel):
    relay.deliver(Appended(number, [channel], (), "edit.test", "x" * 500), relay.Reach())


def test_queues_are_emptied_when_they_have_so_many_bytes(listener_of, monkeypatch):
    monkeypatch.setattr(relay, "QUEUED_BYTES", 10_000)
    most = 0

    async def run():
        nonlocal most
        channels = [str(number) for number in range(50)]
        many, one = listener_of(*channels), listener_of("1")
        for number in range(200):
            deliver(number, str(number % 50))
            most = max(most, RelayedEvent.queued)
        return many, one

    before = RelayedEvent.queued
    many, one = asyncio.run(run())
    assert many.overflow
    assert one.overflow
    assert most <= before + 10_000
    many.channel_items, one.channel_items = {}, {}
    assert RelayedEvent.queued == before


def test_a_listener_that_reads_in_time_loses_nothing(listener_of, monkeypatch):
    monkeypatch.setattr(relay, "QUEUED_BYTES", 10_000)

    async def run():
        listener = listener_of("a")
        for number in range(200):
            deliver(number, "a")
            assert [event.id for some in listener.channel_items.values() for event in some] == [
                number
            ]
            listener.channel_items = {}
        return listener.overflow

    assert not asyncio.run(run())


def test_other_tasks_have_a_turn_after_some_milliseconds_of_events_and_not_after_each(monkeypatch):
    """A turn costs the loop up to a switch of the interpreter for each thread that computes."""
    now, turns = 0.0, 0

    def slowly(*_):
        nonlocal now
        now += relay.DELIVERING_SECONDS / 10

    async def others():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def run():
        task = asyncio.create_task(others())
        one = relay.Relay(on_gap=lambda: None)
        one._next.extend(Appended(number, (), (), "edit.test", "{}") for number in range(1000))
        await one._deliver_all()
        task.cancel()

    monkeypatch.setattr(relay, "deliver", slowly)
    monkeypatch.setattr(relay, "time", SimpleNamespace(monotonic=lambda: now))
    asyncio.run(run())
    assert turns == pytest.approx(100, abs=2)


def test_shared_channels_reach_who_follows_them_in_this_turn(listener_of):
    """A stream that has come since the turn before gets the event; each stream gets it once."""
    shared, reach = ["a", "b"], relay.Reach()

    def reached(*own):
        event_id = len(counted) + 1
        counted.append(event_id)
        relay.deliver(Appended(event_id, own, shared, "edit.test", "{}"), reach)
        return [
            name
            for name, listener in listeners.items()
            if event_id in [event.id for some in listener.channel_items.values() for event in some]
        ]

    counted = []
    listeners = {"first": listener_of("a", "b", "c"), "other": listener_of("d")}
    assert reached("c") == ["first"]
    assert sum(map(len, listeners["first"].channel_items.values())) == 1
    listeners["second"] = listener_of("b")
    reach.begin_turn()
    assert reached() == ["first", "second"]
    assert reached("d") == ["first", "other", "second"]
