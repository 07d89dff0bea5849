"""The queues of alive requests, which are written as sets, so that many of them come in time. `serving.alive` fills
them.

There are two queues, each with a thread of its own. Requests of the quick queue take a moment, and wait for no row
lock. Those of the slow queue notify others, or refresh sessions of workstations without a stream. docs/presence.md,
"Alive requests", says what a waiting request counts for.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from events_app.database.threads import in_thread
from events_app.database.unavailable import DATABASE_UNAVAILABLE, backoff, is_statement_error
from events_app.presence.acknowledgements import ObservedClock
from events_app.presence.backend import AliveRequest, Key, Outcome, StreamRefused, backend
from events_app.serving.stream_http import FAILED, unavailable

logger = logging.getLogger(__name__)

# The size of one set: written in some 100 ms, so no request waits long for a set that has just begun.
QUICK_AT_ONCE: Final = 500
SLOW_AT_ONCE: Final = 50
# The pause before locked requests are tried again, if there is no other work.
LOCKED_SECONDS: Final = 0.05
# After so long they wait for the lock, in the slow queue: one that only looks now and then may never find it free.
LOCKED_PATIENCE_SECONDS: Final = 1.0
# While the database is unavailable, a request is answered (503) after so long; its client may find a better server.
UNAVAILABLE_SECONDS: Final = 10.0

# The headers which, beside the credentials, decide whether a request with a login session is permitted.
_BROWSERS: Final = ("Cookie", "X-CSRFToken", "Origin", "Referer", "Host", "X-Forwarded-Proto")

Answer = asyncio.Future[StreamRefused | None]
Verdict = StreamRefused | Outcome | None


@dataclass(eq=False)
class Waiting:
    """A waiting alive request, with later ones that say the same.

    Args:
        request: the latest of them.
        first: when the first one came, by the observed clock.
        latest: when the latest one came.
        since: when the first one came, by a clock that only grows.
        answers: the futures of the HTTP requests.
        tried: whether it was tried, and its row was locked.
    """

    request: AliveRequest
    first: float
    latest: float
    since: float
    answers: list[Answer]
    tried: bool = False

    def join(self, other: "Waiting") -> None:
        """Let a request that says the same share this place."""
        if other.latest >= self.latest:
            self.request, self.latest = other.request, other.latest
        self.first, self.since = min(self.first, other.first), min(self.since, other.since)
        self.answers += other.answers
        self.tried |= other.tried

    def answer(self, verdict: StreamRefused | None) -> None:
        """Answer all that still wait."""
        for answer in self.answers:
            if not answer.done():
                answer.set_result(verdict)


class Queue:
    """Waiting requests in fair order: callers, told apart by their credentials, take turns."""

    def __init__(self) -> None:
        self._by_who: dict[object, dict[object, Waiting]] = {}

    def __iter__(self) -> Iterator[Waiting]:
        return (one for some in self._by_who.values() for one in some.values())

    def put(self, one: Waiting) -> Waiting:
        """Add a request, or merge it with a waiting one that says the same; return the one that waits now."""
        request = one.request
        headers = request.http.headers
        who = headers.get("Authorization")
        same: tuple[object, ...] = request.key, request.connection_id, request.noted
        if who is None:
            who = headers.get("Cookie", "")
            same += tuple(headers.get(name) for name in _BROWSERS)
        mine = self._by_who.setdefault(who, {})
        if same in mine:
            mine[same].join(one)
        else:
            mine[same] = one
        return mine[same]

    def take_older(self, than: float) -> list[Waiting]:
        """Take all that came before a time, by the monotonic clock."""
        older = []
        for who, mine in list(self._by_who.items()):
            for same, one in list(mine.items()):
                if one.since < than:
                    older.append(mine.pop(same))
            if not mine:
                del self._by_who[who]
        return older

    def take(self, at_once: int) -> list[Waiting]:
        """Take the next requests, at most so many."""
        taken: list[Waiting] = []
        while self._by_who and len(taken) < at_once:
            for who in list(self._by_who):
                # A caller that had a turn goes to the end, or is removed if it has no more requests.
                mine = self._by_who.pop(who)
                taken.append(mine.pop(next(iter(mine))))
                if mine:
                    self._by_who[who] = mine
                if len(taken) == at_once:
                    break
        return taken


class Writer:
    """Writes the requests of one queue, a set at a time, while there are any.

    Args:
        thread: calls the backend.
        at_once: the size of a set.
        quick: whether requests that take more than a moment are left out.
        done: called with each request and its verdict, except those that wait again.
    """

    def __init__(
        self,
        thread: ThreadPoolExecutor,
        at_once: int,
        *,
        quick: bool,
        done: Callable[[Waiting, Verdict], None],
    ) -> None:
        self._thread = thread
        self._at_once = at_once
        self._quick = quick
        self._done = done
        self._queue = Queue()
        self._written: list[Waiting] = []
        self._task: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[Waiting]:
        """Iterate over the waiting requests and those that are being written."""
        yield from self._written
        yield from self._queue

    def put(self, one: Waiting) -> Waiting:
        """Queue a request; return the one that waits for it."""
        waiting = self._queue.put(one)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write())
        return waiting

    async def _write(self) -> None:
        attempt = 0
        while some := self._queue.take(self._at_once):
            # Requests found locked come last, one by one: while one waits for its lock, no other row stays locked.
            some.sort(key=lambda one: one.tried and not self._quick)
            self._written = some
            together = [one.request for one in some if self._quick or not one.tried]
            try:
                verdicts = [*await self._verdicts(together)] if together else []
                for one in some[len(together) :]:
                    verdicts += await self._verdicts([one.request])
                attempt = 0
            except DATABASE_UNAVAILABLE as error:
                attempt += 1
                logger.warning(
                    "alive requests wait for the database",
                    extra={"error": error, "attempt": attempt, "requests": len(some)},
                )
                self._written = []
                self._put_back(some)
                await asyncio.sleep(backoff(attempt))
                continue
            self._written = []
            locked = 0
            for one, verdict in zip(some, verdicts, strict=True):
                if verdict is Outcome.LOCKED:
                    locked += 1
                    self._try_again(one)
                else:
                    self._done(one, verdict)
            if locked == len(some):
                await asyncio.sleep(LOCKED_SECONDS)

    def _try_again(self, one: Waiting) -> None:
        """Queue a locked request again, or, if it has waited long enough, for the slow queue."""
        one.tried = True
        waited = time.monotonic() - one.since
        if self._quick and waited > LOCKED_PATIENCE_SECONDS:
            self._done(one, Outcome.SLOW)
        elif waited > UNAVAILABLE_SECONDS:
            self._done(one, unavailable())
        else:
            self._queue.put(one)

    def _put_back(self, some: Collection[Waiting]) -> None:
        oldest = time.monotonic() - UNAVAILABLE_SECONDS
        late = [one for one in some if one.since < oldest]
        # Later ones as well: none is kept for longer, however many come meanwhile.
        late += self._queue.take_older(oldest)
        for one in some:
            if one.since >= oldest:
                self._queue.put(one)
        for one in late:
            self._done(one, unavailable())

    async def _verdicts(self, requests: Sequence[AliveRequest]) -> Sequence[Verdict]:
        try:
            return await in_thread(self._thread, backend().alive, requests, quick=self._quick)
        except DATABASE_UNAVAILABLE as error:
            if not is_statement_error(error):
                raise
            if len(requests) == 1:
                logger.warning(
                    "an alive request waited too long for a lock", extra={"error": error}
                )
                if self._quick:
                    return [unavailable()]
                return [None if requests[0].noted else Outcome.LOCKED]
        except Exception:
            if len(requests) == 1:
                logger.exception("an alive request failed")
                return [FAILED]
        # One request that cannot be written does not keep the others from being written.
        return [verdict for request in requests for verdict in await self._verdicts([request])]


class AliveRequests:
    """The alive requests that have come to this process.

    Args:
        clock: counts the time of clients.
        permitted: called for each permitted request, with its key, its stream or None, and when it came.
    """

    def __init__(
        self,
        clock: ObservedClock,
        permitted: Callable[[Key, uuid.UUID | None, float], None],
    ) -> None:
        self._clock = clock
        self._permitted = permitted
        thread = ThreadPoolExecutor(1, thread_name_prefix="alive-requests")
        other = ThreadPoolExecutor(1, thread_name_prefix="slow-alive-requests")
        self._quick = Writer(thread, QUICK_AT_ONCE, quick=True, done=self._judged)
        self._slow = Writer(other, SLOW_AT_ONCE, quick=False, done=self._judged)

    def take(self, request: AliveRequest) -> Answer:
        """Queue a request; it is written even if its client disconnects.

        Returns:
            The future of its answer: None, or the refusal.
        """
        answer: Answer = asyncio.get_running_loop().create_future()
        now = self._clock.seconds
        self._quick.put(Waiting(request, now, now, time.monotonic(), [answer]))
        return answer

    def waiting(self, due: Mapping[uuid.UUID, tuple[Key, float]]) -> set[uuid.UUID]:
        """Return the streams whose client sent a request in time that waits to be written.

        Args:
            due: for each stream its key, and its deadline by the observed clock.
        """
        keys = {key for key, _ in due.values()}
        came: dict[tuple[Key, uuid.UUID | None], float] = {}
        for one in (*self._quick, *self._slow):
            if one.request.key in keys:
                what = (one.request.key, one.request.connection_id)
                came[what] = min(one.first, came.get(what, one.first))
        never = float("inf")
        return {
            pk
            for pk, (key, until) in due.items()
            if min(came.get((key, pk), never), came.get((key, None), never)) <= until
        }

    @property
    def behind(self) -> float:
        """For how many seconds the oldest request has waited. Those that wait for a row lock do not count."""
        now = time.monotonic()
        waiting = (one.since for one in (*self._quick, *self._slow) if not one.tried)
        return now - min(waiting, default=now)

    def _judged(self, one: Waiting, verdict: Verdict) -> None:
        if verdict in (None, Outcome.NOTIFIES) and not one.request.noted:
            self._permitted(one.request.key, one.request.connection_id, one.latest)
        if verdict is Outcome.IGNORED:
            one.answer(None)
        elif isinstance(verdict, Outcome):
            one.request = replace(one.request, noted=verdict is Outcome.NOTIFIES)
            self._slow.put(one)
        else:
            one.answer(verdict)
