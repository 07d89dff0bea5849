"""A request of the lane: it runs its ASGI application as Daphne would, and sends the answer as one piece."""

import asyncio
import logging
import time
from collections.abc import Callable, MutableMapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

# First: it installs the reactor that everything of Twisted must use.
from daphne.server import twisted_loop  # isort: skip

from twisted.web.http import NO_BODY_CODES, toChunk
from twisted.web.http_headers import Headers

from events_app.fairness import request_gate
from events_app.fairness.request_gate import ABORT
from events_app.http import refusals
from events_app.http.lane_parser import PlainRequest
from events_app.http.refusals import Refusal
from events_app.http.sending import send_now
from events_app.http.stream_answer import LEAVING, TAKE_OVER, StreamAnswer

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
AnswerHeaders = tuple[tuple[bytes, bytes], ...]
# Gets what was read, and returns whether it takes it. If so, it calls `answer` or `hand_on`, now or later.
DirectCalls = Callable[[PlainRequest, "LaneRequest"], bool]


def either(first: DirectCalls, second: DirectCalls) -> DirectCalls:
    """Return direct calls that are taken by the first, or else by the second."""
    return lambda request, lane: first(request, lane) or second(request, lane)


# Host and port of one end of a connection; the client's, and this side's.
End = tuple[str, int]
Ends = tuple[End, End]

# In these words Daphne says it.
_RAISED: Final = Refusal(500, refusals.CODES[500], "Exception inside application.")
# Of answers to hot calls, most have one of these heads: some 300 bytes each, and as much for finding it.
_HEADS_KEPT: Final = 1024


class LaneRequest:
    """One request of the lane, from its last byte to the last byte of its answer.

    The server's direct calls take it, if they know it, and answer without a task; else an application runs. The
    channel and the server treat it as they treat a request of Daphne's.
    """

    __slots__ = (
        "__weakref__",
        "_closes",
        "_ended",
        "_ends",
        "_head",
        "_is_direct",
        "_is_read",
        "_left",
        "_parts",
        "_request",
        "_server",
        "channel",
    )

    # Nothing is sent before all of the answer is there.
    startedWriting = False
    is_event_stream = False
    clientproto = b"HTTP/1.1"

    def __init__(self, channel: Any, server: Any, request: PlainRequest, ends: Ends) -> None:
        # None once it was answered, or its client has left.
        self.channel: Any = channel
        self._server = server
        self._request = request
        self._ends = ends
        # Whether the application has got the body.
        self._is_read = False
        self._ended: asyncio.Event | None = None
        self._head: tuple[int, AnswerHeaders] | None = None
        self._parts: list[bytes] = []
        self._closes = False
        self._is_direct = False
        self._left: Callable[[], object] | None = None

    def start(self) -> None:
        """Have the direct calls take it, or run the application."""
        direct = self._server.direct_calls
        if direct is None or self._server.root_path or not self._is_taken(direct):
            self._run_application()

    @property
    def scope(self) -> dict[str, Any]:
        """The ASGI scope that Daphne makes of it."""
        return scope_of(self._request, self._server.root_path, *self._ends)

    @property
    def client(self) -> End:
        """Address and port of whoever is at the other end: the client, or a proxy."""
        client, _ = self._ends
        return client

    # -- a direct call --

    def _is_taken(self, direct: DirectCalls) -> bool:
        """While it waits, it is in flight, and counted among the server's."""
        self._server.connections[self] = {"connected": time.time()}
        self._is_direct = True
        request_gate.in_flight += 1
        try:
            taken = direct(self._request, self)
        except Exception as error:
            logger.error("Exception inside a direct call: %s", error, exc_info=error)
            self.answer(_RAISED.status, tuple(_RAISED.answer_headers), _RAISED.body)
            return True
        if not taken:
            self._end_direct()
        return taken

    def _end_direct(self) -> None:
        self._is_direct = False
        self._left = None
        request_gate.in_flight -= 1
        del self._server.connections[self]

    def hand_on(self) -> None:
        """Have the application answer a direct call after all, if the client is still there."""
        if self.channel is not None:
            self._end_direct()
            self._run_application()

    def answer(self, status: int, headers: AnswerHeaders, body: bytes = b"") -> None:
        """Send the answer of a direct call, which says how long it is; nothing, if the client has left."""
        if self.channel is not None:
            self._head, self._parts = (status, headers), [body]
            self._answer()

    def become_stream(
        self, headers: AnswerHeaders, left: Callable[[], None]
    ) -> StreamAnswer | None:
        """Begin the answer of a direct call, and let a stream go on with it; return None if the client has left.

        Args:
            headers: of the answer, whose status is 200.
            left: called when the client leaves.
        """
        if self.channel is None:
            return None
        self._head, self._left = (200, headers), None
        return self._stream_answer(left)

    def when_left(self, call: Callable[[], object]) -> None:
        """Call this if the client leaves before the answer."""
        self._left = call

    # -- an application --

    def _run_application(self) -> None:
        """Run it in a task, which is counted among the server's."""
        self._server.connections[self] = {
            "connected": time.time(),
            "application_instance": twisted_loop.create_task(self._run()),
        }

    async def _run(self) -> None:
        try:
            await self._server.application(scope=self.scope, receive=self._receive, send=self._send)
            if self.channel is not None:
                logger.error("an application ended without an answer")
        except Exception as error:
            logger.error("Exception inside application: %s", error, exc_info=error)
        except asyncio.CancelledError:
            if self.channel is not None:
                self.channel.loseConnection()
            raise
        finally:
            del self._server.connections[self]
        if self.channel is not None:
            self._head = _RAISED.status, tuple(_RAISED.answer_headers)
            self._parts = [_RAISED.body]
            self._answer()

    async def _receive(self) -> Message:
        if not self._is_read:
            self._is_read = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        if self.channel is not None:
            if self._ended is None:
                self._ended = asyncio.Event()
            await self._ended.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if self.channel is None:
            if kind == LEAVING:
                message["call"]()
            return
        if kind == "http.response.start":
            if self._head is not None:
                raise ValueError("HTTP response has already been started")
            headers = tuple([(name, value) for name, value in message.get("headers", ())])
            self._server.check_headers_type({"type": kind, "headers": headers})
            self._head = message["status"], headers
        elif kind == "http.response.body":
            if self._head is None:
                raise ValueError("HTTP response has not yet been started")
            self._parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                self._answer()
        elif kind == ABORT:
            self.channel.transport.abortConnection()
        elif kind == LEAVING:
            self._left = message["call"]
        elif kind == TAKE_OVER:
            message["answer"] = self._stream_answer(message["call"])
        else:
            raise ValueError(f"Cannot handle message type {kind}!")

    def _answer(self) -> None:
        """Send the answer; the connection goes on with its next request."""
        assert self._head is not None
        channel = self.channel
        status, headers = self._head
        head, has_body, in_chunks = _encoded(status, headers, self._closes)
        parts = self._parts if has_body else []
        if in_chunks:
            parts = [piece for part in parts if part for piece in toChunk(part)]
            parts.append(b"0\r\n\r\n")
        self._end()
        send_now(channel.transport, b"".join([head, *parts]))
        channel.requestDone(self)

    def _stream_answer(self, left: Callable[[], None]) -> StreamAnswer:
        assert self._head is not None
        head, _, in_chunks = _encoded(*self._head, self._closes)
        answer = StreamAnswer(self.channel, self._server, in_chunks=in_chunks, left=left, head=head)
        self._end()
        return answer

    def _end(self) -> None:
        """Send nothing more. The application learns it, and has some seconds to end (`application_close_timeout`)."""
        self.channel = None
        self._parts = []
        if self._ended is not None:
            self._ended.set()
        if self._is_direct:
            self._end_direct()
        elif self in self._server.connections:
            self._server.protocol_disconnected(self)

    def connectionLost(self, reason: Any) -> None:
        """The client has left."""
        left = self._left
        self._end()
        if left is not None:
            left()

    def close_when_answered(self) -> None:
        """Close the connection after the answer, and say so in it."""
        self._closes = True
        self.channel.persistent = False

    def check_timeouts(self) -> None:
        """Do nothing: this server has no time-out of applications."""


def scope_of(request: PlainRequest, root_path: str, client: End, server: End) -> dict[str, Any]:
    """Return the ASGI scope that Daphne makes of a request.

    Args:
        request: the request.
        root_path: the server's.
        client, server: both ends of the connection.
    """
    path, _, query = request.target.partition(b"?")
    return {
        "type": "http",
        "http_version": "1.1",
        "method": request.method,
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "root_path": root_path,
        "scheme": "http",
        "query_string": query,
        "headers": [*request.headers],
        "client": [*client],
        "server": [*server],
        "asgi": {"version": "3.0"},
    }


@lru_cache(_HEADS_KEPT)
def _encoded(status: int, headers: AnswerHeaders, closes: bool) -> tuple[bytes, bool, bool]:
    """Return the head of an answer as Twisted writes it, whether a body follows, and whether that is in chunks."""
    raw = Headers()
    if closes:
        raw.setRawHeaders(b"Connection", [b"close"])
    for name, value in headers:
        raw.addRawHeader(name, value)
    has_body = status not in NO_BODY_CODES
    in_chunks = has_body and not raw.hasHeader(b"Content-Length")
    if in_chunks:
        raw.setRawHeaders(b"Transfer-Encoding", [b"chunked"])
    lines = [b"HTTP/1.1 %d %s" % (status, refusals.phrase(status) or b"Unknown Status")]
    lines += [
        b"%s: %s" % (name, value) for name, values in raw.getAllRawHeaders() for value in values
    ]
    return b"\r\n".join([*lines, b"", b""]), has_body, in_chunks
