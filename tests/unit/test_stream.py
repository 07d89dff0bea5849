"""A stream whose client leaves while it begins."""

import asyncio
import time
import uuid
from types import SimpleNamespace

import pytest
from django_eventstream.views import get_listener_manager

from events_app import timings
from events_app.presence import stream_limits
from events_app.presence.backend import StreamGrant
from events_app.presence.process import Presence
from events_app.presence.stream_limits import MAX_STREAMS_PER_KEY
from events_app.serving import openings
from events_app.serving.openings import Opening
from events_app.serving.stream import Stream
from events_app.serving.stream_text import HEARTBEAT


@pytest.fixture
def granted(monkeypatch):
    """What the domain grants."""
    grant = StreamGrant(frozenset({"user"}), key := uuid.uuid4(), user_id=1, shown=key)

    async def at_once(request):
        return grant

    monkeypatch.setattr(openings, "_admission", SimpleNamespace(grant=at_once))
    return grant


async def send(message):
    """A connection that takes everything."""


def opened(process):
    return Stream(timings.configured(), process)


def request():
    return SimpleNamespace(scope={"method": "GET"})


def listeners():
    return list(get_listener_manager().listeners_by_channel)


def test_a_client_that_leaves_as_it_is_admitted_leaves_no_stream(granted):
    async def main():
        turn = asyncio.Event()
        presence = Presence(timings.configured())
        process = SimpleNamespace(relay=SimpleNamespace(started=turn.wait), presence=presence)
        one = Opening(send, process)
        opening = asyncio.create_task(one.run(request()))
        await asyncio.sleep(0.01)
        turn.set()
        one.stream.client_left()
        await opening
        return presence.streams, list(presence._writer._arrivals.not_failing_alone)

    assert asyncio.run(main()) == ({}, [])
    assert listeners() == []


def test_a_client_that_leaves_during_proof_of_siblings_leaves_no_stream(granted, monkeypatch):
    async def main():
        turn = asyncio.Event()

        async def proved(seconds):
            await turn.wait()

        presence = Presence(timings.configured())
        relay = SimpleNamespace(started=asyncio.Event().wait)
        process = SimpleNamespace(relay=relay, presence=presence)
        others = [opened(process) for _ in range(MAX_STREAMS_PER_KEY)]
        for other in others:
            other.grant = granted
            presence._groups.add(other)
        one = opened(process)
        one.grant = granted
        monkeypatch.setattr(
            stream_limits, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": proved})
        )
        arriving = asyncio.create_task(presence.arrive(one))
        await asyncio.sleep(0.01)
        others[0].close("it has left")
        turn.set()
        one.client_left()
        # The task which waits for this one is cancelled, and cancels it a moment later.
        await asyncio.sleep(0.01)
        arriving.cancel()
        await asyncio.wait({arriving})
        return presence.streams

    assert asyncio.run(main()) == {}


def test_the_acknowledgement_deadline_begins_when_the_heartbeat_is_due(granted):
    async def main():
        sent, begun = [], []
        presence = SimpleNamespace(
            observed=SimpleNamespace(proved=time.monotonic()), heartbeat_written=begun.append
        )
        one = opened(SimpleNamespace(presence=presence))
        one.grant = granted
        one.heartbeat()
        assert begun == []
        # Whatever is written next brings it.
        room = asyncio.Event()
        room.set()
        answer = SimpleNamespace(has_room=True, write=sent.append, wait_for_room=room.wait)
        one._writer.answer = answer
        await one._writer.write(b"data: {}\n\n")
        assert sent.pop().startswith(b"data: {}\n\n" + HEARTBEAT)
        assert begun == [one.connection_id]
        # A client that does not read what came before keeps the next one back, and its own time runs.
        room.clear()
        writing = asyncio.create_task(one._writer.write(b"data: {}\n\n"))
        await asyncio.sleep(0)
        one.heartbeat()
        assert HEARTBEAT not in sent.pop()
        assert begun == [one.connection_id] * 2
        room.set()
        await writing

    asyncio.run(main())
