"""Twisted's side of a connection. It answers in the error envelope where Twisted would only close, also to clients
that still send."""

from typing import Any, Final

# First: it installs the reactor that everything of Twisted must use.
from daphne.server import twisted_loop  # isort: skip  # noqa: F401

from twisted.internet import reactor as twisted_reactor
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http
from zope.interface import implementer

from events_app.http import peers, refusals
from events_app.http.connection_clock import ConnectionClock, Phase
from events_app.http.connections import Connections
from events_app.http.refusals import Refusal, phrase

# Its module stands for an object that only exists once a loop is chosen.
reactor: Any = twisted_reactor

# Of the request line, and of all headers together.
MAX_HEAD_BYTES: Final = 16 * 1024

# How long a client that is refused may go on sending, and how much.
LINGER_SECONDS: Final = 5.0
LINGER_BYTES: Final = 16 * 1024 * 1024
# The server ends its own side when nothing has come for so long. A proxy that only passes bytes (hitch) ends the whole
# connection with the first side that ends, and a client that is still sending would lose the answer.
QUIET_SECONDS: Final = 0.1

# Bytes sent to a client that has closed its sending side, to see whether it is there: in a stream a comment, which may
# come within an event, before an answer an interim one (RFC 9110, 15.2), which a client that reads on skips.
HALF_CLOSED: Final = b": you have ended your side\n"
PROCESSING: Final = b"HTTP/1.1 102 Processing\r\n\r\n"
# A reset comes within a fraction of this on one machine; in a network, the pauses double.
FIRST_LOOK_SECONDS: Final = 0.001
LAST_LOOK_SECONDS: Final = 1.0
# A proxy that has passed the end of its client's side on acknowledges in its place: it is asked again, after pauses
# that double. After the last one the lines that a stream has anyway are enough.
FIRST_ASK_SECONDS: Final = 0.1
LAST_ASK_SECONDS: Final = 2.0


@implementer(IHalfCloseableProtocol)
class Channel(http.HTTPChannel):
    """One connection. Where Twisted would close it, or answer a bare 400, this answers with the reason and then
    closes it."""

    MAX_LENGTH = MAX_HEAD_BYTES
    # Twisted counts the request line along; it is counted apart here.
    totalHeadersSize = 2 * MAX_HEAD_BYTES

    # Twisted's own, of which it states no type, or a narrower one.
    transport: Any
    _networkProducer: Any
    _command: bytes
    _path: Any
    # The path below which a proxy shows the service; see `base_path.py`.
    base_path = b""
    _HTTPChannel__first_line: int

    # The connections of the server; None where there is no server.
    registry: Connections | None = None
    # Accepted only to answer that there is no room.
    turned_away = False

    refused = False
    half_closed = False
    # The received part of a body that is not read on for now; None where there is none.
    _held: list[bytes] | None = None
    # A client that asked whether it may send its body is waiting for the answer.
    _continue_due = False
    _gone = False
    # How many requests were answered.
    _answered = 0
    _looking = False
    _dropped = 0
    _header_bytes = 0

    def connectionMade(self) -> None:
        """Count the connection, or say that there is no room for it."""
        self._host = self.transport.getPeer().host
        self._clock = ConnectionClock(reactor, self._passed, self._too_late)
        super().connectionMade()
        if self.registry is not None:
            self.registry.opened(self)
        if self.turned_away:
            self.refuse(refusals.TOO_MANY_CONNECTIONS)
        self._note_phase()

    def connectionLost(self, reason: Any = connectionDone) -> None:
        """The connection has ended."""
        self._gone = True
        self._clock.stop()
        if self.registry is not None:
            self.registry.closed(self)
        super().connectionLost(reason)

    def evict(self) -> None:
        """End the connection: another one needs its place."""
        self.transport.abortConnection()

    # -- a body that is read later --

    def pause_body(self) -> None:
        """Read no further until `resume_body` or a refusal: the client's kernel keeps what it sends."""
        self._held = []
        self._networkProducer.pauseProducing()
        self._note_phase()

    def resume_body(self) -> None:
        """Read the body that was held."""
        held, self._held = self._held, None
        if held is None or self._gone:
            return
        if self._continue_due:
            self._continue_due = False
            super()._send100Continue()
        if not self._waitingForTransport:
            self._networkProducer.resumeProducing()
        self._note_phase()
        if held:
            self.dataReceived(b"".join(held))

    def rawDataReceived(self, data: bytes) -> None:
        """Pass on a part of a body, or keep the bytes behind a paused one."""
        if self._held is not None:
            self._held.append(data)
            return
        super().rawDataReceived(data)
        if self._waitingForTransport and self._bytes_behind > self._optimisticEagerReadSize:
            # While its client does not read an answer, Twisted takes reading for paused already. It is not where the
            # answer goes on: a stream's client could send for ever.
            self._networkProducer.pauseProducing()
        if self._receives_body and not self.refused:
            self.requests[-1].body_part_arrived()

    def pauseProducing(self) -> None:
        """The client has not read what was written."""
        super().pauseProducing()
        self._note_phase()

    def resumeProducing(self) -> None:
        """Note that the client has read: read on, unless the body is paused."""
        super().resumeProducing()
        if self._held is not None:
            self._networkProducer.pauseProducing()
        self._note_phase()

    def requestDone(self, request: Any) -> None:
        """A request was answered; the next one may be here already."""
        self._answered += 1
        if peers.unsent(self.transport):
            # Twisted sends it in the next turn of the loop, and says so to a producer that it has paused.
            self.transport.producerPaused = True
        super().requestDone(request)
        self._note_phase()

    # -- the time that it may take --

    def _note_phase(self) -> None:
        if self._gone:
            return
        phase = self._phase
        if self._clock.enter_phase(phase, self._answered) and self.registry is not None:
            self.registry.enter_phase(self, self._host, phase)

    @property
    def _phase(self) -> Phase:
        if self.refused:
            return Phase.REFUSED
        if self._handlingRequest and self.requests:
            return Phase.SENDING if self._is_unread else Phase.ANSWERED
        if peers.unsent(self.transport):
            return Phase.SENDING
        if self._held is not None:
            return Phase.HELD
        if self._receives_body:
            return Phase.LARGE_BODY if self.requests[-1].has_place else Phase.BODY
        return Phase.HEAD if self._in_headers or self._buffer else Phase.IDLE

    @property
    def _bytes_behind(self) -> int:
        """How many bytes came behind the request that is being answered."""
        return sum(map(len, self._dataBuffer))

    @property
    def _is_unread(self) -> bool:
        """Whether an answer that goes on, and is no stream of events, waits for its client to read."""
        request = self.requests[0]
        return bool(
            self._waitingForTransport and request.startedWriting and not request.is_event_stream
        )

    def _passed(self) -> int:
        """Return how much of the body has come, less the unsent bytes of an answer."""
        received = self.requests[-1].received if self._receives_body else 0
        return int(received) - peers.unsent(self.transport)

    def _too_late(self) -> None:
        if self._phase is Phase.SENDING:
            self.transport.abortConnection()
        else:
            self.timeoutConnection()

    # -- refusals --

    def refuse(self, refusal: Refusal) -> None:
        """Answer the request that is being received, and read no further one.

        Further bytes are read and dropped for a while: with unread data the kernel would reset the connection at once,
        and a client or a proxy that is still sending would lose the answer.
        """
        if self.refused:
            return
        self.refused = True
        # No request is completed any more, and the bytes of the next ones are dropped.
        self.length = None
        self.clearLineBuffer()
        if self._in_headers:
            self.requests[-1].give_up()
        self.transport.write(_answer(refusal, with_body=not self._is_head))
        if self._held is not None:
            self._held = None
            self._networkProducer.resumeProducing()
        reactor.callLater(LINGER_SECONDS, self.transport.abortConnection)
        self._end_when_quiet(0)
        self._note_phase()

    def _end_when_quiet(self, dropped: int) -> None:
        """End this side unless more has come since so much was dropped; then look again later."""

        def look() -> None:
            if not self.transport.connected:
                return
            if self._dropped == dropped:
                self.transport.loseWriteConnection()
            else:
                self._end_when_quiet(self._dropped)

        reactor.callLater(QUIET_SECONDS, look)

    def dataReceived(self, data: bytes) -> None:
        """Pass on received bytes, until the client is refused."""
        if not self.refused:
            super().dataReceived(data)
            self._note_phase()
            return
        self._dropped += len(data)
        if self._dropped > LINGER_BYTES:
            self.transport.abortConnection()

    def readConnectionLost(self) -> None:
        """The client will send nothing more. It may still read, or it may be gone: both send the same (FIN).

        So it is sent something at once: the kernel of a client that is gone answers with a reset, within the time that
        the way there and back takes. Twisted does not look at the connection any more, so this does.
        """
        request = self.requests[0] if self.requests else None
        if self.refused or request is None or not self._handlingRequest:
            # Not at once: an answer may not be sent yet.
            self.loseConnection()
        elif not self.half_closed:
            self.half_closed = True
            request.close_when_answered()
            if request.startedWriting:
                self.ask()
            elif request.clientproto == b"HTTP/1.1":
                self.transport.write(PROCESSING)
            self.written()

    def ask(self, pause: float = FIRST_ASK_SECONDS) -> None:
        """Write a comment into a stream of events, then more: a proxy learns by the first that its client is gone."""
        request: Any = self.requests[0] if self.requests and self.transport.connected else None
        # Other answers have no place for a comment.
        if not getattr(request, "is_event_stream", False):
            return
        request.write(HALF_CLOSED)
        self.written()
        # On the same machine the reset has come already, mostly.
        if not self._gone and pause <= LAST_ASK_SECONDS:
            reactor.callLater(pause, self.ask, 2 * pause)

    def writeConnectionLost(self) -> None:
        """Nothing follows from this side's own end; see `refuse`."""

    def written(self) -> None:
        """Look after each write whether a client that has ended its side is there, until it has acknowledged that."""
        if self.half_closed and not self._looking:
            self._look(FIRST_LOOK_SECONDS)

    def _look(self, pause: float) -> None:
        transport = self.transport
        self._looking = False
        if transport is None or not transport.connected:
            return
        if peers.failed(transport):
            transport.connectionLost(_failure(ConnectionLost()))
        elif peers.unacknowledged(transport):
            self._looking = True
            reactor.callLater(pause, self._look, min(2 * pause, LAST_LOOK_SECONDS))

    def lineReceived(self, line: bytes) -> None:
        """Count the headers: Twisted's own limit is on all of the head."""
        self._header_bytes = self._header_bytes + len(line) if self._in_headers else 0
        if self._header_bytes > MAX_HEAD_BYTES:
            self.refuse(refusals.HEADER_TOO_LARGE)
        else:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that Twisted would answer by closing."""
        self.refuse(refusals.HEADER_TOO_LARGE if self._in_headers else refusals.URI_TOO_LONG)

    def headerReceived(self, line: bytes) -> bool:
        """Refuse too many headers by their own name."""
        if self._receivedHeaderCount >= self.maxHeaders:
            self.refuse(refusals.HEADER_TOO_LARGE)
            return False
        return bool(super().headerReceived(line))

    def allHeadersReceived(self) -> None:
        """Ask for the one Host that a request has."""
        hosts = self.requests[-1].requestHeaders.getRawHeaders(b"Host", [])
        if len(hosts) > 1 or (not hosts and self._version == b"HTTP/1.1"):
            self.refuse(refusals.NO_HOST)
        else:
            super().allHeadersReceived()

    def timeoutConnection(self) -> None:
        """Tell a client that has sent half a request for too long; one that has sent nothing is only closed."""
        if self._in_headers or self._buffer:
            self.refuse(refusals.TIMED_OUT)
        else:
            super().timeoutConnection()

    @property
    def command(self) -> bytes:
        """The method of the request that is being received."""
        return bytes(self._command)

    @property
    def target(self) -> bytes:
        """The address, with its query, of the request that is being received."""
        return bytes(self._path)

    @property
    def _in_headers(self) -> bool:
        """Whether the request line of the request that is being received is there."""
        return hasattr(self, "_command")

    @property
    def _receives_body(self) -> bool:
        """Whether the headers of the request that is being received are all there, and its body is not."""
        return self._in_headers and not self.line_mode and not self._handlingRequest

    @property
    def _is_head(self) -> bool:
        return getattr(self, "_command", b"") == b"HEAD"

    def _failChooseTransferDecoder(self) -> bool:
        self.refuse(refusals.BAD_LENGTH)
        return False

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(refusals.NOT_HTTP)

    def _send100Continue(self) -> None:
        self._continue_due = self._held is not None
        if not self.refused and not self._continue_due:
            super()._send100Continue()


def _failure(reason: Exception) -> Any:
    return Failure(reason)


def _answer(refusal: Refusal, *, with_body: bool) -> bytes:
    """Return a whole answer: Twisted has no word for an answer to half a request."""
    body = refusal.body
    lines = [
        b"HTTP/1.1 %d %s" % (refusal.status, phrase(refusal.status)),
        b"Content-Type: application/json",
        b"Cache-Control: no-store",
        b"Connection: close",
        b"Content-Length: %d" % len(body),
        *(b"%s: %s" % header for header in refusal.headers),
    ]
    return b"\r\n".join([*lines, b"", body if with_body else b""])
