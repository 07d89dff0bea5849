"""A stream takes the place of its request, whichever way that came: the same bytes, and nothing else is kept."""

import asyncio
import gc

import pytest

from events_app.http import peers, twisted_channel
from events_app.http.lane_request import LaneRequest
from events_app.http.request import LimitedRequest
from events_app.http.stream_answer import LEAVING, TAKE_OVER
from events_app.http.twisted_channel import FIRST_ASK_SECONDS, HALF_CLOSED
from events_app.serving.stream_text import HEADERS
from tests.unit.lane_channels import Connection, run

EVENTS = b"GET /api/events?all=true HTTP/1.1\r\nHost: a\r\n\r\n"
BODY = b"\r\n\r\n9\r\ndata: 1\n\n\r\n"

ways = pytest.mark.parametrize("with_lane", [True, False], ids=["lane", "Twisted"])


class Opening:
    """An application that begins a stream when it is told to."""

    def __init__(self, first=b"data: 1\n\n"):
        self.first = first
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.answers = []
        self.left = 0

    def client_left(self):
        self.left += 1

    async def __call__(self, scope, receive, send):
        await send({"type": LEAVING, "call": self.client_left})
        await self.goes_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        question = {"type": TAKE_OVER, "call": self.client_left}
        await send(question)
        if answer := question.get("answer"):
            self.answers.append(answer)
            answer.write(self.first)


def requests_alive():
    gc.collect()
    found = (one for one in gc.get_objects() if isinstance(one, LaneRequest | LimitedRequest))
    return {id(one): one for one in found}


@ways
def test_a_stream_keeps_nothing_of_its_request_and_its_connection_goes_on_afterwards(with_lane):
    async def scene():
        # An earlier test may have left some of its own, in the traceback of a failure, say.
        before = requests_alive()
        opening = Opening()
        here = await Connection(with_lane, opening).send([EVENTS])
        if not with_lane:
            # As soon as Daphne has looked.
            here.server.connections.clear()
        assert (here.server.connections, requests_alive().keys() - before.keys()) == ({}, set())
        head, _, _ = here.answers.partition(b"\r\n\r\n")
        assert here.answers == head + BODY
        (answer,) = opening.answers
        answer.end()
        answer.end()
        answer.write(b"data: 2\n\n")
        assert here.answers == head + BODY + b"0\r\n\r\n"
        await here.send([EVENTS])
        assert here.answers == (head + BODY + b"0\r\n\r\n") + head + BODY
        assert opening.left == 0
        return here.answers

    run(scene)


def test_both_ways_send_the_same():
    async def scene():
        sent = [(await Connection(way, Opening()).send([EVENTS])).answers for way in (True, False)]
        one, other = [sorted(answer.split(b"\r\n")) for answer in sent]
        assert one == other
        old = await Connection(False, Opening()).send([EVENTS.replace(b"1.1", b"1.0")])
        assert old.answers.endswith(b"\r\n\r\ndata: 1\n\n")

    run(scene)


@ways
def test_a_client_that_leaves_is_told_of_once(with_lane):
    async def scene():
        opening = Opening()
        here = await Connection(with_lane, opening).send([EVENTS])
        here.channel.connectionLost(None)
        assert opening.left == 1
        (answer,) = opening.answers
        answer.write(b"data: 2\n\n")
        answer.end()
        assert answer.unacknowledged() == 0
        assert b"data: 2" not in here.answers

    run(scene)


@ways
def test_a_client_that_leaves_while_its_stream_opens_gets_none(with_lane):
    async def scene():
        opening = Opening()
        opening.goes_on.clear()
        here = await Connection(with_lane, opening).send([EVENTS])
        here.channel.connectionLost(None)
        assert opening.left == 1
        opening.goes_on.set()
        await here.send([])
        assert (opening.answers, opening.left, here.answers) == ([], 1, b"")

    run(scene)


@ways
def test_a_client_that_ends_its_side_while_its_stream_opens_is_asked_when_it_is_open(
    with_lane, monkeypatch
):
    # It has a kernel that acknowledges everything.
    monkeypatch.setattr(peers, "failed", lambda transport: False)
    monkeypatch.setattr(peers, "unacknowledged", lambda transport: 0)

    async def scene():
        opening = Opening()
        opening.goes_on.clear()
        here = await Connection(with_lane, opening).send([EVENTS])
        here.channel.readConnectionLost()
        assert HALF_CLOSED not in here.answers
        opening.goes_on.set()
        await here.send([])
        # A proxy may have acknowledged in its place: it is asked again.
        for asked in (1, 2, 3):
            assert here.answers.count(HALF_CLOSED) == asked
            twisted_channel.reactor.advance(FIRST_ASK_SECONDS * asked)

    run(scene)


@ways
def test_a_client_that_ends_its_side_before_the_first_event_is_asked_once_at_a_time(
    with_lane, monkeypatch
):
    monkeypatch.setattr(peers, "failed", lambda transport: False)
    monkeypatch.setattr(peers, "unacknowledged", lambda transport: 0)

    async def scene():
        opening = Opening(first=b"")
        here = await Connection(with_lane, opening).send([EVENTS])
        here.channel.readConnectionLost()
        assert here.answers.count(HALF_CLOSED) == 1
        opening.answers[0].write(b"data: 1\n\n")
        assert here.answers.count(HALF_CLOSED) == 1
        twisted_channel.reactor.advance(FIRST_ASK_SECONDS)
        assert here.answers.count(HALF_CLOSED) == 2

    run(scene)


@ways
def test_a_client_that_is_found_to_be_gone_is_asked_no_more(with_lane, monkeypatch):
    async def scene():
        opening = Opening()
        here = await Connection(with_lane, opening).send([EVENTS])
        # The kernel of a client on the same machine has answered before the write returns.
        monkeypatch.setattr(peers, "failed", lambda transport: True)

        def lost(reason):
            here.transport.connected = False
            here.channel.connectionLost(reason)

        monkeypatch.setattr(here.transport, "connectionLost", lost, raising=False)
        here.channel.readConnectionLost()
        assert opening.left == 1
        assert twisted_channel.reactor.getDelayedCalls() == []

    run(scene)


@ways
def test_a_client_that_does_not_read_is_waited_for(with_lane):
    async def scene():
        opening = Opening()
        here = await Connection(with_lane, opening).send([EVENTS])
        (answer,) = opening.answers
        here.channel.pauseProducing()
        assert not answer.has_room
        waiting = asyncio.ensure_future(answer.wait_for_room())
        await here.send([])
        assert not waiting.done()
        here.channel.resumeProducing()
        await waiting
        assert answer.has_room
        here.channel.pauseProducing()
        waiting = asyncio.ensure_future(answer.wait_for_room())
        await here.send([])
        here.channel.connectionLost(None)
        await waiting

    run(scene)


@ways
def test_a_stop_of_the_server_closes_the_connection_after_the_stream(with_lane):
    async def scene():
        opening = Opening()
        here = await Connection(with_lane, opening).send([EVENTS])
        here.server.draining = True
        opening.answers[0].end()
        assert here.transport.disconnecting
        assert here.answers.endswith(b"0\r\n\r\n")

    run(scene)
