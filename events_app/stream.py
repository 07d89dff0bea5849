"""One event stream (SSE): the ASGI application behind `/api/events` and `/api/items/<part>/events`.

Two tasks a stream: one writes, one waits for the client to leave. An open stream holds no thread and no database
connection. The order of its steps, and why nothing is lost or doubled: docs/architecture.md, "The way of a stream".
"""

import asyncio
import contextlib
import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any, Final

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error as DatabaseError
from django.http import HttpResponse
from django_eventstream.eventrequest import EventRequest
from django_eventstream.views import Listener, get_listener_manager

from events_app import event_log, runtime, timings
from events_app.event_log import Cursor
from events_app.presence import StreamGone
from events_app.presence_domain import StreamGrant, StreamRefused, domain
from events_app.presence_store import Snapshot
from events_app.relay import RelayedEvent, listening_name
from events_app.threads import in_thread

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HEARTBEAT: Final = b"event: heartbeat\ndata: {}\n\n"
KEEPALIVE: Final = b": keep-alive\n\n"
HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-store"),
    (b"x-accel-buffering", b"no"),  # nginx passes it on at once
]

# Resolving and replaying are short and few; a pool of two keeps database connections and threads fixed.
_threads = ThreadPoolExecutor(2, thread_name_prefix="streams")


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one stream from its request to its end."""
    if scope["method"] != "GET":
        return await _refuse(
            send, StreamRefused(405, "method_not_allowed", "A stream is read with GET.")
        )
    process = runtime.current()
    if process is None or process.presence.stopping:
        return await _refuse(send, _unavailable())
    leaving = asyncio.create_task(_until_disconnect(receive))
    try:
        stream = Stream(send)
        writing = asyncio.create_task(stream.serve(scope, process))
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # The client has left, the stream was closed or broke, or the server cancels this very task.
            by_client = leaving.done() and not leaving.cancelled() and stream.closed_for is None
            writing.cancel()
            stream.leave(process, by_client=by_client)
        with contextlib.suppress(asyncio.CancelledError):
            await writing
    finally:
        leaving.cancel()


class Stream:
    """One open stream. Its state machine is `serve`; the rest is called from outside."""

    def __init__(self, send: Send) -> None:
        self.connection_id = uuid.uuid4()
        self.grant: StreamGrant
        self.closed_for: str | None = None
        self._send = send
        self._last_event_id = ""
        self._listener = Listener()
        self._listening = False
        self._heartbeat_due = False
        self._position = 0
        self._epoch = ""

    # -- called by presence --

    def heartbeat(self) -> None:
        """Have `event: heartbeat` written."""
        self._heartbeat_due = True
        self._listener.aevent.set()

    def close(self, reason: str) -> None:
        """End the stream by the server's doing."""
        self.closed_for = reason
        self._listener.aevent.set()

    def leave(self, process: "runtime.Runtime", *, by_client: bool) -> None:
        """Forget the stream. Never waits."""
        if self._listening:
            get_listener_manager().remove_listener(self._listener)
            self._listening = False
        process.presence.leave(self, by_client=by_client)

    # -- the stream itself --

    async def serve(self, scope: Scope, process: "runtime.Runtime") -> None:
        """Resolve, listen, arrive, replay, then pass on what is queued until closed or cancelled."""
        try:
            self.grant, self._last_event_id = await in_thread(_threads, _resolve, scope)
            async with asyncio.timeout(timings.ARRIVAL_TIMEOUT_SECONDS):
                await process.relay.started()
                self._listen()
                snapshot = await process.presence.arrive(self)
        except StreamRefused as refusal:
            return await _refuse(self._send, refusal)
        except StreamGone:
            return await _refuse(self._send, StreamRefused(404, "not_found", "It was deleted."))
        except (DatabaseError, TimeoutError):
            self.closed_for = "the database does not answer"
            return await _refuse(self._send, _unavailable())
        await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        try:
            await self._write(self._opening(snapshot))
            if self._position < snapshot.log.head.id:
                await self._replay()
            await self._write(HEARTBEAT)
            while self.closed_for is None:
                await self._pass_on()
        except DatabaseError as error:
            # The client comes back with its Last-Event-ID and misses nothing.
            self.closed_for = "the database does not answer"
            logger.warning("stream closed", extra={"error": error})
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def _listen(self) -> None:
        request = EventRequest()
        request.channels = {listening_name(channel) for channel in self.grant.channels}
        self._listener.channels = request.channels
        self._listener.user_id = self.grant.user_id
        self._listener.assign_loop()
        get_listener_manager().add_listener(self._listener)
        self._listening = True

    def _opening(self, snapshot: Snapshot) -> bytes:
        """Decide where to go on, and return the first events."""
        head = snapshot.log.head
        resumed = snapshot.log.resume(self._last_event_id) if self._last_event_id else None
        # The id that the client brought, until it has the events after it: it may die in the replay.
        start = resumed or head
        self._epoch, self._position = start
        held = snapshot.held.get(self.grant.key, []) if self.grant.key else []
        opening = _named(
            "stream-open", start, {"connection_id": self._public_id(), "sessions": held}
        )
        if self._last_event_id and resumed is None:
            opening += _named("stream-reset", head, {})
        return opening

    def _public_id(self) -> uuid.UUID | None:
        return self.connection_id if self.grant.key else None

    async def _replay(self) -> None:
        """Read from the log until nothing newer is there; from then on the queue has it."""
        while True:
            try:
                entries = await in_thread(
                    _threads, event_log.read, self.grant.channels, self._position
                )
            except event_log.Trimmed:
                return await self._reset()
            await self._write_events(
                RelayedEvent(channel="", type=entry.type, data=entry.data, id=entry.pk)
                for entry in entries
            )
            if len(entries) < event_log.PAGE_SIZE:
                return

    async def _reset(self) -> None:
        """Tell the client to read the lists again, and go on from the head of the log."""
        head = (await in_thread(_threads, event_log.state)).head
        self._epoch, self._position = head
        await self._write(_named("stream-reset", head, {}))

    async def _pass_on(self) -> None:
        """Wait until there is something to write, and write it."""
        try:
            async with asyncio.timeout(timings.KEEPALIVE_SECONDS):
                await self._listener.aevent.wait()
        except TimeoutError:
            return await self._write(KEEPALIVE)
        queued, overflowed = self._take_queue()
        if overflowed:
            await self._replay()
        else:
            await self._write_events(queued)
        if self._heartbeat_due:
            self._heartbeat_due = False
            await self._write(HEARTBEAT)

    def _take_queue(self) -> tuple[list[RelayedEvent], bool]:
        listener = self._listener
        with get_listener_manager().lock:
            listener.aevent.clear()
            items, listener.channel_items = listener.channel_items, {}
            overflowed, listener.overflow = listener.overflow, False
        # One event may have come by several of the channels.
        events = {event.id: event for channel in items.values() for event in channel}
        return [events[event_id] for event_id in sorted(events)], overflowed

    async def _write_events(self, events: Iterable[RelayedEvent]) -> None:
        chunks = []
        for event in events:
            assert event.id is not None
            if event.id > self._position:
                self._position = event.id
                chunks.append(b"id: %s-%d\n" % (self._epoch.encode(), event.id) + event.encoded)
        if chunks:
            await self._write(b"".join(chunks))

    async def _write(self, body: bytes) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": True})


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _resolve(scope: Scope) -> tuple[StreamGrant, str]:
    """Authenticate the request as Django's own views are, and ask the domain.

    Returns:
        The domain's grant, and the cursor that the client brought ("" for none).
    """
    request = ASGIRequest(dict(scope), BytesIO())
    for middleware in (SessionMiddleware, AuthenticationMiddleware):
        middleware(lambda _: HttpResponse()).process_request(request)
    try:
        last_event_id = request.headers.get("Last-Event-ID") or request.GET.get("last_event_id", "")
        return domain().resolve(request, **scope["url_route"]["kwargs"]), last_event_id
    except SuspiciousOperation as error:
        raise StreamRefused(
            422, "invalid_request", "The query of the request is not valid."
        ) from error


def _named(name: str, cursor: Cursor, data: dict[str, Any]) -> bytes:
    text = json.dumps(data, cls=DjangoJSONEncoder, separators=(",", ":"), ensure_ascii=False)
    return f"event: {name}\nid: {cursor}\ndata: {text}\n\n".encode()


def _unavailable() -> StreamRefused:
    return StreamRefused(
        503, "unavailable", "The service is starting, stopping or cut off; try again."
    )


async def _refuse(send: Send, refusal: StreamRefused) -> None:
    body = json.dumps({"error": refusal.code, "message": refusal.message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refusal.status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
