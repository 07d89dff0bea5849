"""Reads the request for a stream, and answers it with a refusal where it gets none."""

import json
import random
from collections.abc import Awaitable, Callable, MutableMapping
from io import BytesIO
from typing import Any, Final

from django.core.handlers.asgi import ASGIRequest

from events_app import timings
from events_app.presence.backend import StreamGrant, StreamRefused, StreamRequest

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# The statuses that say "later", not "never".
_LATER: Final = frozenset({429, 503})

# Relay and presence run beside `manage.py serve` only; under `runserver` no workstation would be kept present.
NOT_SERVED: Final = StreamRefused(
    501, "streams_not_served", "Event streams are served by `manage.py serve` only."
)


class ClientLeft(Exception):
    """The client disconnected before its request was here."""


def methods(scope: Scope) -> tuple[str, ...]:
    """Return the methods of the address. Streams whose address names their item need no body."""
    return ("GET", "HEAD") if scope["url_route"]["kwargs"] else ("GET", "HEAD", "POST")


async def read(scope: Scope, receive: Receive) -> StreamRequest:
    """Read a request with its body, whose size the server limits.

    Raises:
        ClientLeft: the client disconnected meanwhile.
    """
    body = BytesIO()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        body.write(message.get("body", b""))
        more = message.get("more_body", False)
    size = body.tell()
    body.seek(0)
    return StreamRequest(ASGIRequest(dict(scope), body), scope["url_route"]["kwargs"], size, scope)


def unavailable() -> StreamRefused:
    """Return the refusal of a server that cannot serve streams now."""
    return StreamRefused(
        503, "unavailable", "The service is starting, stopping or cut off; try again."
    )


def too_many(most: int, grant: StreamGrant) -> StreamRefused:
    """Return the refusal of a stream where there are as many as there may be.

    It is final for a plain `EventSource`, which would else come back at once, and for ever.
    """
    if grant.key is not None:
        message = f"This workstation has {most} open streams already. Close one of its windows."
    else:
        message = f"You have {most} open streams that only watch on this server already. Close one of them."
    return StreamRefused(429, "too_many_streams", message)


async def refuse(send: Send, refusal: StreamRefused, allowed: tuple[str, ...] = ()) -> None:
    """Answer with a refusal, in the envelope of all errors."""
    told = {"error": refusal.code, "message": refusal.message, **refusal.details}
    body = json.dumps(told).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if allowed:
        headers.append((b"allow", ", ".join(allowed).encode()))
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refusal.status in _LATER:
        # At random, lest all that were refused at once come back at once.
        seconds = random.randint(*timings.RETRY_AFTER_SECONDS)  # noqa: S311
        headers.append((b"retry-after", b"%d" % seconds))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
