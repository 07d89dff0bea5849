"""A connection on which half a request came, and then nothing."""

import json

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.http import Request

from events_app import http_channel
from events_app.http_channel import QUIET_SECONDS, Channel


class Transport(StringTransport):
    """Keeps what is written, and whether its own side was ended."""

    connected = True
    ended = False

    def loseWriteConnection(self) -> None:
        self.ended = True


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """The time of connections, which passes when the test says so."""
    clock = Clock()
    monkeypatch.setattr(http_channel, "reactor", clock)
    return clock


def connected() -> tuple[Channel, Transport]:
    channel, transport = Channel(), Transport()
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


def test_what_was_refused_is_answered_once_however_much_comes(clock):
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
def test_what_is_not_sent_yet_is_sent_to_a_client_that_has_ended_its_side(received, clock):
    channel, transport = connected()
    channel.dataReceived(received)
    channel.readConnectionLost()
    assert transport.disconnecting, "as soon as all is sent"
