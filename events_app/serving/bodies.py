"""Reads the body of a request in front of Django, and gives it on where the request goes there after all."""

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from io import BytesIO
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientLeft(Exception):
    """The client disconnected before its request was here."""


async def read(receive: Receive) -> bytes:
    """Return the body, whose size the server limits.

    Raises:
        ClientLeft: the client disconnected before all of it was here.
    """
    body = BytesIO()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        body.write(message.get("body", b""))
        more = message.get("more_body", False)
    return body.getvalue()


def again(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body that was read, then the messages after it."""
    first: Iterator[bytes] = iter([body])

    async def receive_again() -> dict[str, object]:
        for read in first:
            return {"type": "http.request", "body": read, "more_body": False}
        return dict(await receive())

    return receive_again
