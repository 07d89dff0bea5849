"""One event stream (SSE): the ASGI application behind `/api/events` and `/api/items/<part>/events`.

Each stream has two tasks: one writes, one waits for the client to disconnect. An open stream holds no thread and no
database connection. The order of its steps, and why nothing is lost or doubled: docs/streams.md, "The way of a stream".
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from django_eventstream.views import get_listener_manager

from events_app import timings
from events_app.database.threads import in_thread
from events_app.database.unavailable import DATABASE_UNAVAILABLE
from events_app.fairness import callers
from events_app.fairness.request_gate import ABORT
from events_app.http.daphne_server import UNACKNOWLEDGED
from events_app.log import event_log, replays, sse
from events_app.log.relay import RelayedEvent, StreamListener, listening_name
from events_app.presence.backend import (
    NOTHING_HELD,
    StreamGrant,
    StreamRefused,
    StreamRequest,
    backend,
)
from events_app.presence.store import Snapshot
from events_app.presence.stream_interface import StreamDisplaced, StreamGone, TooManyStreams
from events_app.serving import runtime, stream_http
from events_app.serving.admission import Admission, NoProgress, Step
from events_app.serving.bodies import ClientLeft, Receive
from events_app.serving.keep_alives import KeepAlives
from events_app.serving.stream_http import Scope, Send, refuse, unavailable
from events_app.serving.stream_text import HEADERS, named, retry
from events_app.serving.stream_writer import CHUNK_BYTES, StreamWriter

logger = logging.getLogger(__name__)

RESET_ID: Final = "reset"

# How long a closed stream may take to end its answer, if its client does not read.
CLOSE_SECONDS: Final = 0.5

_admission = Admission(replays.threads)
_granting, _arriving = Step("who asks"), Step("its arrival")


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one stream from its request to its end."""
    methods = stream_http.methods(scope)
    if scope["method"] not in methods:
        message = f"A stream is read with {' or '.join(methods)}."
        return await refuse(send, StreamRefused(405, "method_not_allowed", message), methods)
    process = runtime.current()
    if process is None:
        return await refuse(send, stream_http.NOT_SERVED)
    if process.presence.stopping:
        return await refuse(send, unavailable())
    try:
        request = await stream_http.read(scope, receive)
    except ClientLeft:
        return
    stream = Stream(
        send,
        timings.configured(),
        lambda: process.presence.observed.proved,
        process.presence.heartbeat_written,
    )
    leaving = asyncio.create_task(stream_http.until_disconnect(receive))
    closing = asyncio.create_task(stream.closed.wait())
    writing = asyncio.create_task(stream.serve(request, process))
    # Nor is it kept here.
    del request
    try:
        await asyncio.wait({writing, leaving, closing}, return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            stream.close("the client left", departed=True)
        elif closing.done():
            # It ends by itself, unless it waits for a client that does not read.
            await asyncio.wait({writing, leaving}, timeout=CLOSE_SECONDS)
    finally:
        # However this ends: now, and without waiting for anything.
        stream.forget(process)
        for task in (writing, leaving, closing):
            task.cancel()
    if not writing.done():
        await asyncio.wait({writing})
    await stream.cut_off()


class Stream:
    """One open stream. Its life is `serve`; the rest is called from outside."""

    def __init__(
        self,
        send: Send,
        configured: timings.Timings,
        proved: Callable[[], float],
        heartbeat_written: Callable[[uuid.UUID], None],
    ) -> None:
        self.connection_id = uuid.uuid4()
        self.grant: StreamGrant
        self.closed = asyncio.Event()
        self._credentials: bytes | None = None
        self._departed = self._ended = self._listening = self._line_due = False
        self._send = send
        self._writer = StreamWriter(
            send, configured, proved, partial(heartbeat_written, self.connection_id)
        )
        self.opened = self._writer.opened
        self._timings = configured
        self._idle = False
        self._listener = StreamListener(self._write_event)
        self._position = 0
        self._epoch = ""

    @property
    def written_at(self) -> float:
        """When something was written last."""
        return self._writer.written_at

    # -- called by presence --

    def heartbeat(self) -> None:
        """Have `event: heartbeat` written. A client that does not read keeps it back, and its time runs."""
        # The grant has been looked at since the heartbeat before.
        callers.known_credentials.note(self._credentials, self.grant.user_id)
        self._writer.add_heartbeat()
        self._write_line()

    def probe(self) -> None:
        """Write a line now."""
        self._line_due = True
        self._write_line()

    def _write_line(self) -> None:
        """Write a line at once, or leave it to the stream's task."""
        if self._writable:
            self._line_due = False
            self._write_now(b"")
        else:
            self._listener.aevent.set()

    # -- called by the process's keep-alives --

    @property
    def is_open(self) -> bool:
        """Whether lines may still be written."""
        return not self.closed.is_set()

    keep_alive = probe

    # -- called by presence --

    async def unacknowledged(self) -> int:
        """Return how many bytes were sent that the client's kernel has not acknowledged."""
        question: dict[str, Any] = {"type": UNACKNOWLEDGED, "bytes": 0}
        await self._send(question)
        return int(question["bytes"])

    def close(self, reason: str, *, departed: bool = False) -> None:
        """End the stream. The first call decides whether its client has departed or the server closed it."""
        if self.closed.is_set():
            return
        logger.debug("stream closed", extra={"stream": self.connection_id, "reason": reason})
        self._departed = departed
        self.closed.set()
        self._listener.aevent.set()

    def forget(self, process: "runtime.Runtime") -> None:
        """Remove the stream from presence and relay. Never waits.

        Its task may be about to go one step on before it is cancelled, and has to see that the stream is closed.
        """
        self.close("it has ended")
        if self._listening:
            get_listener_manager().remove_listener(self._listener)
            self._listening = False
        self._listener.end()
        process.presence.leave(self, by_client=self._departed)

    # -- the stream itself --

    async def serve(self, request: StreamRequest, process: "runtime.Runtime") -> None:
        """Resolve, listen, arrive, replay, then pass on what is queued until closed or cancelled."""
        try:
            only_headers = request.http.method == "HEAD"
            self._credentials = callers.credentials(request.scope)
            granted = _admission.grant(request)
            # Its body may have 8 MB, and the stream may stay open for days.
            del request
            self.grant = await _granting.take(granted)
            callers.known_credentials.note(self._credentials, self.grant.user_id)
            if only_headers:
                return await self._only_headers()
            await self._run(await _arriving.take(self._arrive(process)), process.keep_alives)
        except StreamRefused as refusal:
            await self._end(refusal)
        except StreamGone:
            await self._end(StreamRefused(404, "not_found", "This workstation was deleted."))
        except StreamDisplaced:
            await self._end(backend().displacement())
        except TooManyStreams as error:
            await self._end(stream_http.too_many(error.most, self.grant))
        except NoProgress as error:
            logger.warning(
                "stream refused: no stream got past this step in time", extra={"step": error}
            )
            await self._end(unavailable())
        except DATABASE_UNAVAILABLE as error:
            # An open stream's client comes back with its Last-Event-ID and misses nothing.
            logger.warning("a stream could not reach the database", extra={"error": error})
            await self._end(unavailable())
        except Exception:
            # Daphne cannot answer for an application that fails after its first byte.
            logger.exception("a stream failed")
            await self._end(
                StreamRefused(
                    500, "internal_error", "The server failed and has logged the error. Try again."
                )
            )

    async def cut_off(self) -> None:
        """Cut an answer that has not ended: its client does not read, or the stream was closed while it waited to
        begin."""
        if self._ended:
            return
        if self._writer.started:
            # Left open, it would look alive.
            await self._send({"type": ABORT})
        else:
            await self._end(unavailable())

    async def _only_headers(self) -> None:
        """Answer HEAD with the headers of GET, and no stream."""
        self._writer.started = True
        await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await self._end(unavailable())

    async def _arrive(self, process: "runtime.Runtime") -> Snapshot:
        await process.relay.started()
        if self.closed.is_set():
            raise asyncio.CancelledError
        self._listen()
        return await process.presence.arrive(self)

    async def _run(self, snapshot: Snapshot, keep_alives: KeepAlives) -> None:
        await self._writer.begin()
        # The arrival was a heartbeat.
        self._writer.add_heartbeat()
        await self._writer.write(retry() + self._opening(snapshot))
        if self._position < snapshot.log.head.id:
            await self._replay()
        keep_alives.add(self)
        while not self.closed.is_set():
            await self._pass_on()
        await self._end(unavailable())

    async def _end(self, refusal: StreamRefused) -> None:
        """End the answer, or give this one where none was begun."""
        self.close(refusal.message)
        if self._writer.started:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await refuse(self._send, refusal)
        self._ended = True

    def _listen(self) -> None:
        self._listener.channels = {listening_name(channel) for channel in self.grant.channels}
        self._listener.user_id = self.grant.user_id
        get_listener_manager().add_listener(self._listener)
        self._listening = True

    def _opening(self, snapshot: Snapshot) -> bytes:
        """Decide where to go on, and return the first events."""
        head = snapshot.log.head
        brought = self.grant.last_event_id
        resumed = snapshot.log.resume(brought) if brought else None
        # The id that the client brought, until it has the events after it: it may die in the replay.
        start = resumed or head
        self._epoch, self._position = start
        key = self.grant.key or self.grant.shown
        held: Mapping[str, Any] = snapshot.held[key] if key else NOTHING_HELD
        reset = bool(brought) and resumed is None
        # A client that is cut off between the two comes back with an id that cannot be continued, and is reset then.
        opening = named(
            "stream-open",
            RESET_ID if reset else start,
            {
                "connection_id": self.connection_id if self.grant.shown else None,
                **held,
                "timings": self._timings.as_payload(),
            },
        )
        if reset:
            opening += named("stream-reset", head, {})
        return opening

    async def _replay(self) -> None:
        """Read from the log until nothing newer is there; the queue has everything from then on."""
        more = True
        while more and not self.closed.is_set():
            try:
                entries, more = await self._next_page()
            except event_log.Trimmed:
                return await self._reset()
            if self.closed.is_set():
                return
            body = self._sse((one.id, sse.encode(one.type, one.data)) for one in entries)
            del entries
            if body:
                await self._writer.write(body)
            # A long replay is no reason for the client's time to acknowledge a heartbeat to run out.
            await self._write_what_is_due()

    async def _next_page(self) -> event_log.Page:
        """Read from the log when it is this stream's turn; write a line now and then until then."""
        reading = asyncio.create_task(replays.read(self.grant.channels, self._position))
        try:
            while not (await asyncio.wait({reading}, timeout=self._writer.quiet_seconds))[0]:
                await self._writer.write(b"")
            return reading.result()
        finally:
            reading.cancel()

    async def _reset(self) -> None:
        """Tell the client to read the lists again, and go on from the head of the log."""
        head = (await in_thread(replays.threads, event_log.state)).head
        self._epoch, self._position = head
        await self._writer.write(named("stream-reset", head, {}))

    async def _pass_on(self) -> None:
        """Wait until something is left to this task to write, and write it when its client has read what was before."""
        self._idle = True
        try:
            await self._listener.aevent.wait()
        finally:
            self._idle = False
        await self._writer.wait_for_room()
        if self.closed.is_set():
            return
        queued, overflowed = self._listener.take()
        large = sum(len(event.data) for event in queued) > CHUNK_BYTES
        # Events that a client does not read are kept once, in the log.
        body = b"" if overflowed or large else self._sse((one.id, one.encoded) for one in queued)
        del queued
        if overflowed or large:
            await self._replay()
        elif body:
            await self._writer.write(body)
        await self._write_what_is_due()

    async def _write_what_is_due(self) -> None:
        if self._writer.heartbeat_due or self._line_due:
            self._line_due = False
            await self._writer.write(b"")

    def _sse(self, events: Iterable[tuple[int, bytes]]) -> bytes:
        """Return the bytes of events that come after those written before."""
        chunks: list[bytes] = []
        for event_id, encoded in events:
            if event_id > self._position:
                self._position = event_id
                chunks += b"id: %s-%d\n" % (self._epoch.encode(), event_id), encoded
        return b"".join(chunks)

    # -- written at once --

    @property
    def _writable(self) -> bool:
        """Whether something may be written at once: the task waits, with nothing to write, and the client reads."""
        return self._idle and not self._listener.aevent.is_set() and self._writer.has_room

    def _write_event(self, event: RelayedEvent) -> bool:
        """Write an event at once, if nothing has to be written before it; return whether that is so."""
        if not self._writable or len(event.encoded) > CHUNK_BYTES:
            return False
        # It may have been in the replay.
        if event.id > self._position:
            self._position = event.id
            self._write_now(event.in_epoch(self._epoch))
        return True

    def _write_now(self, body: bytes) -> None:
        """Write at once. A write that fails ends this stream only; its client goes on from the log."""
        try:
            self._writer.write_now(body)
        except Exception:
            logger.exception("a stream failed")
            self.close("a write failed")
