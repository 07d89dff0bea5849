"""Signs of life (`alive`): the ASGI application in front of their queue.

A request waits here, in the event loop, for the set that it is written with
(`events_app/presence/signs_of_life.py`). Whatever is not a plain sign of life (another method, a body that cannot be
read) is none of its business and goes to Django.
"""

import asyncio
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, Final

from django.core.handlers.asgi import ASGIRequest

from events_app.fairness import parties
from events_app.fairness.request_gate import Application
from events_app.presence.backend import SignOfLife, domain
from events_app.serving import runtime
from events_app.serving.stream_http import ClientLeft, Receive, Scope, Send, refuse

_SIGN: Final = "silo.sign_of_life"


def application(
    as_others: Callable[[Application], Application], otherwise: Application
) -> Application:
    """Return the application for `POST /api/workstations/{workstation_id}/alive`.

    Args:
        as_others: adds what every answer of the service has.
        otherwise: answers what is no plain sign of life.
    """
    answer = as_others(_answer)

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST" or runtime.current() is None:
            return await otherwise(scope, receive, send)
        try:
            body = await _read(receive)
        except ClientLeft:
            return
        http = ASGIRequest(dict(scope), BytesIO(body))
        sign = domain().sign_of_life(http, scope["url_route"]["kwargs"], body)
        if sign is None:
            return await otherwise(scope, _again(body, receive), send)
        await answer({**scope, _SIGN: sign}, receive, send)

    return run


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Wait until the sign is written. If its client leaves meanwhile, it is written all the same."""
    process = runtime.current()
    assert process is not None
    sign: SignOfLife = scope[_SIGN]
    verdict = process.presence.signs_of_life.take(sign)
    leaving = asyncio.create_task(_until_disconnect(receive))
    try:
        either: set[asyncio.Future[Any]] = {verdict, leaving}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
    if not verdict.done():
        return
    if refusal := verdict.result():
        return await refuse(send, refusal)
    parties.identities.renew(parties.credentials(scope))
    headers = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _read(receive: Receive) -> bytes:
    """Return the body, whose size the server limits.

    Raises:
        ClientLeft: the client has left before all of it was here.
    """
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what gives the body that was read, then what comes after it."""
    first: Iterator[bytes] = iter([body])

    async def receive_again() -> dict[str, object]:
        for read in first:
            return {"type": "http.request", "body": read, "more_body": False}
        return dict(await receive())

    return receive_again


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
