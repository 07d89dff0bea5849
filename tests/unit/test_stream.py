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
from events_app.serving import stream
from events_app.serving.stream import Stream
from events_app.serving.stream_text import HEARTBEAT


@pytest.fixture
def granted(monkeypatch):
    """What the domain grants."""
    grant = StreamGrant(frozenset({"user"}), key := uuid.uuid4(), user_id=1, shown=key)

    async def at_once(request):
        return grant

    monkeypatch.setattr(stream, "_admission", SimpleNamespace(grant=at_once))
    return grant


async def send(message):
    """A connection that takes everything."""


def opened():
    return Stream(send, timings.configured(), lambda: time.monotonic(), lambda _: None)


async def leave(one, process, writing):
    """As the application does."""
    one.close("the client left", departed=True)
    one.forget(process)
    writing.cancel()
    await asyncio.wait({writing})


def listeners():
    return list(get_listener_manager().listeners_by_channel)


def test_a_client_that_leaves_as_it_is_admitted_leaves_no_stream(granted):
    async def main():
        turn = asyncio.Event()
        presence = Presence(timings.configured())
        process = SimpleNamespace(relay=SimpleNamespace(started=turn.wait), presence=presence)
        one = opened()
        request = SimpleNamespace(http=SimpleNamespace(method="GET"))
        writing = asyncio.create_task(one.serve(request, process))
        await asyncio.sleep(0.01)
        turn.set()
        await leave(one, process, writing)
        return presence.streams, list(presence._writer._arrivals.not_failing_alone)

    assert asyncio.run(main()) == ({}, [])
    assert listeners() == []


def test_a_client_that_leaves_during_proof_of_siblings_leaves_no_stream(granted, monkeypatch):
    async def main():
        turn = asyncio.Event()

        async def proved(seconds):
            await turn.wait()

        presence = Presence(timings.configured())
        others = [opened() for _ in range(MAX_STREAMS_PER_KEY)]
        for other in others:
            other.grant = granted
            presence._groups.add(other)
        relay = SimpleNamespace(started=asyncio.Event().wait)
        process = SimpleNamespace(relay=relay, presence=presence)
        one = opened()
        one.grant = granted
        monkeypatch.setattr(
            stream_limits, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": proved})
        )
        arriving = asyncio.create_task(presence.arrive(one))
        await asyncio.sleep(0.01)
        others[0].close("it has left")
        turn.set()
        one.close("the client left", departed=True)
        one.forget(process)
        # The task which waits for this one is cancelled, and cancels it a moment later.
        await asyncio.sleep(0.01)
        arriving.cancel()
        await asyncio.wait({arriving})
        return presence.streams

    assert asyncio.run(main()) == {}


def test_the_acknowledgement_deadline_begins_when_the_heartbeat_is_due(granted):
    async def main():
        room, sent, begun = asyncio.Event(), [], []

        async def send_when_there_is_room(message):
            sent.append(message["body"])
            await room.wait()

        one = Stream(
            send_when_there_is_room, timings.configured(), lambda: time.monotonic(), begun.append
        )
        one.grant = granted
        room.set()
        one.heartbeat()
        assert begun == []
        # Whatever is written next brings it.
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
