"""An ASGI wrapper that lets a bounded number of requests into Django, in fair turns of their callers.

Each request in Django has a thread and wants a database connection of the pool. The others wait here, in the event
loop, where waiting costs nothing, and not in threads for a connection until the pool's time-out. A request whose client
disconnects while it waits is dropped.

A streamed answer, with the header `STREAMED`, keeps no place while its client reads: it gives the place back when it
begins, and takes one for each page that it reads from the database (`place_in`).
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass
from typing import Any, Final

from events_app.fairness import callers
from events_app.fairness.callers import Scope
from events_app.fairness.fair_gate import FairGate, Ticket

Application = Callable[..., Awaitable[None]]
Message = MutableMapping[str, Any]

# The header by which Django's answers say that they are streamed; proxies that know it pass them on at once.
STREAMED: Final = (b"X-Accel-Buffering", b"no")
# A message of our own: cut the connection.
ABORT: Final = "silo.abort"
_PASSAGE: Final = "silo.passage"
# However many requests are refused, the log says so once in this time.
LOG_SECONDS: Final = 60.0

logger = logging.getLogger(__name__)

# Requests now inside Django or waiting for it, of the whole process; the server drains them when it stops.
in_flight = 0


def _never(scope: Scope) -> bool:
    return False


@dataclass(frozen=True)
class Limits:
    """How many requests may wait at a gate.

    Args:
        per_user: of one user whose credentials are known.
        per_address: of one address, with other credentials or none.
        refuse: the application that answers the requests beyond that.
        is_urgent: tells which requests go before others of their caller, and are never refused.
    """

    per_user: int
    per_address: int
    refuse: Application
    is_urgent: Callable[[Scope], bool] = _never


def limited(application: Application, at_once: int, limits: Limits | None = None) -> Application:
    """Return the application behind a gate.

    Args:
        application: an ASGI application.
        at_once: how many requests may be in it.
        limits: for waiting requests; None for no limits and no fair shares.
    """
    gate = FairGate(at_once, shared=limits is not None)
    callers.known_credentials.listeners.append(gate.identified)
    refusals = _Refusals()

    async def behind_gate(scope: Scope, receive: Any, send: Any) -> None:
        credentials = callers.credentials(scope)
        ticket = Ticket(
            callers.known_credentials.user(credentials),
            callers.address(scope),
            credentials,
            urgent=limits is not None and limits.is_urgent(scope),
        )
        if limits and not ticket.urgent:
            most = limits.per_address if ticket.user_id is None else limits.per_user
            if gate.waiting(ticket) >= most:
                refusals.log(ticket)
                return await limits.refuse(scope, receive, send)
        await _Passage(gate, ticket, receive, send).run(application, scope)

    return counted(behind_gate)


def place_in(scope: Scope) -> AbstractAsyncContextManager[Any]:
    """Return the context in which a streamed answer may use the database for a moment.

    Args:
        scope: the request's.
    """
    passage: _Passage | None = scope.get(_PASSAGE)
    return passage.place() if passage else nullcontext()


def authenticated(scope: Scope, user_id: int | None) -> None:
    """Report, from a thread, the result of authenticating a request.

    From now on the request, and others with the same credentials, take their turns as that user's.

    Args:
        scope: the request's.
        user_id: the user of the credentials; None if they were refused.
    """
    passage: _Passage | None = scope.get(_PASSAGE)
    if passage:
        passage.authenticated(user_id)


class _Passage:
    """One request on its way through a gate."""

    def __init__(self, gate: FairGate, ticket: Ticket, receive: Any, send: Any) -> None:
        self._gate = gate
        self._ticket = ticket
        self._inbox = _Inbox(receive)
        self._send = send
        self._streamed = False
        self._loop = asyncio.get_running_loop()

    async def run(self, application: Application, scope: Scope) -> None:
        turn = self._gate.join(self._ticket)
        try:
            if not turn.done() and not await self._inbox.wait_for(turn):
                return
            await application({**scope, _PASSAGE: self}, self._inbox.receive, self._pass_on)
        except Exception:
            if not self._streamed:
                raise
            # The answer has begun: only a cut connection shows that it is incomplete.
            logger.exception("a streamed answer failed")
            await self._send({"type": ABORT})
        finally:
            self._gate.leave(self._ticket)

    def authenticated(self, user_id: int | None) -> None:
        """Called in a thread."""
        # A thread that is left behind at the end of the process has no loop any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(
                callers.known_credentials.note, self._ticket.credentials, user_id
            )

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place for a page of a streamed answer."""
        first = self._ticket
        ticket = Ticket(first.user_id, first.address, first.credentials)
        turn = self._gate.join(ticket)
        try:
            await turn
            yield
        finally:
            self._gate.leave(ticket)

    async def _pass_on(self, message: Message) -> None:
        if not self._streamed and STREAMED in message.get("headers", ()):
            self._streamed = True
            self._gate.leave(self._ticket)
        await self._send(message)


class _Inbox:
    """The messages of a client, kept while its request waits, and searched for its disconnect."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self._kept: deque[Message] = deque()

    async def receive(self) -> Message:
        """Return the next message, as the server's `receive` does."""
        if self._kept:
            return self._kept.popleft()
        message: Message = await self._receive()
        return message

    async def wait_for(self, turn: "asyncio.Future[None]") -> bool:
        """Wait for the turn; return False if the client leaves before it comes."""
        leaving = asyncio.ensure_future(self._until_left())
        try:
            await asyncio.wait({turn, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
        return not leaving.done()

    async def _until_left(self) -> None:
        while not self._kept or self._kept[-1]["type"] != "http.disconnect":
            self._kept.append(await self._receive())


class _Refusals:
    """Logs refused requests, at most once a minute."""

    def __init__(self) -> None:
        self._count = 0
        self._logged_at = float("-inf")

    def log(self, ticket: Ticket) -> None:
        self._count += 1
        now = time.monotonic()
        if now - self._logged_at < LOG_SECONDS:
            return
        logger.warning(
            "requests refused: one user or address has too many waiting",
            extra={"user_id": ticket.user_id, "address": ticket.address, "refused": self._count},
        )
        self._logged_at, self._count = now, 0


@contextmanager
def counting() -> Iterator[None]:
    """Count one more request as in flight."""
    global in_flight
    in_flight += 1
    try:
        yield
    finally:
        in_flight -= 1


def counted(application: Application) -> Application:
    """Return the application with its requests counted as in flight."""

    async def run(scope: Scope, receive: Any, send: Any) -> None:
        with counting():
            await application(scope, receive, send)

    return run
