"""A request of the lane: it runs its ASGI application as Daphne would, and sends the answer as one piece."""

import asyncio
import logging
import time
from collections.abc import Callable, MutableMapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

from twisted.web.http import NO_BODY_CODES, toChunk
from twisted.web.http_headers import Headers

from events_app.fairness.request_gate import ABORT
from events_app.http import refusals
from events_app.http.lane_parser import PlainRequest
from events_app.http.refusals import Refusal
from events_app.http.sending import send_now
from events_app.http.stream_answer import LEAVING, TAKE_OVER, StreamAnswer

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
AnswerHeaders = tuple[tuple[bytes, bytes], ...]
# Gets the scope, the body and the request, and returns whether it takes it. If so, it calls `answer`, now or later.
DirectCalls = Callable[[dict[str, Any], bytes, "LaneRequest"], bool]

# In these words Daphne says it.
_RAISED: Final = Refusal(500, refusals.CODES[500], "Exception inside application.")
# Of answers to hot calls, most have one of these heads: some 300 bytes each, and as much for finding it.
_HEADS_KEPT: Final = 256


class LaneRequest:
    """One request of the lane, from its last byte to the last byte of its answer.

    The server's direct calls take it, if they know it, and answer without a task; else an application runs. The
    channel and the server treat it as they treat a request of Daphne's.
    """

    __slots__ = (
        "__weakref__",
        "_body",
        "_closes",
        "_ended",
        "_head",
        "_is_direct",
        "_left",
        "_parts",
        "_server",
        "channel",
    )

    # Nothing is sent before all of the answer is there.
    startedWriting = False
    is_event_stream = False
    clientproto = b"HTTP/1.1"

    def __init__(self, channel: Any, server: Any, body: bytes) -> None:
        # None once it was answered, or its client has left.
        self.channel: Any = channel
        self._server = server
        self._body: bytes | None = body
        self._ended: asyncio.Event | None = None
        self._head: tuple[int, AnswerHeaders] | None = None
        self._parts: list[bytes] = []
        self._closes = False
        self._is_direct = False
        self._left: Callable[[], None] | None = None

    def start(self, scope: dict[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        """Have the direct calls take it, or run the application in a task, which is counted among the server's."""
        if self._server.direct_calls is not None and self._is_taken(scope):
            return
        task = loop.create_task(self._run(scope))
        self._server.connections[self] = {
            "connected": time.time(),
            "application_instance": task,
        }

    # -- a direct call --

    def _is_taken(self, scope: dict[str, Any]) -> bool:
        assert self._body is not None
        self._server.connections[self] = {"connected": time.time()}
        self._is_direct = True
        try:
            self._is_direct = self._server.direct_calls(scope, self._body, self)
        except Exception as error:
            logger.error("Exception inside a direct call: %s", error, exc_info=error)
            self.answer(_RAISED.status, tuple(_RAISED.answer_headers), _RAISED.body)
        return self._is_direct

    def answer(self, status: int, headers: AnswerHeaders, body: bytes = b"") -> None:
        """Send the answer of a direct call, which says how long it is; nothing, if the client has left."""
        if self.channel is not None:
            self._left = None
            self._head, self._parts = (status, headers), [body]
            self._answer()

    def when_left(self, call: Callable[[], None]) -> None:
        """Call this if the client leaves before the answer."""
        self._left = call

    # -- an application --

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._server.application(scope=scope, receive=self._receive, send=self._send)
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
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
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
            del self._server.connections[self]
        elif self in self._server.connections:
            self._server.protocol_disconnected(self)

    def connectionLost(self, reason: Any) -> None:
        """The client has left."""
        self._end()
        if self._left is not None:
            self._left()

    def close_when_answered(self) -> None:
        """Close the connection after the answer, and say so in it."""
        self._closes = True
        self.channel.persistent = False

    def check_timeouts(self) -> None:
        """Do nothing: this server has no time-out of applications."""


def scope_of(
    request: PlainRequest, root_path: str, client: tuple[str, int], server: tuple[str, int]
) -> dict[str, Any]:
    """Return the ASGI scope that Daphne makes of a request.

    Args:
        request: the request.
        root_path: the server's.
        client, server: host and port of both ends of the connection.
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
        "headers": request.headers,
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
