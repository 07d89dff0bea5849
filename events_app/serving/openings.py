"""Opens streams: the ASGI application behind `/api/events` and `/api/items/<part>/events`, and its direct calls.

Both take the same steps: docs/streams.md, "The way of a stream". The application waits for them in its task, which ends
when the stream has begun. A direct call of the lane has no task: it takes what needs no wait but that for the arrival,
and leaves all else to the application.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NamedTuple

from events_app import timings
from events_app.fairness import callers
from events_app.http.kept import kept
from events_app.http.lane_parser import Headers, PlainRequest
from events_app.http.lane_request import AnswerHeaders, DirectCalls, LaneRequest
from events_app.http.stream_answer import LEAVING, TAKE_OVER
from events_app.log import replays
from events_app.presence.backend import StreamGrant, StreamRefused, StreamRequest, backend
from events_app.presence.store import Snapshot
from events_app.serving import runtime, stream_http
from events_app.serving.admission import Admission, Step
from events_app.serving.bodies import ClientLeft, Receive
from events_app.serving.stream import Stream
from events_app.serving.stream_failures import refusal_for
from events_app.serving.stream_http import Complete, Scope, Send, refuse, refused, unavailable
from events_app.serving.stream_text import HEADERS

_admission = Admission(replays.threads)
_granting, _arriving = Step("who asks"), Step("its arrival")
_STARTED: Final[AnswerHeaders] = tuple(HEADERS)


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
    opening = Opening(send, process)
    run = opening.run(request)
    # Nor is it kept here.
    del request
    await run


class Opening:
    """Opens a stream in the task of its application.

    Args:
        send: sends the answer.
        process: what serves it.
    """

    def __init__(self, send: Send, process: runtime.Runtime) -> None:
        self.stream = Stream(timings.configured(), process)
        self._process = process
        # Until it was answered.
        self._send: Send | None = send

    async def run(self, request: StreamRequest) -> None:
        """Resolve, listen, arrive and begin; or answer with a refusal."""
        assert self._send is not None
        self.stream.waits_for(asyncio.current_task())
        await self._send({"type": LEAVING, "call": self.stream.client_left})
        credentials, address = callers.credentials(request.scope), callers.source(request.scope)
        only_headers = request.scope["method"] == "HEAD"
        granted = _admission.grant(request)
        # Its body may have 8 MB, and the stream may wait.
        del request
        refusal = await self.stream.worked(
            partial(self._open, granted, credentials, address, only_headers=only_headers)
        )
        if refusal is not None and self._send is not None:
            await refuse(self._send, refusal)

    async def _open(
        self,
        granted: Awaitable[StreamGrant],
        credentials: bytes | None,
        address: str,
        *,
        only_headers: bool,
    ) -> None:
        self.stream.granted(await _granting.take(granted), credentials, address)
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
        self.stream.is_open = False

    async def _arrive(self) -> Snapshot:
        await self._process.relay.started()
        if not self.stream.is_open:
            raise asyncio.CancelledError
        self.stream.listen()
        return await self._process.presence.arrive(self.stream)

    async def _begin(self, snapshot: Snapshot) -> None:
        if not self.stream.is_open:
            return
        send, self._send = self._send, None
        assert send is not None
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        question: dict[str, Any] = {"type": TAKE_OVER, "call": self.stream.client_left}
        await send(question)
        # Unless the client has left in this moment.
        if answer := question.get("answer"):
            self.stream.begin(answer, snapshot)


class _Asker(NamedTuple):
    """The sender, by the headers: the digest of its credentials, and what completes the headers of its answers."""

    credentials: bytes | None
    complete: Complete


def direct_calls(path: str, completed: Callable[[Headers], Complete | None]) -> DirectCalls:
    """Return the direct calls of the lane: streams that are granted or refused without a query.

    Args:
        path: of the streams.
        completed: returns what adds to the headers of an answer to a request of the API with these headers; None where
            it gets another answer.
    """
    address = path.encode()

    @kept
    def asker(headers: Headers) -> _Asker | None:
        complete = completed(headers)
        return complete and _Asker(callers.credentials({"headers": headers}), complete)

    def take(request: PlainRequest, lane: LaneRequest) -> bool:
        if not request.target.startswith(address) or request.method != "GET" or request.body:
            return False
        target, _, query = request.target.partition(b"?")
        process = runtime.current()
        if target != address or process is None:
            return False
        who = asker(request.headers)
        if who is None or process.presence.stopping or not process.relay.has_started:
            return False
        scope = {"method": "GET", "headers": request.headers, "query_string": query}
        grant = backend().resolve_at_once(StreamRequest(_nothing_read, {}, 0, scope))
        if isinstance(grant, StreamRefused):
            _refuse(lane, who.complete, grant)
            return True
        if grant is None or not process.presence.has_room(grant):
            return False
        stream = Stream(timings.configured(), process)
        source = callers.source({"headers": request.headers, "client": lane.client})
        stream.granted(grant, who.credentials, source)
        stream.listen()
        _DirectOpening(stream, lane, who.complete, process.presence.arriving(stream))
        return True

    return take


class _DirectOpening:
    """A stream of a direct call, which waits for its arrival."""

    __slots__ = ("_arrival", "_complete", "_lane", "_stream")

    def __init__(
        self,
        stream: Stream,
        lane: LaneRequest,
        complete: Complete,
        arrival: "asyncio.Future[Snapshot]",
    ) -> None:
        self._stream = stream
        self._lane = lane
        self._complete = complete
        self._arrival = arrival
        stream.waits_for(arrival)
        lane.when_left(stream.client_left)
        _arriving.enter(self, self._give_up)
        arrival.add_done_callback(self._arrived)

    def _give_up(self, reason: Exception) -> None:
        if not self._arrival.done():
            self._arrival.set_exception(reason)

    def _arrived(self, arrival: "asyncio.Future[Snapshot]") -> None:
        """Begin the answer, or refuse."""
        stream = self._stream
        _arriving.leave(self, taken=not arrival.cancelled())
        stream.waits_for(None)
        # Not raised: its traceback would keep all this in memory.
        error = None if arrival.cancelled() else arrival.exception()
        if isinstance(error, Exception):
            refusal = refusal_for(error, stream)
        elif arrival.cancelled() or not stream.is_open:
            refusal = unavailable()
        else:
            try:
                return self._begin(arrival.result())
            except Exception as failure:
                refusal = refusal_for(failure, stream)
        stream.end()
        _refuse(self._lane, self._complete, refusal)

    def _begin(self, snapshot: Snapshot) -> None:
        answer = self._lane.become_stream(self._complete(_STARTED), self._stream.client_left)
        # Unless the client has left in this moment.
        if answer is not None:
            self._stream.begin(answer, snapshot)


def _refuse(lane: LaneRequest, complete: Complete, refusal: StreamRefused) -> None:
    headers, body = refused(refusal)
    lane.answer(refusal.status, complete(headers), body)


def _nothing_read() -> Any:
    raise NotImplementedError("a stream that is granted at once needs no request of Django's")
