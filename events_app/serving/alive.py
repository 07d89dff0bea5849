"""The ASGI application of `alive`, and its direct calls, in front of the queue of alive requests.

A request waits here, in the event loop, until the set that contains it is written
(`events_app/presence/alive_queue.py`). Requests that are not well-formed (another method, an invalid body) go on to
Django. Usual ones, with a bearer token, that come by the lane wait without a task: `direct_calls`.
"""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from io import BytesIO
from typing import Any, Final, NamedTuple

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.http.request import HttpHeaders

from events_app.fairness import callers
from events_app.fairness.request_gate import Application
from events_app.http.kept import kept
from events_app.http.lane_parser import Headers, PlainRequest
from events_app.http.lane_request import AnswerHeaders, DirectCalls, LaneRequest
from events_app.presence.alive_queue import Answer
from events_app.presence.backend import AliveRequest, backend
from events_app.serving import bodies, runtime
from events_app.serving.bodies import ClientLeft, Receive
from events_app.serving.stream_http import (
    Complete,
    Scope,
    Send,
    refuse,
    refused,
    until_disconnect,
)

_SIGN: Final = "silo.sign_of_life"
_DONE: Final[AnswerHeaders] = ((b"content-length", b"0"),)
_BEARER: Final = b"bearer "


class _Asker(NamedTuple):
    """The sender of a request: its `Authorization`, the digest of that, and what completes the headers of an answer."""

    headers: HttpHeaders
    credentials: bytes | None
    complete: Complete


class BearerRequest(HttpRequest):
    """A request that has a bearer token, and of which nothing else is asked but where it came from.

    It is made in a tenth of the time of an `ASGIRequest`.
    """

    def __init__(self, lane: LaneRequest, headers: HttpHeaders) -> None:
        self._lane = lane
        self.headers = headers
        self.META = {"HTTP_AUTHORIZATION": headers["Authorization"]}
        self.COOKIES = {}

    @property
    def scope(self) -> Scope:
        """The request's."""
        return self._lane.scope


def application(
    as_others: Callable[[Application], Application], otherwise: Application
) -> Application:
    """Return the application for `POST /api/workstations/{workstation_id}/alive`.

    Args:
        as_others: adds the headers that every answer of the service has.
        otherwise: answers requests that are not well-formed.
    """
    answer = as_others(_answer)

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST" or runtime.current() is None:
            return await otherwise(scope, receive, send)
        try:
            body = await bodies.read(receive)
        except ClientLeft:
            return
        http = ASGIRequest(dict(scope), BytesIO(body))
        request = backend().alive_request(http, scope["url_route"]["kwargs"], body)
        if request is None:
            return await otherwise(scope, bodies.again(body, receive), send)
        await answer({**scope, _SIGN: request}, receive, send)

    return run


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Wait until the request is written. It is also written if its client disconnects meanwhile."""
    process = runtime.current()
    assert process is not None
    request: AliveRequest = scope[_SIGN]
    verdict = process.presence.alive_requests.take(request)
    leaving = asyncio.create_task(until_disconnect(receive))
    try:
        either: set[asyncio.Future[Any]] = {verdict, leaving}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
    if not verdict.done():
        return
    if refusal := verdict.result():
        return await refuse(send, refusal)
    callers.known_credentials.renew(callers.credentials(scope))
    await send({"type": "http.response.start", "status": 204, "headers": _DONE})
    await send({"type": "http.response.body", "body": b""})


def direct_calls(address: str, completed: Callable[[Headers], Complete | None]) -> DirectCalls:
    """Return the direct calls of the lane: `alive` with a bearer token and without a cookie.

    A request that is unusual in any way is left to the application.

    Args:
        address: matches the path of `alive`, without the first slash.
        completed: returns what adds to the headers of an answer to a request of the API with these headers; None where
            it gets another answer.
    """
    pattern = re.compile(address)

    @kept
    def asker(headers: Headers) -> _Asker | None:
        given = dict(headers)
        authorization = given.get(b"authorization", b"")
        complete = completed(headers)
        if authorization[: len(_BEARER)].lower() != _BEARER or b"cookie" in given or not complete:
            return None
        credentials = callers.credentials({"headers": headers})
        http = HttpHeaders({"HTTP_AUTHORIZATION": authorization.decode("latin-1")})
        return _Asker(http, credentials, complete)

    def take(request: PlainRequest, lane: LaneRequest) -> bool:
        if not request.target.endswith(b"/alive"):
            return False
        # An address with anything encoded in it is no usual one.
        match = pattern.fullmatch(request.target[1:].decode())
        process = runtime.current()
        if match is None or process is None or request.method != "POST":
            return False
        if (who := asker(request.headers)) is None:
            return False
        http = BearerRequest(lane, who.headers)
        sign = backend().alive_request(http, match.groupdict(), request.body)
        if sign is None:
            return False
        verdict = process.presence.alive_requests.take(sign)
        verdict.add_done_callback(partial(_answer_directly, lane, who))
        return True

    return take


def _answer_directly(lane: LaneRequest, who: _Asker, verdict: Answer) -> None:
    if refusal := verdict.result():
        headers, body = refused(refusal)
        return lane.answer(refusal.status, who.complete(headers), body)
    if lane.channel is not None:
        callers.known_credentials.renew(who.credentials)
        lane.answer(204, who.complete(_DONE))
