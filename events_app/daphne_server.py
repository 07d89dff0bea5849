"""Daphne, with what it lacks for streams that stay open: back-pressure, a limit of bodies, ports that can be closed."""

import asyncio
import re
import socket
from collections.abc import MutableMapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

# First: it installs the reactor that everything of Twisted must use.
from daphne.server import Server  # isort: skip

from channels.routing import get_default_application
from daphne.http_protocol import HTTPFactory, WebRequest
from django.conf import settings

from events_app import peers, refusals
from events_app.http_channel import Channel
from events_app.refusals import Refusal
from events_app.request_gate import ABORT, STREAMED

# The header by which an answer is known to be a stream of events.
EVENT_STREAM: Final = (b"content-type", b"text/event-stream; charset=utf-8")
# A message of our own: a question, whose answer is put into it.
UNACKNOWLEDGED: Final = "silo.unacknowledged"

# The address of a request that is a whole URL: host, and path with query.
_WHOLE_URL: Final = re.compile(rb"(?i:https?)://([^/?#@]+)([/?]?.*)")


class LimitedRequest(WebRequest):  # type: ignore[misc]  # untyped library
    """A request whose body is refused as soon as it is too large, not when all of it is in memory."""

    # Whether a comment may be written into its answer.
    is_event_stream = False
    # What is wrong with it, found when all of it is there.
    _fault: Refusal | None = None

    def __init__(self, *args: Any) -> None:
        # Forms are Django's to read.
        super().__init__(*args, parsePOSTFormSubmission=False)

    def gotLength(self, length: int | None) -> None:
        """Look at the announced length, before any of the body: all headers have been received."""
        super().gotLength(length)
        if self.server.draining:
            self.be_the_last()
        if length is not None and length > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            self.channel.refuse(refusals.BODY_TOO_LARGE)

    def handleContentChunk(self, data: bytes) -> None:
        """Look at the length so far, for bodies that do not announce theirs."""
        if self.channel.refused:
            return
        super().handleContentChunk(data)
        if self.content.tell() > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            self.channel.refuse(refusals.BODY_TOO_LARGE)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Take a whole URL for the address in it, whose host then counts (RFC 9112, 3.2.2)."""
        if whole := _WHOLE_URL.fullmatch(path):
            host, path = whole.groups()
            self.requestHeaders.setRawHeaders(b"Host", [host])
            path = path if path.startswith(b"/") else b"/" + path
        elif (command, path) == (b"OPTIONS", b"*"):
            path = b"/"
        # Daphne would believe it, whoever sends it.
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")
        if command != command.upper():
            self._fault = refusals.BAD_METHOD
        elif not path.startswith(b"/") or not _is_utf_8(path):
            self._fault = refusals.BAD_TARGET
        elif self.requestHeaders.getRawHeaders(b"Upgrade", [b""])[0].lower() == b"websocket":
            self._fault = refusals.NO_WEBSOCKETS
        super().requestReceived(command, path, version)

    def process(self) -> Any:
        """Do nothing for a request that was refused, or that comes too late."""
        if self.server.drained:
            # Its thread would wait for a loop that has ended.
            self.channel.loseConnection()
        if self.channel.refused or self.server.drained:
            return None
        return self._answer(self._fault) if self._fault else super().process()

    def be_the_last(self) -> None:
        """Close the connection after the answer, and say so in it if it has not begun."""
        self.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        self.channel.persistent = False

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """Say the phrase of each status, also of those that Twisted calls unknown."""
        super().setResponseCode(code, message or refusals.phrase(code))

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Say in the envelope what Daphne says on a page."""
        self._answer(Refusal(status, refusals.CODES[status], f"{body.removesuffix('.')}."))

    def _answer(self, refusal: Refusal) -> None:
        body = refusal.body
        headers = [
            (b"Content-Type", b"application/json"),
            (b"Cache-Control", b"no-store"),
            (b"Content-Length", b"%d" % len(body)),
        ]
        start = {"type": "http.response.start", "status": refusal.status, "headers": headers}
        self.handle_reply(start)
        self.handle_reply({"type": "http.response.body", "body": body})


def _is_utf_8(path: bytes) -> bool:
    """Whether an address is percent-encoded UTF-8. Else each octet that is not would become the same character."""
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return False
    return path.isascii()


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
        factory.protocol = Channel
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
        if message["type"] == UNACKNOWLEDGED:
            if channel := getattr(protocol, "channel", None):
                message["bytes"] = peers.unacknowledged(channel.transport)
            return
        headers = message.get("headers", ())
        if is_event_stream := EVENT_STREAM in headers:
            protocol.is_event_stream = True
        if (is_event_stream or STREAMED in headers) and protocol.channel is not None:
            protocol.backpressure = Backpressure()
            protocol.registerProducer(protocol.backpressure, True)
        pressure: Backpressure | None = getattr(protocol, "backpressure", None)
        ends = message["type"] == "http.response.body" and not message.get("more_body", False)
        # A client that has left took the channel along.
        if pressure and ends and protocol.producer and protocol.channel is not None:
            protocol.unregisterProducer()
        await super().handle_reply(protocol, message)
        # Nor has a request one that has been answered.
        if channel := getattr(protocol, "channel", None):
            channel.written()
        if pressure and not ends:
            await pressure.room.wait()
