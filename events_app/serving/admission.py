"""Admits new streams: a set of them at a time, in which users and addresses take turns.

Thousands of clients come at once when a server was restarted. Each waits here, in the event loop, where that costs
nothing, and is refused only if no stream gets any further.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from events_app import timings
from events_app.database.threads import in_thread
from events_app.database.unavailable import DATABASE_UNAVAILABLE, backoff
from events_app.fairness import callers
from events_app.fairness.round_robin import RoundRobin
from events_app.presence.backend import StreamGrant, StreamRefused, StreamRequest, backend

logger = logging.getLogger(__name__)

T = TypeVar("T")

# The requests of one set: read in some 100 ms, so no request waits long for a set that has just begun. The bytes are
# those of their bodies, where they bring lists of items: the set ends with the request that passes this.
REQUESTS_AT_ONCE: Final = 100
BYTES_AT_ONCE: Final = 1024 * 1024


@dataclass(eq=False)
class _Waiting:
    """A request, its answer, and the caller whose turn it waits for."""

    request: StreamRequest
    answer: "asyncio.Future[StreamGrant]"
    owner: Hashable


class NoProgress(Exception):
    """For `ARRIVAL_TIMEOUT_SECONDS` no stream has got past this step."""


class Step:
    """A step that many streams have to take, and when the last one took it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._taken_at = float("-inf")
        # Those that wait, in the order in which they began to: since when, and what gives each up.
        self._waiting: dict[Hashable, tuple[float, Callable[[NoProgress], None]]] = {}
        self._look: asyncio.TimerHandle | None = None

    def enter(self, one: Hashable, give_up: Callable[[NoProgress], None]) -> None:
        """Note that a stream waits for the step.

        Args:
            one: the stream, or what opens it.
            give_up: called if no stream has taken the step for too long.
        """
        loop = asyncio.get_running_loop()
        self._waiting[one] = loop.time(), give_up
        if self._look is None:
            self._look = loop.call_later(timings.ARRIVAL_TIMEOUT_SECONDS, self._give_up_late)

    def leave(self, one: Hashable, *, taken: bool) -> None:
        """Note that a stream waits no more.

        Args:
            one: as it entered.
            taken: whether it was answered; a refusal is an answer too.
        """
        if self._waiting.pop(one, None) is not None and taken:
            self._taken_at = asyncio.get_running_loop().time()

    async def take(self, work: Awaitable[T]) -> T:
        """Wait for the step, for as long as any stream takes it.

        Args:
            work: cancelled if it is given up.

        Raises:
            NoProgress: no stream has taken the step for too long, since this one waits.
        """
        task = asyncio.current_task()
        assert task is not None
        cancelled_before = task.cancelling()
        given_up: list[NoProgress] = []

        def give_up(reason: NoProgress) -> None:
            given_up.append(reason)
            task.cancel()

        self.enter(task, give_up)
        try:
            result = await work
        except asyncio.CancelledError:
            self.leave(task, taken=False)
            if given_up and task.uncancel() <= cancelled_before:
                raise given_up[0] from None
            raise
        except BaseException:
            self.leave(task, taken=True)
            raise
        self.leave(task, taken=True)
        return result

    def _give_up_late(self) -> None:
        """Give those up that have waited too long, and look again when the next one would have."""
        loop = asyncio.get_running_loop()
        self._look = None
        for one, (begun, give_up) in list(self._waiting.items()):
            late_at = max(begun, self._taken_at) + timings.ARRIVAL_TIMEOUT_SECONDS
            if late_at > loop.time():
                self._look = loop.call_at(late_at, self._give_up_late)
                return
            del self._waiting[one]
            give_up(NoProgress(self._name))


class Admission:
    """Asks the domain for the grants of streams. One per process.

    Args:
        threads: call the backend.
    """

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._waiting: RoundRobin[_Waiting] = RoundRobin()
        self._task: asyncio.Task[None] | None = None

    async def grant(self, request: StreamRequest) -> StreamGrant:
        """Wait for the grant of a stream, unless it needs no question. A cancelled wait is removed from the queue.

        Raises:
            StreamRefused: with the answer for the client.
        """
        at_once = backend().resolve_at_once(request)
        if isinstance(at_once, StreamGrant):
            return at_once
        if at_once is not None:
            raise at_once
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[StreamGrant] = loop.create_future()
        waiting = _Waiting(request, answer, _owner(request))
        # The body may have 8 MB; a client that has disconnected must not keep it in memory.
        del request
        self._waiting.add(waiting.owner, waiting)
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._admit())
        try:
            return await answer
        finally:
            self._waiting.remove(waiting.owner, waiting)

    async def _admit(self) -> None:
        """Answer waiting requests until there are none; while the database is unavailable, retry."""
        attempt = 0
        while some := self._next():
            try:
                verdicts = await self._verdicts([one.request for one in some])
                attempt = 0
            except DATABASE_UNAVAILABLE as error:
                attempt += 1
                for one in reversed(some):
                    if not one.answer.done():
                        self._waiting.put_back(one.owner, one)
                logger.warning(
                    "streams wait for the database",
                    extra={"error": error, "attempt": attempt, "streams": len(self._waiting)},
                )
                await asyncio.sleep(backoff(attempt))
                continue
            for one, verdict in zip(some, verdicts, strict=True):
                if one.answer.done():
                    continue
                if isinstance(verdict, StreamGrant):
                    one.answer.set_result(verdict)
                else:
                    one.answer.set_exception(verdict)

    def _next(self) -> list[_Waiting]:
        some: list[_Waiting] = []
        size = 0
        while self._waiting and len(some) < REQUESTS_AT_ONCE and size < BYTES_AT_ONCE:
            one = self._waiting.take()
            # Requests whose clients have disconnected cost nothing.
            if not one.answer.done():
                some.append(one)
                size += one.request.size
        return some

    async def _verdicts(
        self, requests: Sequence[StreamRequest]
    ) -> Sequence[StreamGrant | StreamRefused | Exception]:
        try:
            return await in_thread(self._threads, backend().resolve, requests)
        except DATABASE_UNAVAILABLE:
            raise
        except Exception as error:
            if len(requests) == 1:
                return [error]
        # One request that fails does not keep the others out.
        return [verdict for request in requests for verdict in await self._verdicts([request])]


def _owner(request: StreamRequest) -> Hashable:
    """Return the caller whose turn a request waits for: its user, or its address where its credentials are not
    known."""
    user_id = callers.known_credentials.user(callers.credentials(request.scope))
    return user_id if user_id is not None else callers.address(request.scope)
