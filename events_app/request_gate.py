"""An ASGI wrapper that lets only so many requests into Django at once.

Each request in Django has a thread and wants a database connection of the pool. The rest waits here, in the event
loop, where waiting costs nothing, instead of in threads for a connection until the pool's time-out.

An answer that is streamed, with the header `STREAMED`, keeps no place while its client reads: it gives the place back
when it begins, and takes one for each page that it reads from the database (`place_in`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final

Application = Callable[..., Awaitable[None]]

# How an answer of Django's says that it is streamed; proxies that know the header pass it on at once.
STREAMED: Final = (b"X-Accel-Buffering", b"no")
# A message of our own: cut the connection.
ABORT: Final = "silo.abort"
_GATE: Final = "silo.request_gate"

logger = logging.getLogger(__name__)

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
        await _Passage(gate, send).run(application, scope, receive)

    return counted(behind_gate)


def place_in(scope: MutableMapping[str, Any]) -> AbstractAsyncContextManager[Any]:
    """Return what an answer that is streamed enters to use the database for a moment.

    Args:
        scope: the request's.
    """
    gate: asyncio.Semaphore | None = scope.get(_GATE)
    return gate or nullcontext()


class _Passage:
    """One request on its way through a gate."""

    def __init__(self, gate: asyncio.Semaphore, send: Any) -> None:
        self._gate = gate
        self._send = send
        self._streamed = False

    async def run(
        self, application: Application, scope: MutableMapping[str, Any], receive: Any
    ) -> None:
        await self._gate.acquire()
        try:
            await application({**scope, _GATE: self._gate}, receive, self._pass_on)
        except Exception:
            if not self._streamed:
                raise
            # The answer has begun. Only a connection that is cut says that it is not all.
            logger.exception("a streamed answer failed")
            await self._send({"type": ABORT})
        finally:
            if not self._streamed:
                self._gate.release()

    async def _pass_on(self, message: MutableMapping[str, Any]) -> None:
        if not self._streamed and STREAMED in message.get("headers", ()):
            self._streamed = True
            self._gate.release()
        await self._send(message)


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
