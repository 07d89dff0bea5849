"""Group commit: the requests that come while one set of them is committed are the next set.

A commit costs as much for one request as for a hundred. So the event loop gives requests to one thread, a set at a
time, which carries out each set in one transaction: docs/architecture.md, "Group commit". A request that is alone
waits for no other one.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Hashable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

from django.db import Error, OperationalError, connection

from events_app.database.set_queue import BOUNDS, Bounds, SetQueue, Waiting
from events_app.database.threads import UNUSED_SECONDS, give_connection_up, look_at_connection
from events_app.database.unavailable import (
    is_lock_timeout,
    is_unavailable,
)

logger = logging.getLogger(__name__)

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")

# Carries out a set in a transaction of its own. Returns for each request its outcome, or its refusal as an exception;
# raises where the whole set failed.
Execute = Callable[[Sequence[Request]], Sequence[Outcome | Exception]]

# Requests that were answered together come again one after the other, as soon as their clients have their answers. A
# set waits for them, after one of so many, until nobody has come for so long, but not for longer than a large set may
# take. Without it two groups of clients would take turns, and each set would cost as much as one of both.
TOGETHER_LEAST: Final = 2
TOGETHER_SECONDS: Final = 0.001
TOGETHER_MOST_SECONDS: Final = 0.02
# For so long a set is tried in halves while rows that it needs are locked; all others wait meanwhile. After that every
# request of it that is left gets the time-out of a lock, as those of it that were tried alone.
LOCKED_SECONDS: Final = 1.5


class Overloaded(Exception):
    """A request was not carried out, and waits no longer. Its client may try again later, or at another server."""


def _nothing(request: object) -> Collection[Hashable]:
    return ()


def _everybody(request: object) -> Hashable:
    return None


def _one(request: object) -> int:
    return 1


class SetWriter(Generic[Request, Outcome]):
    """Carries out requests of the event loop in sets, in a thread with a database connection of its own.

    It belongs to the loop that it is used in first.

    Args:
        execute: carries out a set, in the thread.
        name: of the thread.
        kind: of which kind a request is: those of a set are of one.
        keys: what a request is for: a set holds at most one request for each, and the others wait for the next sets.
            Those of one caller keep their order.
        caller: whose a request is. Where more wait than a set holds, callers take turns.
        weight: what a request counts.
        bounds: what is taken.
        connected: called in the thread with each new connection, which stays its own.
    """

    def __init__(
        self,
        execute: Execute[Request, Outcome],
        *,
        name: str,
        kind: Callable[[Request], Hashable] = _everybody,
        keys: Callable[[Request], Collection[Hashable]] = _nothing,
        caller: Callable[[Request], Hashable] = _everybody,
        weight: Callable[[Request], int] = _one,
        bounds: Bounds = BOUNDS,
        connected: Callable[[], None] = lambda: None,
    ) -> None:
        self._kind = kind
        self._keys = keys
        self._caller = caller
        self._weigh = weight
        self._bounds = bounds
        self._queue: SetQueue[Request, Outcome] = SetQueue(bounds)
        self._thread = _SetThread(execute, name, connected, self._answered)
        self._loop: asyncio.AbstractEventLoop | None = None
        # The set that the thread has.
        self._set: list[Waiting[Request, Outcome]] = []
        # The beginning of the next set, where it is awaited; how many requests it waits for, and until when at most.
        self._next: asyncio.Handle | None = None
        self._expected = 0
        self._until = 0.0
        self._ageing: asyncio.TimerHandle | None = None
        self._closing = False

    def waiting(self, caller: Hashable) -> int:
        """Return how many requests of a caller wait for their set."""
        return self._queue.count(caller)

    def submit(self, request: Request, *, refusable: bool = True) -> "asyncio.Future[Outcome]":
        """Have a request carried out; return the future of its outcome.

        If the future is cancelled while the request waits for its set, nothing happens; later it is carried out. Its
        errors are the refusal; `Overloaded`, if it was not carried out; or that of the database. If the connection was
        lost in the commit, it may have been carried out.

        Args:
            request: the request.
            refusable: whether it may be refused because too many wait, or it waits too long.

        Raises:
            Overloaded: it will not be carried out.
        """
        if self._closing:
            raise _stopping()
        if refusable and self._queue.is_full_for(self._caller(request)):
            raise Overloaded("Too many requests wait already.")
        one = self._take_in(request, refusable)
        one.answer.add_done_callback(lambda _: self._queue.remove(one))
        return one.answer

    async def close(self) -> None:
        """Finish the set that was taken, refuse the other requests, and end the thread and its connection."""
        self._closing = True
        for one in list(self._queue):
            self._refuse(one, _stopping())
        if self._loop is not None:
            await self._thread.end(self._loop)

    def _take_in(self, request: Request, refusable: bool) -> Waiting[Request, Outcome]:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._thread.start(self._loop)
        one: Waiting[Request, Outcome] = Waiting(
            request,
            self._loop.create_future(),
            self._caller(request),
            self._kind(request),
            self._keys(request),
            self._weigh(request),
            self._loop.time(),
            refusable,
        )
        self._queue.add(one)
        if refusable:
            self._watch_age()
        if not self._set:
            self._begin_soon()
        return one

    # -- sets --

    def _begin_soon(self) -> None:
        """Begin a set in this turn of the loop, with all who come in it, unless it waits for others."""
        assert self._loop is not None
        if self._next is not None:
            if not self._expected:
                return
            self._next.cancel()
            if len(self._queue) < self._expected:
                self._wait_for_others()
                return
        self._expected = 0
        self._next = self._loop.call_soon(self._begin)

    def _wait_for_others(self) -> None:
        assert self._loop is not None
        at = min(self._loop.time() + TOGETHER_SECONDS, self._until)
        self._next = self._loop.call_at(at, self._begin)

    def _begin(self) -> None:
        self._next, self._expected = None, 0
        self._set = self._queue.take()
        if self._set:
            self._thread.carry_out([one.request for one in self._set])

    def _answered(self, outcomes: Sequence[Outcome | Exception]) -> None:
        assert self._loop is not None
        for one, outcome in zip(self._set, outcomes, strict=True):
            if one.answer.done():
                pass
            elif isinstance(outcome, Exception):
                one.answer.set_exception(outcome)
            else:
                one.answer.set_result(outcome)
            if isinstance(outcome, Error) and is_lock_timeout(outcome):
                self._pass_by(one.keys, outcome)
        # Those who wait for these answers run first, and send them.
        self._loop.call_soon(self._go_on)

    def _pass_by(self, keys: Collection[Hashable], error: Error) -> None:
        """Answer requests that wait and have one of these keys: each of them would keep the others waiting as long."""
        locked = frozenset(keys)
        for other in [one for one in self._queue if not locked.isdisjoint(one.keys)]:
            self._refuse(other, error)

    def _go_on(self) -> None:
        assert self._loop is not None
        together, self._set = len(self._set), []
        expected = min(together + len(self._queue), self._bounds.requests)
        if together >= TOGETHER_LEAST and len(self._queue) < expected:
            self._expected = expected
            self._until = self._loop.time() + TOGETHER_MOST_SECONDS
            self._wait_for_others()
        else:
            self._begin()

    # -- those who wait too long --

    def _watch_age(self) -> None:
        if self._ageing is None and self._loop is not None:
            oldest = next((one for one in self._queue if one.refusable), None)
            if oldest is not None:
                self._ageing = self._loop.call_at(oldest.since + self._bounds.age, self._refuse_old)

    def _refuse_old(self) -> None:
        assert self._loop is not None
        self._ageing = None
        too_old = self._loop.time() - self._bounds.age
        for one in [one for one in self._queue if one.refusable and one.since <= too_old]:
            self._refuse(one, Overloaded("The request has waited too long."))
        self._watch_age()

    def _refuse(self, one: Waiting[Request, Outcome], error: Exception) -> None:
        self._queue.remove(one)
        if not one.answer.done():
            one.answer.set_exception(error)


def _stopping() -> Overloaded:
    return Overloaded("This server is stopping.")


class _SetThread(Generic[Request, Outcome]):
    """The thread: one set after the other.

    Args:
        execute: carries out a set.
        name: of the thread.
        connected: called with each new connection.
        answered: called in the loop with the outcomes of each set.
    """

    def __init__(
        self,
        execute: Execute[Request, Outcome],
        name: str,
        connected: Callable[[], None],
        answered: Callable[[Sequence[Outcome | Exception]], None],
    ) -> None:
        self._execute = execute
        self._connected = connected
        self._answered = answered
        # None: it ends.
        self._sets: SimpleQueue[Sequence[Request] | None] = SimpleQueue()
        # A process whose database hangs ends nevertheless.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Future[None] | None = None
        # The connection that has its settings.
        self._settled: object = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread.start()

    def carry_out(self, requests: Sequence[Request]) -> None:
        self._sets.put(requests)

    async def end(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._ended is None:
            self._ended = loop.create_future()
            self._sets.put(None)
        await asyncio.shield(self._ended)

    # -- in the thread --

    def _run(self) -> None:
        used_at = float("-inf")
        while (requests := self._sets.get()) is not None:
            try:
                if time.monotonic() - used_at > UNUSED_SECONDS:
                    look_at_connection()
                outcomes = self._in_halves(requests)
            except BaseException as error:
                # Without this thread nobody would ever be answered again.
                logger.exception("carrying out a set failed")
                failure = RuntimeError("the set was given up")
                failure.__cause__ = error
                outcomes = [failure] * len(requests)
            used_at = time.monotonic()
            self._tell(self._answered, outcomes)
        # The pool gives it to nobody else, as it has settings of its own.
        give_connection_up()
        self._tell(self._note_end)

    def _tell(self, function: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        # At the end of the process the loop may be gone.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *args)

    def _note_end(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def _settle(self) -> None:
        """Give a new connection its settings: Django takes one by itself after one that broke."""
        if connection.connection is None or connection.connection is not self._settled:
            self._connected()
            self._settled = connection.connection

    def _in_halves(self, requests: Sequence[Request]) -> Sequence[Outcome | Exception]:
        """Carry out a set; one that fails in halves, until the culprit is alone and gets its error."""
        outcomes: list[Outcome | Exception] = []
        parts = [requests]
        until = time.monotonic() + LOCKED_SECONDS
        locked: Exception | None = None
        while parts:
            part = parts.pop()
            if locked is not None and time.monotonic() > until:
                # Others wait for this set: the rest is not tried further.
                outcomes += [locked] * len(part)
                continue
            try:
                self._settle()
                done = self._execute(part)
                outcomes += [outcome for outcome, _ in zip(done, part, strict=True)]
            except Exception as error:
                look_at_connection()
                if is_unavailable(error):
                    # Nobody's fault. The others would fail as well, each after the time-out of a connection.
                    outcomes += [error] * (len(requests) - len(outcomes))
                    return outcomes
                if isinstance(error, OperationalError) and is_lock_timeout(error):
                    locked = error
                if len(part) == 1:
                    outcomes.append(error)
                    continue
                logger.info(
                    "a set is carried out in halves", extra={"error": error, "requests": len(part)}
                )
                middle = len(part) // 2
                parts += part[middle:], part[:middle]
        return outcomes
