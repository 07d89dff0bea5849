"""The ASGI application of `alive`, in front of the queue of alive requests.

A request waits here, in the event loop, until the set that contains it is written
(`events_app/presence/alive_queue.py`). Requests that are not well-formed (another method, an invalid body) go on to
Django.
"""

import asyncio
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from django.core.handlers.asgi import ASGIRequest

from events_app.fairness import callers
from events_app.fairness.request_gate import Application
from events_app.presence.backend import AliveRequest, backend
from events_app.serving import bodies, runtime
from events_app.serving.bodies import ClientLeft, Receive
from events_app.serving.stream_http import Scope, Send, refuse, until_disconnect

_SIGN: Final = "silo.sign_of_life"


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
    headers = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
