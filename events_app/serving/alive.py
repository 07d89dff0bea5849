"""The ASGI application of `alive`, and its direct calls, in front of the queue of alive requests.

A request waits here, in the event loop, until the set that contains it is written
(`events_app/presence/alive_queue.py`). Requests that are not well-formed (another method, an invalid body) go on to
Django. Usual ones, with a bearer token, that come by the lane wait without a task: `direct_calls`.
"""

import asyncio
import re
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from events_app.fairness import callers, request_gate
from events_app.fairness.request_gate import Application
from events_app.http.lane_request import AnswerHeaders, DirectCalls, LaneRequest
from events_app.presence.alive_queue import Answer
from events_app.presence.backend import AliveRequest, backend
from events_app.serving import bodies, runtime
from events_app.serving.bodies import ClientLeft, Receive
from events_app.serving.stream_http import Scope, Send, refuse, refused, until_disconnect

# Adds to the headers of an answer those that every answer of the service has.
Complete = Callable[[AnswerHeaders], AnswerHeaders]

_SIGN: Final = "silo.sign_of_life"
_DONE: Final[AnswerHeaders] = ((b"content-length", b"0"),)
_BEARER: Final = b"bearer "


class BearerRequest(HttpRequest):
    """A request that has a bearer token, and of which nothing else is asked but where it came from.

    It is made in a tenth of the time of an `ASGIRequest`.
    """

    def __init__(self, scope: Scope, authorization: str) -> None:
        self.scope = scope
        self.META = {"HTTP_AUTHORIZATION": authorization}
        self.COOKIES = {}


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


def direct_calls(address: str, completed: Callable[[Scope], Complete | None]) -> DirectCalls:
    """Return the direct calls of the lane: `alive` with a bearer token and without a cookie.

    A request that is unusual in any way is left to the application.

    Args:
        address: matches the path of `alive`, without the first slash.
        completed: returns what adds to the headers of an answer to a request; None where it gets another answer.
    """
    pattern = re.compile(address)

    def take(scope: Scope, body: bytes, lane: LaneRequest) -> bool:
        process = runtime.current()
        match = pattern.match(scope["path"][1:])
        if process is None or match is None or scope["method"] != "POST":
            return False
        if scope["root_path"] or scope["query_string"]:
            return False
        headers = dict(scope["headers"])
        authorization = headers.get(b"authorization", b"")
        if authorization[: len(_BEARER)].lower() != _BEARER or b"cookie" in headers:
            return False
        http = BearerRequest(scope, authorization.decode("latin-1"))
        request = backend().alive_request(http, match.groupdict(), body)
        complete = completed(scope)
        if request is None or complete is None:
            return False
        verdict = process.presence.alive_requests.take(request)
        verdict.add_done_callback(_Waiting(lane, callers.credentials(scope), complete).answer)
        return True

    return take


class _Waiting:
    """A direct call that waits for its verdict. While its client is there, it is in flight."""

    def __init__(self, lane: LaneRequest, credentials: bytes | None, complete: Complete) -> None:
        self._lane = lane
        self._credentials = credentials
        self._complete = complete
        self._is_there = True
        request_gate.in_flight += 1
        lane.when_left(self._leave)

    def _leave(self) -> None:
        if self._is_there:
            self._is_there = False
            request_gate.in_flight -= 1

    def answer(self, verdict: Answer) -> None:
        """Answer with the verdict, if the client is still there."""
        if not self._is_there:
            return
        self._leave()
        if refusal := verdict.result():
            headers, body = refused(refusal)
            return self._lane.answer(refusal.status, self._complete(headers), body)
        callers.known_credentials.renew(self._credentials)
        self._lane.answer(204, self._complete(_DONE))
