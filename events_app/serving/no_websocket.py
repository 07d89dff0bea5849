"""Refuses WebSockets, without a line in the log."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any


async def application(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Refuse the handshake, which is answered with 403."""
    await receive()
    await send({"type": "websocket.close"})
