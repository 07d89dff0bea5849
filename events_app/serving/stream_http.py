"""Reads the request for a stream, and answers it with a refusal where it gets none."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from io import BytesIO
from typing import Any, Final

from django.core.handlers.asgi import ASGIRequest

from events_app.http import envelope, refusals
from events_app.http.lane_request import AnswerHeaders
from events_app.presence.backend import StreamGrant, StreamRefused, StreamRequest
from events_app.serving import bodies
from events_app.serving.bodies import Receive

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
# Adds to the headers of an answer those that every answer of the service has.
Complete = Callable[[AnswerHeaders], AnswerHeaders]

# Relay and presence run beside `manage.py serve` only; under `runserver` no workstation would be kept present.
NOT_SERVED: Final = StreamRefused(
    501, "streams_not_served", "Event streams are served by `manage.py serve` only."
)

FAILED: Final = StreamRefused(*refusals.FAILED)


def methods(scope: Scope) -> tuple[str, ...]:
    """Return the methods of the address. Streams whose address names their item need no body."""
    return ("GET", "HEAD") if scope["url_route"]["kwargs"] else ("GET", "HEAD", "POST")


async def read(scope: Scope, receive: Receive) -> StreamRequest:
    """Read a request with its body, whose size the server limits.

    Raises:
        ClientLeft: the client disconnected meanwhile.
    """
    body = await bodies.read(receive)
    made = partial(ASGIRequest, scope, BytesIO(body))
    return StreamRequest(made, scope["url_route"]["kwargs"], len(body), scope)


def unavailable() -> StreamRefused:
    """Return the refusal of a server that cannot serve streams now."""
    return StreamRefused(*refusals.UNAVAILABLE)


def too_many(most: int, grant: StreamGrant) -> StreamRefused:
    """Return the refusal of a stream where there are as many as there may be.

    It is final for a plain `EventSource`, which would else come back at once, and for ever.
    """
    if grant.key is not None:
        message = f"This workstation has {most} open streams already. Close one of its windows."
    else:
        message = f"You have {most} open streams that only watch on this server already. Close one of them."
    return StreamRefused(429, "too_many_streams", message)


def refused(
    refusal: StreamRefused, allowed: tuple[str, ...] = ()
) -> tuple[tuple[tuple[bytes, bytes], ...], bytes]:
    """Return the headers and the body of a refusal, in the envelope of all errors."""
    content = envelope.content(refusal.code, refusal.message, **refusal.details)
    body = json.dumps(content).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if allowed:
        headers.append((b"allow", ", ".join(allowed).encode()))
    for name, value in envelope.headers(refusal.status).items():
        headers.append((name.lower().encode(), value.encode()))
    return tuple(headers), body


async def refuse(send: Send, refusal: StreamRefused, allowed: tuple[str, ...] = ()) -> None:
    """Answer with a refusal."""
    headers, body = refused(refusal, allowed)
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def until_disconnect(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
