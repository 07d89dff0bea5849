"""An ASGI wrapper that lets only so many requests into Django at once.

Each request in Django has a thread and wants a database connection of the pool. The rest waits here, in the event
loop, where waiting costs nothing, instead of in threads for a connection until the pool's time-out.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Application = Callable[..., Awaitable[None]]

# Requests now inside Django or waiting for it, of the whole process; the server drains them when it stops.
in_flight = 0


def limited(application: Application, at_once: int) -> Application:
    """Return the application behind a gate.

    Args:
        application: an ASGI application.
        at_once: how many requests may be in it.
    """
    gate: asyncio.Semaphore | None = None

    async def behind_gate(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        nonlocal gate
        gate = gate or asyncio.Semaphore(at_once)
        async with gate:
            await application(scope, receive, send)

    return counted(behind_gate)


def counted(application: Application) -> Application:
    """Return the application, whose requests are among those in flight."""

    async def run(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        global in_flight
        in_flight += 1
        try:
            await application(scope, receive, send)
        finally:
            in_flight -= 1

    return run
