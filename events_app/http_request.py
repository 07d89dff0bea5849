"""A request: what is wrong with it is said before any of it is in memory that need not be."""

import re
from typing import Any, Final
from urllib.parse import unquote_to_bytes

# First: it installs the reactor that everything of Twisted must use.
from daphne.server import twisted_loop  # isort: skip  # noqa: F401

from daphne.http_protocol import WebRequest

from events_app import refusals
from events_app.refusals import Refusal
from events_app.request_body import limit_of

# The address of a request that is a whole URL: host, and path with query.
_WHOLE_URL: Final = re.compile(rb"(?i:https?)://([^/?#@]+)([/?]?.*)")


class LimitedRequest(WebRequest):  # type: ignore[misc]  # untyped library
    """A request whose body is refused as soon as it is too large, not when all of it is in memory."""

    # Whether a comment may be written into its answer.
    is_event_stream = False
    # How many bytes its body may have.
    _limit = 0
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
        self._limit = limit_of(self.channel.command, _split_url(self.channel.target)[1])
        if length is not None and length > self._limit:
            self.channel.refuse(refusals.body_over(self._limit))

    def handleContentChunk(self, data: bytes) -> None:
        """Look at the length so far, for bodies that do not announce theirs."""
        if self.channel.refused:
            return
        super().handleContentChunk(data)
        if self.content.tell() > self._limit:
            self.channel.refuse(refusals.body_over(self._limit))

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Take a whole URL for the address in it, whose host then counts (RFC 9112, 3.2.2)."""
        host, path = _split_url(path)
        if host:
            self.requestHeaders.setRawHeaders(b"Host", [host])
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


def _split_url(target: bytes) -> tuple[bytes, bytes]:
    """Return host and address of a whole URL, or of another target b"" and itself."""
    whole = _WHOLE_URL.fullmatch(target)
    if whole is None:
        return b"", target
    host, path = whole.groups()
    return host, path if path.startswith(b"/") else b"/" + path


def _is_utf_8(path: bytes) -> bool:
    """Whether an address is percent-encoded UTF-8. Else each octet that is not would become the same character."""
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return False
    return path.isascii()
