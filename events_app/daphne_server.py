"""Daphne, with what it lacks for streams that stay open: back-pressure, a limit of bodies, ports that can be closed."""

import asyncio
import json
import socket
from collections.abc import MutableMapping
from typing import Any, Final

# First: it installs the reactor that everything of Twisted must use.
from daphne.server import Server  # isort: skip

from channels.routing import get_default_application
from daphne.http_protocol import HTTPFactory, WebRequest
from django.conf import settings
from twisted.internet import reactor as twisted_reactor

# Its module stands for an object that only exists once a loop is chosen.
reactor: Any = twisted_reactor

# The header by which an answer is known to be a stream, and a message of our own: cut the connection.
EVENT_STREAM: Final = (b"content-type", b"text/event-stream; charset=utf-8")
ABORT: Final = "silo.abort"

_TOO_LARGE_BODY = json.dumps(
    {"error": "body_too_large", "message": "The body of a request has at most 8 MB."}
)
TOO_LARGE = (
    "HTTP/1.1 413 Content Too Large\r\nContent-Type: application/json\r\nConnection: close\r\n"
    f"Content-Length: {len(_TOO_LARGE_BODY)}\r\n\r\n{_TOO_LARGE_BODY}"
).encode()

# How long a client whose body is refused may go on sending it, and how much.
LINGER_SECONDS = 5.0
LINGER_BYTES = 16 * 1024 * 1024


class LimitedRequest(WebRequest):  # type: ignore[misc]  # untyped library
    """A request whose body is refused as soon as it is too large, not when all of it is in memory."""

    refused = False
    _dropped = 0

    def gotLength(self, length: int | None) -> None:
        """Look at the announced length, before any of the body: all headers have been received."""
        super().gotLength(length)
        if self.server.draining:
            self.be_the_last()
        if length is not None and length > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        """Look at the length so far, for bodies that do not announce theirs."""
        if self.refused:
            self._dropped += len(data)
            if self._dropped > LINGER_BYTES:
                self.channel.transport.abortConnection()
            return
        super().handleContentChunk(data)
        if self.content.tell() > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            self._refuse()

    def process(self) -> Any:
        """Do nothing for a request that was refused, or that comes too late."""
        if self.server.drained:
            # Its thread would wait for a loop that has ended.
            self.channel.loseConnection()
        return None if self.refused or self.server.drained else super().process()

    def be_the_last(self) -> None:
        """Close the connection after the answer, and say so in it if it has not begun."""
        self.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        self.channel.persistent = False

    def _refuse(self) -> None:
        # Twisted has no word for an answer to half a request; its own refusals are written so too.
        self.refused = True
        transport = self.channel.transport
        transport.write(TOO_LARGE)
        # The rest of the body is read and dropped for a while: with unread data the kernel would reset the connection
        # at once, and a client or a proxy that is still sending would lose the answer.
        transport.loseWriteConnection()
        reactor.callLater(LINGER_SECONDS, transport.abortConnection)


class Backpressure:
    """A client that does not read: Twisted says when its buffer is full, and when there is room again."""

    def __init__(self) -> None:
        self.room = asyncio.Event()
        self.room.set()

    def pauseProducing(self) -> None:
        """The buffer is full."""
        self.room.clear()

    def resumeProducing(self) -> None:
        """There is room."""
        self.room.set()

    stopProducing = resumeProducing


class EventServer(Server):  # type: ignore[misc]  # untyped library
    """Daphne on a listening socket that was made before."""

    def __init__(self, listening: socket.socket) -> None:
        # The connections end, each with its next answer; and no request is begun any more.
        self.draining = False
        self.drained = False
        self._ports: list[Any] = []
        super().__init__(
            application=get_default_application(),
            # Twisted closes the descriptor that it is given; it gets it for good.
            endpoints=[f"fd:fileno={listening.detach()}"],
            signal_handlers=False,
            server_name="",
        )

    def listen_success(self, port: Any) -> None:
        """Keep the port, so that it can be closed, and have it make limited requests."""
        super().listen_success(port)
        self._ports.append(port)
        factory = self.http_factory
        assert isinstance(factory, HTTPFactory)
        build = factory.buildProtocol

        def build_limited(address: Any) -> Any:
            protocol = build(address)
            protocol.requestFactory = LimitedRequest
            return protocol

        factory.buildProtocol = build_limited

    def drain(self) -> None:
        """Accept no connections, and end each with the answer that is under way, or else with the next one."""
        self.draining = True
        for port in self._ports:
            port.stopListening()
        for request in self.connections:
            # Daphne keeps those that have been answered for a while: Twisted has taken their channel from them.
            if isinstance(request, LimitedRequest) and getattr(request, "channel", None):
                request.be_the_last()

    def kill_all_applications(self) -> Any:
        """Cancel what is under way; Daphne would fail on a request that has not become an application."""
        for details in self.connections.values():
            if "application_instance" not in details:
                details["application_instance"] = done = asyncio.Future[None]()
                done.set_result(None)
        return super().kill_all_applications()

    async def handle_reply(self, protocol: Any, message: MutableMapping[str, Any]) -> None:
        """Pass a part of an answer on; after a part of a stream, wait until its client has read enough.

        Other answers are in memory as a whole: to wait with them would only keep their thread and database connection.
        """
        if message["type"] == ABORT:
            if protocol.channel is not None:
                protocol.channel.transport.abortConnection()
            return
        if EVENT_STREAM in message.get("headers", ()) and protocol.channel is not None:
            protocol.backpressure = Backpressure()
            protocol.registerProducer(protocol.backpressure, True)
        pressure: Backpressure | None = getattr(protocol, "backpressure", None)
        ends = message["type"] == "http.response.body" and not message.get("more_body", False)
        # A client that has left took the channel along.
        if pressure and ends and protocol.producer and protocol.channel is not None:
            protocol.unregisterProducer()
        await super().handle_reply(protocol, message)
        if pressure and not ends:
            await pressure.room.wait()
