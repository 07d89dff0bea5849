"""A connection on which half a request came, and then nothing."""

import json
from io import BytesIO
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.web import http

from events_app.http import refusals, twisted_channel
from events_app.http.connection_clock import (
    BYTES_PER_SECOND,
    HEAD_SECONDS,
    IDLE_SECONDS,
    TRANSFER_SECONDS,
    Phase,
)
from events_app.http.twisted_channel import QUIET_SECONDS, Channel
from tests.unit.transport import Transport


class Request(http.Request):
    """One whose body is small."""

    has_place = False
    is_event_stream = False

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()

    @property
    def received(self) -> int:
        return self.content.tell()

    def body_part_arrived(self) -> None:
        pass

    def give_up(self) -> None:
        pass


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> Clock:
    """The time of connections, which passes when the test says so."""
    clock = Clock()
    monkeypatch.setattr(twisted_channel, "reactor", clock)
    return clock


def connected(transport: Transport | None = None) -> tuple[Channel, Transport]:
    channel, transport = Channel(), transport or Transport()
    channel.timeOut = None
    channel.requestFactory = Request
    channel.makeConnection(transport)
    return channel, transport


def after_silence(received: bytes) -> Transport:
    """Return the transport of a connection that received so much when its time was over."""
    channel, transport = connected()
    channel.dataReceived(received)
    channel.timeoutConnection()
    return transport


@pytest.mark.parametrize(
    "received",
    [
        b"GET /api",
        b"GET /api/items HTTP/1.1\r\n",
        b"GET /api/items HTTP/1.1\r\nHost: a\r\n",
        b"POST /api/items HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{",
    ],
)
def test_half_a_request_is_answered_when_its_time_is_over(received, clock):
    transport = after_silence(received)
    clock.advance(QUIET_SECONDS)
    head, _, body = transport.value().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert json.loads(body)["error"] == "request_timeout"
    assert transport.ended
    assert not transport.disconnecting, "what still comes is read for a while"


def test_a_connection_without_any_is_only_closed():
    transport = after_silence(b"")
    assert transport.value() == b""
    assert transport.disconnecting


def test_a_refused_connection_is_answered_once(clock):
    channel, transport = connected()
    for _ in range(3):
        channel.dataReceived(b"nonsense\r\n" * 1000)
    assert transport.value().count(b"HTTP/1.1") == 1


def test_a_refused_connection_is_ended_once_the_client_has_stopped_sending(clock):
    channel, transport = connected()
    channel.dataReceived(b"nonsense\r\n")
    for _ in range(3):
        channel.dataReceived(b"more")
        clock.advance(QUIET_SECONDS)
        assert not transport.ended
    clock.advance(QUIET_SECONDS)
    assert transport.ended


@pytest.mark.parametrize("received", [b"nonsense\r\n", b"GET /api"])
def test_unsent_bytes_reach_a_client_that_has_ended_its_side(received, clock):
    channel, transport = connected()
    channel.dataReceived(received)
    channel.readConnectionLost()
    assert transport.disconnecting, "as soon as all is sent"


def status(transport: Transport) -> bytes:
    """The status of the only answer, or b""."""
    return transport.value()[9:12]


def test_a_head_that_drips_has_its_time_from_its_first_byte(clock):
    channel, transport = connected()
    clock.advance(IDLE_SECONDS - 1)
    for byte in b"GET /api/items?search="[:20]:
        assert status(transport) == b""
        channel.dataReceived(bytes([byte]))
        clock.advance(HEAD_SECONDS / 20)
    assert status(transport) == b"408"


def body(channel: Channel, length: int = 65_536) -> None:
    """Receive the head of a request with a body."""
    channel.dataReceived(
        b"POST /api/items HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length
    )


def test_a_body_that_drips_has_its_time_from_its_head(clock):
    channel, transport = connected()
    body(channel)
    for _ in range(int(TRANSFER_SECONDS) - 1):
        clock.advance(1)
        channel.dataReceived(b"x")
        assert status(transport) == b""
    clock.advance(1.1)
    assert status(transport) == b"408"


def test_a_body_that_comes_as_fast_as_it_must_is_read(clock):
    channel, transport = connected()
    body(channel, 10_000_000)
    for _ in range(100):
        clock.advance(1)
        channel.dataReceived(b"x" * BYTES_PER_SECOND)
    assert status(transport) == b""
    clock.advance(TRANSFER_SECONDS + 1)
    assert status(transport) == b"408"


def test_time_in_which_the_server_does_not_read_is_not_the_clients(clock):
    channel, transport = connected()
    body(channel)
    channel.pause_body()
    assert transport.producerState == "paused"
    channel.dataReceived(b"x" * 100)
    clock.advance(1000)
    assert channel.requests[0].received == 0
    channel.resume_body()
    assert transport.producerState == "producing"
    assert channel.requests[0].received == 100
    clock.advance(TRANSFER_SECONDS - 1)
    assert status(transport) == b""
    clock.advance(2)
    assert status(transport) == b"408"


def test_a_paused_body_stays_paused_when_the_client_reads_an_answer(clock):
    channel, transport = connected()
    body(channel)
    channel.pause_body()
    channel.pauseProducing()
    channel.resumeProducing()
    assert transport.producerState == "paused"


def test_a_client_that_waits_for_100_gets_it_once_its_body_may_be_read(clock):
    channel, transport = connected()
    channel.requestFactory = HeldRequest
    channel.dataReceived(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    )
    assert transport.value() == b""
    channel.resume_body()
    assert status(transport) == b"100"


def test_or_the_refusal_only(clock):
    channel, transport = connected()
    channel.requestFactory = HeldRequest
    channel.dataReceived(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    )
    channel.refuse(refusals.NO_ROOM)
    channel.resume_body()
    assert status(transport) == b"503"
    assert b"\r\nRetry-After: " in transport.value()
    assert transport.value().count(b"HTTP/1.1") == 1
    assert transport.producerState == "producing", "what still comes is dropped"


class HeldRequest(Request):
    """One whose body is held as soon as its head is there."""

    def gotLength(self, length: int | None) -> None:
        super().gotLength(length)
        self.channel.pause_body()


def test_a_client_that_does_not_read_its_answer_is_cut_off(clock):
    channel, transport = connected()
    transport.dataBuffer = b"x" * 10 * BYTES_PER_SECOND
    channel.resumeProducing()
    for _ in range(5):
        # As slowly as it may.
        clock.advance(1)
        transport.dataBuffer = transport.dataBuffer[BYTES_PER_SECOND:]
    clock.advance(TRANSFER_SECONDS - 1)
    assert not transport.aborted
    clock.advance(2)
    assert transport.aborted


class CompleteRequest(Request):
    """One that is answered as a whole, at once."""

    def process(self) -> None:
        self.setHeader(b"Content-Length", b"0")
        self.finish()


class Buffering(Transport):
    """Sends what is written in the next turn of the loop, as Twisted's do."""

    def write(self, data: bytes) -> None:
        self._tempDataLen += len(data)

    def writeSequence(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def send(self) -> None:
        self._tempDataLen = 0
        if self.producerPaused:
            self.producerPaused = False
            self.producer.resumeProducing()


def test_a_connection_is_idle_from_when_its_answer_is_sent(clock):
    channel, transport = connected(Buffering())
    channel.requestFactory = CompleteRequest
    channel.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert channel._phase is Phase.SENDING
    clock.advance(TRANSFER_SECONDS - 1)
    transport.send()
    clock.advance(IDLE_SECONDS - 1)
    assert not transport.disconnecting
    clock.advance(2)
    assert transport.disconnecting


class AnsweredRequest(Request):
    """One whose answer has begun and goes on."""

    def process(self) -> None:
        self.write(b"one line")


@pytest.mark.parametrize("is_event_stream", [False, True])
def test_a_client_that_does_not_read_on_is_cut_off_but_for_streams(
    clock, is_event_stream, monkeypatch
):
    monkeypatch.setattr(AnsweredRequest, "is_event_stream", is_event_stream)
    channel, transport = connected()
    channel.requestFactory = AnsweredRequest
    channel.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    clock.advance(1000)
    assert not transport.aborted, "it has read all that there is"
    transport.dataBuffer = b"x" * 10
    channel.pauseProducing()
    clock.advance(TRANSFER_SECONDS + 1)
    assert transport.aborted is not is_event_stream


@pytest.mark.parametrize("reads", [False, True])
def test_what_a_client_sends_behind_a_stream_is_bounded_whether_it_reads_or_not(reads):
    channel, transport = connected()
    channel.requestFactory = AnsweredRequest
    channel.dataReceived(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    if not reads:
        channel.pauseProducing()
    channel.dataReceived(b"x" * channel._optimisticEagerReadSize)
    assert transport.producerState == "producing"
    channel.dataReceived(b"x")
    assert transport.producerState == "paused"


def test_a_connection_for_which_there_is_no_room_is_told(clock):
    channel, transport = Channel(), Transport()
    channel.timeOut = None
    channel.turned_away = True
    channel.makeConnection(transport)
    assert status(transport) == b"503"
    clock.advance(QUIET_SECONDS)
    assert transport.ended
