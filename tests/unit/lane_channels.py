"""Connections with and without the lane, fed with the same bytes."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

# First: it installs the reactor that everything of Twisted must use.
from daphne.server import twisted_loop  # isort: skip

import h11
import pytest
from twisted.internet.task import Clock

from events_app.http import lane, lane_parser, twisted_channel
from events_app.http.daphne_server import EventServer
from events_app.http.lane import LaneChannel
from events_app.http.lane_parser import PlainRequest
from events_app.http.request import LimitedRequest
from silo.hot_calls import HOT_CALLS
from tests.unit.transport import Transport

# Enough for whatever was received to be answered.
TURNS = 12


class Server(EventServer):
    """The part of a server that requests use."""

    def __init__(self, application: Any) -> None:
        self.application = application
        self.connections: dict[Any, Any] = {}
        self.draining = self.drained = False
        self.root_path = ""
        self.server_name = ""
        self.request_buffer_size = 10_000_000
        self.proxy_forwarded_address_header = None
        self.http_timeout = self.action_logger = None
        self.application_close_timeout = 10


class Echo:
    """An application that keeps what it was asked, and says it."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, Any], bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        self.asked.append((scope, body))
        # Further bytes may come before the answer.
        for _ in range(len(body) % 3):
            await asyncio.sleep(0)
        answer = json.dumps([scope["method"], scope["path"], body.decode("latin-1")]).encode()
        headers = [(b"content-type", b"application/json"), (b"vary", b"a"), (b"Vary", b"b")]
        if len(body) % 4 == 1:
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            return await send({"type": "http.response.body"})
        if len(body) % 4 != 2:
            # Else in chunks.
            headers.append((b"Content-length", b"%d" % (2 * len(answer))))
        await send({"type": "http.response.start", "status": 422, "headers": headers})
        await send({"type": "http.response.body", "body": answer, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": answer})


class Taken(NamedTuple):
    """What the lane took, and what it read in it."""

    data: bytes
    request: PlainRequest


@dataclass
class Connection:
    """A connection, and what became of the bytes that it was sent."""

    with_lane: bool
    application: Any = field(default_factory=Echo)
    taken: list[Taken] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.transport = Transport()
        self.server = Server(self.application)
        self.channel = LaneChannel()
        self.channel.timeOut = None
        self.channel.factory = SimpleNamespace(server=self.server, log=lambda request: None)
        self.channel.requestFactory = LimitedRequest
        self.channel.hot_calls = HOT_CALLS if self.with_lane else None
        self.channel.makeConnection(self.transport)

    def receive(self, data: bytes) -> None:
        """Receive bytes, unless the connection is being closed."""
        if not self.transport.is_closing:
            self.channel.dataReceived(data)

    async def send(self, pieces: Sequence[bytes], pause: int = 0) -> "Connection":
        """Receive pieces, with so many turns of the loop after each, and then wait for the answers."""
        for piece in pieces:
            self.receive(piece)
            await turns(pause)
        await turns(TURNS)
        return self

    @property
    def answers(self) -> bytes:
        return bytes(self.transport.value())

    @property
    def outcome(self) -> tuple[Any, ...]:
        """All that an application or a client sees."""
        transport = self.transport
        return (
            getattr(self.application, "asked", None),
            self.answers,
            transport.disconnecting,
            transport.aborted,
            transport.producerState,
            self.channel.refused,
            self.channel._answered,
            self.channel._phase,
        )


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def run(test: Callable[[], Coroutine[Any, Any, Any]], keep: float = 1.0) -> Any:
    """Run a test in the server's loop; the time of connections stands still.

    Args:
        test: the test.
        keep: for how many seconds a head is kept for its body; with 0 for one turn of the loop.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twisted_channel, "reactor", Clock())
        patch.setattr(lane, "KEEP_SECONDS", keep)
        patch.setattr(lane_parser, "read", _noting(lane_parser.read))
        return twisted_loop.run_until_complete(test())


_taken: ContextVar[list[Taken]] = ContextVar("_taken")


def _noting(read: Any) -> Any:
    def noting(data: bytes, *how: Any) -> Any:
        found = read(data, *how)
        if isinstance(found, PlainRequest) and (taken := _taken.get(None)) is not None:
            taken.append(Taken(data, found))
        return found

    return noting


async def both(pieces: Sequence[bytes], pause: int = 0) -> list[Taken]:
    """Send the same to a connection with and to one without the lane; return what the lane took.

    Args:
        pieces: are received one by one.
        pause: turns of the loop between two of them.
    """
    taken: list[Taken] = []
    _taken.set(taken)
    ours = await Connection(with_lane=True).send(pieces, pause)
    # The rest of a request may not have come.
    ours.channel._pass_on()
    await turns(TURNS)
    plain = await Connection(with_lane=False).send(pieces, pause)
    assert ours.outcome == plain.outcome, pieces
    for one in taken:
        assert read_by_h11(one.data) == one.request, one.data
    return taken


def read_by_h11(data: bytes) -> PlainRequest | None:
    """Return what h11 reads: exactly one request, or None."""
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=100_000)
    body = b""
    try:
        reader.receive_data(data)
        event = reader.next_event()
        if not isinstance(event, h11.Request) or event.http_version != b"1.1":
            return None
        request = event
        while isinstance(event := reader.next_event(), h11.Data):
            body += bytes(event.data)
    except h11.RemoteProtocolError:
        return None
    if not isinstance(event, h11.EndOfMessage) or event.headers or reader.trailing_data[0]:
        return None
    headers = tuple((bytes(name), bytes(value)) for name, value in request.headers)
    return PlainRequest(request.method.decode(), bytes(request.target), headers, body)
