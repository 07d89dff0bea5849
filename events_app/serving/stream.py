"""One event stream (SSE), which `openings` opens.

An open stream has no task while it is idle or its client reads, no thread and no database connection. The order of its
steps, and why nothing is lost or doubled: docs/streams.md, "The way of a stream".
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
from events_app.http.stream_answer import StreamAnswer
from events_app.log import event_log, replays, sse
from events_app.log.relay import RelayedEvent, StreamListener, listening_name
from events_app.presence.backend import StreamGrant, StreamRefused
from events_app.presence.store import Snapshot
from events_app.serving import runtime, stream_text
from events_app.serving.stream_failures import refusal_for
from events_app.serving.stream_http import unavailable
from events_app.serving.stream_writer import CHUNK_BYTES, StreamWriter

logger = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]

# How long a closed stream may take to end its answer, if its client does not read.
CLOSE_SECONDS: Final = 0.5


class Stream:
    """One open stream. Its life begins with `begin`; later events call the other methods.

    A stream has one task at most: while it opens that of the application, or the arrival that it waits for; then one of
    its own, while its client does not read or it reads from the log.

    Args:
        configured: the timings.
        process: what serves it.
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
        "_task",
        "_timings",
        "_writer",
        "address",
        "connection_id",
        "grant",
        "is_open",
        "opened",
    )

    def __init__(self, configured: timings.Timings, process: "runtime.Runtime") -> None:
        self.connection_id = uuid.uuid4()
        self.grant: StreamGrant
        # Of its client, for who inspects connections.
        self.address = ""
        # Whether anything may still be written.
        self.is_open = True
        self._credentials: bytes | None = None
        self._departed = self._forgotten = self._listening = self._line_due = False
        self._process = process
        self._writer = StreamWriter(self.connection_id, configured, process.presence)
        self.opened = self._writer.opened
        self._timings = configured
        self._task: asyncio.Future[Any] | None = None
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

    def client_left(self) -> None:
        """Handle the end of its client. The connection calls it in the turn of the loop in which it ends."""
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

    def end(self) -> None:
        """End it, and its answer if that was begun."""
        self._forget()
        if self._writer.answer is not None:
            self._writer.answer.end()

    # -- its task --

    def _wake(self) -> None:
        """Have a task write what cannot be written at once, unless there is one already."""
        if self._task is None and self.is_open:
            self._work(self._pass_on)

    def _work(self, work: Work) -> None:
        self._task = asyncio.get_running_loop().create_task(self.worked(work))

    async def worked(self, work: Work) -> StreamRefused | None:
        """Do some work of this stream in its task; end the stream if that fails, or if it was closed meanwhile.

        Returns:
            Why it has ended, if it has: the answer for its client, where none was begun.
        """
        try:
            await work()
            refusal = None if self.is_open else unavailable()
        except asyncio.CancelledError:
            # Its client has left, or it was closed and has not ended in time, or the process ends.
            self._forget()
            if self._writer.answer is not None:
                # Its client does not read; left open, it would look alive.
                self._writer.answer.abort()
            return unavailable()
        except Exception as error:
            refusal = refusal_for(error, self)
        finally:
            # Unless another one goes on.
            if self._task is asyncio.current_task():
                self._task = None
        if refusal is not None:
            self.end()
        return refusal

    # -- its opening --

    def waits_for(self, opening: asyncio.Future[Any] | None) -> None:
        """Note the task, or the arrival, by which it is opened: it is cancelled if the stream ends before."""
        self._task = opening

    def granted(self, grant: StreamGrant, credentials: bytes | None, address: str = "") -> None:
        """Note what it may follow, by which credentials, and from which address."""
        self.grant, self._credentials, self.address = grant, credentials, address
        callers.known_credentials.note(credentials, grant.user_id)

    def listen(self) -> None:
        """Have the relay queue for it from now on."""
        self._listener.channels = {listening_name(channel) for channel in self.grant.channels}
        self._listener.user_id = self.grant.user_id
        get_listener_manager().add_listener(self._listener)
        self._listening = True

    def begin(self, answer: StreamAnswer, snapshot: Snapshot) -> None:
        """Write the first events, and leave the rest to whatever happens.

        Args:
            answer: it goes on with this.
            snapshot: the contents of `stream-open`.
        """
        self._writer.answer = answer
        # The arrival was a heartbeat.
        self._writer.add_heartbeat()
        opening, (self._epoch, self._position) = stream_text.opening(
            self.grant, self.connection_id, self._timings, snapshot
        )
        head = snapshot.log.head.id
        if self._position < head or len(opening) > CHUNK_BYTES:
            return self._work(partial(self._catch_up, opening, head))
        self._writer.write_now(opening)
        self._process.keep_alives.add(self)
        if self._listener.waits:
            self._work(self._pass_on)

    # -- what takes time --

    async def _catch_up(self, opening: bytes, head: int) -> None:
        await self._writer.write(opening)
        if self._position < head:
            await self._replay()
        self._process.keep_alives.add(self)
        await self._pass_on()

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
        await self._writer.write(stream_text.reset(head))

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
            logger.exception("a stream failed", extra={"stream": self.connection_id})
            self.close("a write failed")
