"""One HTTP request: refused, if it is invalid, before its body is read into memory."""

import asyncio
import logging
import re
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final
from urllib.parse import unquote_to_bytes

# First: it installs the reactor that everything of Twisted must use.
from daphne.server import twisted_loop  # isort: skip

from daphne.http_protocol import WebRequest

from events_app.http import base_path, refusals
from events_app.http.body import READ_AT_ONCE, BodyRefused, limit_of
from events_app.http.body_memory import Place
from events_app.http.refusals import Refusal
from events_app.http.stream_answer import StreamAnswer

logger = logging.getLogger(__name__)

# The address of a request that is a whole URL: host, and path with query.
_WHOLE_URL: Final = re.compile(rb"(?i:https?)://([^/?#@]+)([/?]?.*)")


class LimitedRequest(WebRequest):
    """A request whose body is read only as far as it may be, and is in memory once while its application runs."""

    # Whether a comment may be written into its answer: not before that is a `StreamAnswer`.
    is_event_stream = False
    channel: Any
    # Called when its client leaves, before it is answered.
    _left: Callable[[], None] | None = None
    # How many bytes its body may have.
    _limit = 0
    # The refusal of an invalid request, found when all of it is there.
    _fault: Refusal | None = None
    # Of a large body: the wait for its place, and the place.
    _waiting: asyncio.Task[None] | None = None
    _place: Place | None = None

    def __init__(self, *args: Any) -> None:
        # Forms are Django's to read.
        super().__init__(*args, parsePOSTFormSubmission=False)

    @property
    def received(self) -> int:
        """How many bytes of the body have been read."""
        return self.content.tell() if self.content is not None else 0

    @property
    def has_place(self) -> bool:
        """Whether its body is a large one that may be read."""
        return self._place is not None

    def gotLength(self, length: int | None) -> None:
        """Look at the announced length, before any of the body: all headers have been received."""
        # Twisted would put it into a file, which needs a descriptor.
        self.content = BytesIO()
        if self.server.draining:
            self.close_when_answered()
        self._limit = limit_of(self.channel.command, self._address(self.channel.target)[1])
        if length is None:
            # A client that sends `Expect` waits for the answer to it.
            if self._limit > READ_AT_ONCE and self.requestHeaders.hasHeader(b"Expect"):
                self._wait_for_place(self._limit)
        elif length > self._limit:
            self.channel.refuse(refusals.body_over(self._limit))
        elif length > READ_AT_ONCE:
            self._wait_for_place(length)

    def handleContentChunk(self, data: bytes) -> None:
        """Look at the length so far, for bodies that do not announce theirs."""
        if self.channel.refused:
            return
        self.content.write(data)
        if self.received > self._limit:
            self.channel.refuse(refusals.body_over(self._limit))

    def body_part_arrived(self) -> None:
        """A part of the body is here. It may turn out to be a large one."""
        if self._waiting is None and self.received > READ_AT_ONCE:
            self._wait_for_place(self._limit)

    def _wait_for_place(self, size: int) -> None:
        self.channel.pause_body()
        self._waiting = asyncio.ensure_future(self._take_place(size), loop=twisted_loop)

    async def _take_place(self, size: int) -> None:
        try:
            self._place = await self.server.bodies.place(self._scope(), size)
        except BodyRefused as error:
            self.channel.refuse(error.refusal)
        except Exception:
            logger.exception("reading a request body failed")
            self.channel.refuse(refusals.FAILED)
        else:
            self.channel.resume_body()

    def _scope(self) -> dict[str, Any]:
        """Return the request as far as it is here, to look up its sender."""
        headers = [
            (name.lower(), value)
            for name, values in self.requestHeaders.getAllRawHeaders()
            for value in values
        ]
        line = {"type": "http", "method": "POST", "path": "/", "query_string": b""}
        return line | {"headers": headers, "client": [self.client.host, self.client.port]}

    def give_up(self) -> None:
        """Keep nothing of its body: it was refused, or its client has left."""
        if self._waiting is not None:
            self._waiting.cancel()
        if self.content is not None:
            self.content = BytesIO()
        self.free_body()

    def free_body(self) -> None:
        """The application needs the body no longer."""
        if self._place is not None:
            self._place.free()

    def connectionLost(self, reason: Any) -> None:
        """Give up the body, unless the application has it: then it counts until that ends."""
        if not self._has_application:
            self.give_up()
        super().connectionLost(reason)
        if self._left is not None:
            self._left()

    @property
    def _has_application(self) -> bool:
        return "application_instance" in self.server.connections.get(self, ())

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Take a whole URL for the address in it, whose host then counts (RFC 9112, 3.2.2)."""
        host, path = self._address(path)
        if host:
            self.requestHeaders.setRawHeaders(b"Host", [host])
        elif (command, path) == (b"OPTIONS", b"*"):
            path = b"/"
        # Daphne would believe it, whoever sends it.
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")
        if command != command.upper():
            self._fault = refusals.BAD_METHOD
        elif not path.startswith(b"/") or not is_utf_8(path):
            self._fault = refusals.BAD_TARGET
        elif self.requestHeaders.getRawHeaders(b"Upgrade", [b""])[0].lower() == b"websocket":
            self._fault = refusals.NO_WEBSOCKETS
        super().requestReceived(command, path, version)

    def _address(self, target: bytes) -> tuple[bytes, bytes]:
        """Return host and address, see `_split_url`, without the path below which the service is shown."""
        host, path = _split_url(target)
        return host, base_path.without(self.channel.base_path, path)

    def process(self) -> Any:
        """Do nothing for a request that was refused, or that comes too late."""
        if self.server.drained:
            # Its thread would wait for a loop that has ended.
            self.channel.loseConnection()
        if self.channel.refused or self.server.drained:
            return None
        if self._fault:
            self.free_body()
            return self._answer(self._fault)
        begun = super().process()
        self._hand_over()
        return begun

    def _hand_over(self) -> None:
        """Let the application have the only copy of the body, and its place until it ends."""
        application = self.server.connections.get(self, {}).get("application_instance")
        if application is None:
            self.free_body()
            return
        application.add_done_callback(lambda _: self.free_body())
        self.content = BytesIO()

    def on_leaving(self, left: Callable[[], None]) -> None:
        """Have this called when the client leaves, or at once if it has left."""
        self._left = left
        if self.channel is None:
            left()

    def become_stream(self, left: Callable[[], None]) -> StreamAnswer | None:
        """Begin the answer, and let a stream go on with it; return None if the client has left.

        Args:
            left: called when the client leaves.
        """
        channel, self._left = self.channel, None
        if channel is None:
            return None
        # The head.
        self.write(b"")
        self.free_body()
        answer = StreamAnswer(channel, self.server, in_chunks=bool(self.chunked), left=left)
        self.channel = None
        self.server.protocol_disconnected(self)
        return answer

    def close_when_answered(self) -> None:
        """Close the connection after the answer, and say so in it if it has not begun."""
        self.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        self.channel.persistent = False

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """Say the phrase of each status, also of those that Twisted calls unknown."""
        super().setResponseCode(code, message or refusals.phrase(code))

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Answer an error of Daphne's in the error envelope."""
        self._answer(Refusal(status, refusals.CODES[status], f"{body.removesuffix('.')}."))

    def _answer(self, refusal: Refusal) -> None:
        headers = refusal.answer_headers
        start = {"type": "http.response.start", "status": refusal.status, "headers": headers}
        self.handle_reply(start)
        self.handle_reply({"type": "http.response.body", "body": refusal.body})


def _split_url(target: bytes) -> tuple[bytes, bytes]:
    """Return host and address of a whole URL, or of another target b"" and itself."""
    whole = _WHOLE_URL.fullmatch(target)
    if whole is None:
        return b"", target
    host, path = whole.groups()
    return host, path if path.startswith(b"/") else b"/" + path


def is_utf_8(path: bytes) -> bool:
    """Whether an address is percent-encoded UTF-8. Else each octet that is not would become the same character."""
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return False
    return path.isascii()
