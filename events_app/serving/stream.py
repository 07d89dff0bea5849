"""One event stream (SSE): the ASGI application behind `/api/events` and `/api/items/<part>/events`.

The application ends when the stream has begun. An open stream has no task while it is idle or its client reads, no
thread and no database connection. The order of its steps, and why nothing is lost or doubled: docs/streams.md, "The way
of a stream".
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final

from django_eventstream.views import get_listener_manager

from events_app import timings
from events_app.database.threads import in_thread
from events_app.fairness import callers
from events_app.http.stream_answer import LEAVING, TAKE_OVER
from events_app.log import event_log, replays, sse
from events_app.log.relay import RelayedEvent, StreamListener, listening_name
from events_app.presence.backend import (
    StreamGrant,
    StreamRefused,
    StreamRequest,
)
from events_app.presence.store import Snapshot
from events_app.serving import runtime, stream_http, stream_text
from events_app.serving.admission import Admission, Step
from events_app.serving.bodies import ClientLeft, Receive
from events_app.serving.stream_failures import refusal_for
from events_app.serving.stream_http import Scope, Send, refuse, unavailable
from events_app.serving.stream_text import HEADERS, named
from events_app.serving.stream_writer import CHUNK_BYTES, StreamWriter

logger = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]

# How long a closed stream may take to end its answer, if its client does not read.
CLOSE_SECONDS: Final = 0.5

_admission = Admission(replays.threads)
_granting, _arriving = Step("who asks"), Step("its arrival")


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Open one stream, or refuse it."""
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
    stream = Stream(send, timings.configured(), process)
    opening = stream.open(request)
    # Nor is it kept here.
    del request
    await opening


class Stream:
    """One open stream. Its life begins with `open`; later events call the other methods.

    A stream has one task at most: that of the application while it opens, then one of its own, while its client does
    not read or it reads from the log.
    """

    __slots__ = (
        "_credentials",
        "_departed",
        "_epoch",
        "_forgotten",
        "_line_due",
        "_listener",
        "_listening",
        "_position",
        "_process",
        "_send",
        "_task",
        "_timings",
        "_writer",
        "connection_id",
        "grant",
        "is_open",
        "opened",
    )

    def __init__(self, send: Send, configured: timings.Timings, process: "runtime.Runtime") -> None:
        self.connection_id = uuid.uuid4()
        self.grant: StreamGrant
        # Whether anything may still be written.
        self.is_open = True
        self._credentials: bytes | None = None
        self._departed = self._forgotten = self._listening = self._line_due = False
        # Until it has begun.
        self._send: Send | None = send
        self._process = process
        self._writer = StreamWriter(self.connection_id, configured, process.presence)
        self.opened = self._writer.opened
        self._timings = configured
        self._task: asyncio.Task[None] | None = None
        self._listener = StreamListener(self._write_event, self._wake)
        self._position = 0
        self._epoch = ""

    @property
    def written_at(self) -> float:
        """When something was written last."""
        return self._writer.written_at

    # -- called by presence, and by the process's keep-alives --

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

    keep_alive = probe

    def _write_line(self) -> None:
        """Write a line at once, or leave it to the stream's task."""
        if self._writable:
            self._line_due = False
            self._write_now(b"")
        else:
            self._wake()

    @property
    def size(self) -> int:
        """How many bytes were written so far."""
        return 0 if self._writer.answer is None else self._writer.answer.size

    def unacknowledged(self) -> int:
        """Return how many bytes were sent that the client's kernel has not acknowledged."""
        return 0 if self._writer.answer is None else self._writer.answer.unacknowledged()

    def close(self, reason: str, *, departed: bool = False) -> None:
        """End the stream soon. The first call decides whether its client has departed or the server closed it."""
        if not self.is_open:
            return
        logger.debug("stream closed", extra={"stream": self.connection_id, "reason": reason})
        self.is_open = False
        self._departed = departed
        if self._task is None:
            self._work(self._writer.wait_for_room)
        # It ends by itself, unless it waits for a client that does not read.
        asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._give_up)

    # -- its end --

    def _client_left(self) -> None:
        """Called by the connection, in the turn of the loop in which it ends."""
        self.is_open, self._departed = False, self.is_open or self._departed
        self._give_up()

    def _give_up(self) -> None:
        """End now, without waiting for anything."""
        self._forget()
        if self._task is not None:
            self._task.cancel()

    def _forget(self) -> None:
        """Remove the stream from presence and relay. Its task may be about to go one step on before it is cancelled,
        and has to see that the stream is closed."""
        self.is_open = False
        if self._forgotten:
            return
        self._forgotten = True
        if self._listening:
            get_listener_manager().remove_listener(self._listener)
        self._listener.end()
        self._process.presence.leave(self, by_client=self._departed)

    async def _end(self, refusal: StreamRefused) -> None:
        """End the answer, or give this one where none was begun."""
        self.is_open = False
        self._forget()
        send, self._send = self._send, None
        if self._writer.answer is not None:
            self._writer.answer.end()
        elif send is not None:
            await refuse(send, refusal)

    async def _cut_off(self) -> None:
        """End an answer whose client does not read, or one that waited to begin when the stream was closed."""
        if self._writer.answer is not None:
            # Left open, it would look alive.
            self._writer.answer.abort()
        else:
            await self._end(unavailable())

    # -- what takes time --

    def _wake(self) -> None:
        """Have a task write what cannot be written at once, unless there is one already."""
        if self._task is None and self.is_open:
            self._work(self._pass_on)

    def _work(self, work: Work) -> None:
        self._task = asyncio.get_running_loop().create_task(self._worked(work))

    async def _worked(self, work: Work) -> None:
        """Do some work; end the stream if that fails, or if it was closed meanwhile."""
        try:
            await work()
            if not self.is_open:
                await self._end(unavailable())
        except asyncio.CancelledError:
            # Its client has left, or it was closed and has not ended in time, or the process ends.
            self._forget()
            await self._cut_off()
        except Exception as error:
            await self._end(refusal_for(error, self))
        finally:
            # Unless another one goes on.
            if self._task is asyncio.current_task():
                self._task = None

    async def open(self, request: StreamRequest) -> None:
        """Resolve, listen, arrive and begin. The rest is done when something happens."""
        self._task = asyncio.current_task()
        assert self._send is not None
        await self._send({"type": LEAVING, "call": self._client_left})
        self._credentials = callers.credentials(request.scope)
        only_headers = request.scope["method"] == "HEAD"
        granted = _admission.grant(request)
        # Its body may have 8 MB, and the stream may wait.
        del request
        await self._worked(partial(self._open, granted, only_headers=only_headers))

    async def _open(self, granted: Awaitable[StreamGrant], *, only_headers: bool) -> None:
        self.grant = await _granting.take(granted)
        callers.known_credentials.note(self._credentials, self.grant.user_id)
        if only_headers:
            await self._only_headers()
        else:
            await self._begin(await _arriving.take(self._arrive()))

    async def _only_headers(self) -> None:
        """Answer HEAD with the headers of GET, and no stream."""
        send, self._send = self._send, None
        assert send is not None
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        self.is_open = False

    async def _arrive(self) -> Snapshot:
        await self._process.relay.started()
        if not self.is_open:
            raise asyncio.CancelledError
        self._listen()
        return await self._process.presence.arrive(self)

    async def _begin(self, snapshot: Snapshot) -> None:
        """Begin the answer, and leave the rest to whatever happens."""
        if not self.is_open:
            return
        send, self._send = self._send, None
        assert send is not None
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        question: dict[str, Any] = {"type": TAKE_OVER, "call": self._client_left}
        await send(question)
        self._writer.answer = question.get("answer")
        if self._writer.answer is None:
            # The client has left in this moment.
            return
        # The arrival was a heartbeat.
        self._writer.add_heartbeat()
        opening = self._opening(snapshot)
        head = snapshot.log.head.id
        if self._position < head or len(opening) > CHUNK_BYTES:
            return self._work(partial(self._catch_up, opening, head))
        self._writer.write_now(opening)
        self._process.keep_alives.add(self)
        if self._listener.waits:
            self._work(self._pass_on)

    async def _catch_up(self, opening: bytes, head: int) -> None:
        await self._writer.write(opening)
        if self._position < head:
            await self._replay()
        self._process.keep_alives.add(self)
        await self._pass_on()

    def _listen(self) -> None:
        self._listener.channels = {listening_name(channel) for channel in self.grant.channels}
        self._listener.user_id = self.grant.user_id
        get_listener_manager().add_listener(self._listener)
        self._listening = True

    def _opening(self, snapshot: Snapshot) -> bytes:
        """Decide where to go on, and return the first events."""
        opening, start = stream_text.opening(
            self.grant, self.connection_id, self._timings, snapshot
        )
        self._epoch, self._position = start
        return opening

    async def _replay(self) -> None:
        """Read from the log until nothing newer is there; the queue has everything from then on."""
        more = True
        while more and self.is_open:
            try:
                entries, more = await self._next_page()
            except event_log.Trimmed:
                return await self._reset()
            if not self.is_open:
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
        """Write what waits, whenever the client has read what was before, until nothing does."""
        while self._listener.waits or self._writer.heartbeat_due or self._line_due:
            await self._writer.wait_for_room()
            if not self.is_open:
                return
            queued, overflowed = self._listener.take()
            large = sum(len(event.data) for event in queued) > CHUNK_BYTES
            # Events that a client does not read are kept once, in the log.
            body = (
                b"" if overflowed or large else self._sse((one.id, one.encoded) for one in queued)
            )
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
        """Whether something may be written at once: no task has anything to write, and the client reads."""
        return self._task is None and self.is_open and self._writer.has_room

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
