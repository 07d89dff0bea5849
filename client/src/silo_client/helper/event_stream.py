"""One event stream: opening it, its events, and what its lines prove about the connection."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, cast

import httpx
from httpx_sse import EventSource, ServerSentEvent

from silo_client.common import clock
from silo_client.common.visible import visible
from silo_client.errors import ApiError, IdentityInUseError, refusal
from silo_client.helper.lease import Lease, Timings
from silo_client.helper.pages import read_on

STAMP = ": keep-alive "
# The server answers within twice ten seconds where it cannot serve, or else when it is this client's turn, which
# comes in seconds also for thousands. Giving up earlier would close a stream that the server has opened, which looks
# like a departure.
OPEN_SECONDS = 30.0
# There is a better stream to be had after so many keep-alive times without a line, or earlier, so that there is time to
# find it while the client is still sure: this share of its limit, but never less than the first figure.
LEAST_KEEPALIVES, MOST_KEEPALIVES = 1.5, 2.5
LIMIT_SHARE = 0.75
MISSING_HEARTBEATS = 3
# How often a stream is looked at, whether another one is to replace it.
LOOK_SECONDS = 0.2
# A stream that has lasted for so long was worth opening.
STEADY_SECONDS = 10.0
# For so long the rest of what the workstation holds is read before the stream is used: thousands of sessions take a
# second. And for no more than this share of the times in which the client has to acknowledge, or is sure no more.
REST_SECONDS = 5.0
REST_SHARE = 0.25
# Two clocks that are 500 ppm apart (the most that NTP slews) have drifted by a tenth of the limit after 200 limits. A
# new stream compares them anew.
MAX_AGE_LIMITS = 200
MAX_AGE_SECONDS = 6 * 3600.0
# The first try comes at once; many clients that lost one server do not come in the same instant.
FIRST_TRY_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 8.0
# One of the clocks has stood still, in a virtual machine say, if lines are so much older than they should be (of the
# limit) for so long; or younger than they can be. A server whose database is slow sends older ones for a while too, and
# should not have all its clients come again just then.
STRANGE_LIMITS = 0.5
STRANGE_SECONDS = 60.0

# The token is not good, its user may not, there is no such workstation, or the request makes no sense
# or is too long.
FINAL = frozenset({401, 403, 404, 413, 414, 422, 431})

# What every proxy takes in a request line, with room for the address before it, in characters.
LONGEST_QUERY = 4000
# So many parameters the server takes in one, of which 200 may be items.
MOST_IN_QUERY = 200
FLAGS = {"true": True, "false": False}

Handler = Callable[[ServerSentEvent], None]


def pause(attempt: int) -> float:
    """Return the seconds before a try: next to none, then one, two, four, at most eight, up to half of it less."""
    if attempt == 0:
        return random.uniform(0, FIRST_TRY_SECONDS)
    # An outage of hours has more tries than a float can double.
    longest = min(2.0 ** min(attempt - 1, 10), LONGEST_PAUSE_SECONDS)
    return random.uniform(longest / 2, longest)


class Unavailable(Exception):
    """There is no stream to be had now.

    Args:
        why: a sentence.
        retry_after: seconds, where the server says so.
    """

    def __init__(self, why: str, retry_after: float = 0.0) -> None:
        super().__init__(visible(why))
        self.retry_after = retry_after


class EventStream:
    """A stream, from its request to its end.

    Args:
        http: the client whose `base_url` and headers are used.
        params: parameters of the request.
        lease: its lines renew this one; None where the stream only watches.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        params: Sequence[tuple[str, str]],
        lease: Lease | None = None,
    ) -> None:
        self.connection_id: str | None = None
        self.ended = asyncio.Event()
        self.why = ""
        self.opening: dict[str, Any] = {}
        # Why it is of no use any more, where something other than silence says so.
        self.condemned = ""
        self.last_id = ""
        self._http = http
        self._params = list(params)
        self._lease = lease
        self._sent = 0.0
        self._line_at = self._heartbeat_at = 0.0
        # The moment that the last line proved.
        self._proved_at = 0.0
        self._strange_since: float | None = None
        self._max_age = MAX_AGE_SECONDS
        self._timings: Timings | None = None
        self._task: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Whoever waits for it may have given up.
        self._opened.add_done_callback(lambda opened: opened.cancelled() or opened.exception())

    async def open(
        self, last_event_id: str, handle: Handler, proved: Callable[[], None] = lambda: None
    ) -> None:
        """Open it; return once `stream-open` is here, which the handler has been given.

        Args:
            last_event_id: from where to go on; "" for now.
            handle: called with each event, `stream-open` included, until the stream ends or is closed.
            proved: called after each line that proves the connection, when all events before it have been handled. By
                default nothing is called: a stream that only watches renews no lease.

        Raises:
            ApiError: the server refuses, for good.
            Unavailable: it cannot be had now.
        """
        self._task = asyncio.create_task(self._read(last_event_id, handle, proved))
        try:
            # Not wait_for, which may miss that it is cancelled.
            await asyncio.wait({self._opened}, timeout=OPEN_SECONDS)
            if not self._opened.done():
                raise Unavailable("The server did not open the stream in time.")
            self._opened.result()
        except BaseException:
            await self.close()
            raise

    async def until_replaced(self) -> str:
        """Wait until it has ended, or another one is to replace it; return why."""
        assert self._task is not None
        while not (self.ended.is_set() or self.why_replace()):
            await asyncio.wait({self._task}, timeout=LOOK_SECONDS)
        return self.why or self.why_replace()

    async def close(self) -> None:
        """End it, and wait until its connection is closed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    @property
    def is_open(self) -> bool:
        """Whether the server has opened it, and it has not ended."""
        return self.connection_id is not None and not self.ended.is_set()

    @property
    def age(self) -> float:
        """The seconds since its request."""
        return clock.now() - self._sent

    @property
    def was_worth_opening(self) -> bool:
        """Whether it has lasted. One that has not is opened again after longer and longer pauses."""
        return self.age > STEADY_SECONDS

    def why_replace(self) -> str:
        """Return why another stream is to replace this one now; "" if none is."""
        if self.condemned or self._timings is None:
            return self.condemned
        now = clock.now()
        if now - self._line_at > _silence(self._timings):
            return "nothing was heard of the server"
        if now - self._heartbeat_at > MISSING_HEARTBEATS * self._timings.heartbeat:
            return "three heartbeats are missing"
        if self._strange_since is not None and now >= self._strange_since + STRANGE_SECONDS:
            return "a clock has stood still"
        if self._lease is not None and self.age > self._max_age:
            return "it is old"
        return ""

    async def _read(self, last_event_id: str, handle: Handler, proved: Callable[[], None]) -> None:
        try:
            await self._stream(last_event_id, handle, proved)
            self.why = "the server closed it"
            self._fail(Unavailable("The server closed the stream before it was open."))
        except (ApiError, Unavailable) as error:
            self.why = str(error)
            self._fail(error)
        except (httpx.HTTPError, OSError) as error:
            self.why = str(error) or type(error).__name__
            self._fail(Unavailable(self.why))
        except Exception as error:
            # A proxy or another server may have sent it; the next try may find the Silo server.
            self.why = f"the answer is no event stream ({error!r})"
            self._fail(Unavailable(self.why))
        finally:
            self.ended.set()

    def _fail(self, error: Exception) -> None:
        if not self._opened.done():
            self._opened.set_exception(error)

    async def _stream(
        self, last_event_id: str, handle: Handler, proved: Callable[[], None]
    ) -> None:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        self._sent = clock.now()
        request = self._http.stream(**_request(self._params), headers=headers)
        async with request as response:
            if response.status_code != 200:
                await self._refused(response)
            lines = _Lines(response, lambda line: self._comment(line, proved))
            async for sse in EventSource(cast(httpx.Response, lines)).aiter_sse():
                self._line_at = clock.now()
                if sse.event == "message":
                    continue  # a blank line, after a comment
                self.last_id = sse.id
                if sse.event == "stream-open":
                    await self._begin(sse)
                elif sse.event == "heartbeat":
                    self._heartbeat_at = self._line_at
                    self._heartbeat()
                handle(sse)
                if sse.event == "stream-open" and not self._opened.done():
                    self._opened.set_result(None)

    async def _begin(self, sse: ServerSentEvent) -> None:
        opening = json.loads(sse.data)
        timings = Timings.from_payload(opening["timings"])
        # The events behind it are read afterwards: they are newer than the list, or repeat it.
        await self._read_rest(opening, timings)
        self.opening, self._timings = opening, timings
        self.connection_id = opening["connection_id"]
        self._line_at = self._heartbeat_at = clock.now()
        self._proved_at = self._sent
        # At random, so that streams that were opened together are not replaced together.
        longest = min(MAX_AGE_SECONDS, MAX_AGE_LIMITS * self._timings.limit)
        self._max_age = random.uniform(longest / 2, longest)
        if self._lease is not None:
            self._lease.opened(self._sent, self._timings)

    async def _read_rest(self, opening: dict[str, Any], timings: Timings) -> None:
        """Read the further pages of the workstation's sessions. Where that fails, `next` is not None."""
        if opening.get("next") is None:
            return
        workstation_id = dict(self._params).get("workstation_id", "")
        seconds = min(REST_SECONDS, REST_SHARE * timings.acknowledge, REST_SHARE * timings.limit)
        rest = read_on(
            self._http, "/api/edit-sessions", "sessions", opening, workstation=workstation_id
        )
        reading = asyncio.create_task(rest)
        try:
            # Not wait_for, which may miss that it is cancelled.
            await asyncio.wait({reading}, timeout=seconds)
        finally:
            reading.cancel()

    def _heartbeat(self) -> None:
        # Its own stamp comes behind it; that of the line before is older.
        if self._lease is not None:
            self._lease.heartbeat(self._proved_at)

    def _comment(self, line: str, proved: Callable[[], None]) -> None:
        self._line_at = clock.now()
        if self._lease is None or self._timings is None or not line.startswith(STAMP):
            return
        try:
            age = float(line[len(STAMP) :])
        except ValueError:
            return
        # If the server's clock is the faster one, the line seems to come from the future.
        self._proved_at = min(self._line_at, self._sent + age)
        self._note_clocks(self._line_at - self._sent - age, STRANGE_LIMITS * self._timings.limit)
        self._lease.stamped(self._proved_at)
        proved()

    def _note_clocks(self, late: float, most: float) -> None:
        """Note a line that came so many seconds after the moment that it proves."""
        if late < -most:
            self._strange_since = float("-inf")
        elif late <= most:
            self._strange_since = None
        elif self._strange_since is None:
            self._strange_since = self._line_at

    async def _refused(self, response: httpx.Response) -> None:
        await response.aread()
        try:
            body = response.json()
        except ValueError:
            body = None
        error = refusal(response.status_code, body)
        # Only the server itself refuses for good; a proxy may say anything while the server restarts.
        if error is not None and (error.status in FINAL or isinstance(error, IdentityInUseError)):
            raise error
        why = error.message if error else f"The server answered {response.status_code}."
        raise Unavailable(why, seconds_of(response))


def _request(params: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the request for a stream: a GET, or a POST where its items are too many for a request line."""
    query = httpx.QueryParams(list(params))
    if len(params) <= MOST_IN_QUERY and len(str(query)) <= LONGEST_QUERY:
        return {"method": "GET", "url": "/api/events", "params": query}
    body: dict[str, Any] = {name: FLAGS.get(value, value) for name, value in params}
    body.pop("item", None)
    body["items"] = [value for name, value in params if name == "item"]
    return {"method": "POST", "url": "/api/events", "json": body}


class _Lines:
    """A response whose text comes line by line, and whose comments are noticed between the events around them.

    Args:
        response: the response.
        comment: called with each comment line when everything before it has been handled.
    """

    def __init__(self, response: httpx.Response, comment: Callable[[str], None]) -> None:
        self.headers = response.headers
        self._response = response
        self._comment = comment

    async def aiter_text(self) -> AsyncIterator[str]:
        """Yield pieces that end where a line does."""
        rest = ""
        async for text in self._response.aiter_text():
            # Nothing else than this ends a line here: texts may hold what Python's splitlines takes for an end.
            *lines, rest = (rest + text).split("\n")
            for line in lines:
                yield line + "\n"
                if line.startswith(":"):
                    self._comment(line)


def _silence(timings: Timings) -> float:
    """Return for how many seconds a stream may be silent."""
    most = min(MOST_KEEPALIVES * timings.keepalive, LIMIT_SHARE * timings.limit)
    return max(LEAST_KEEPALIVES * timings.keepalive, most)


def seconds_of(response: httpx.Response) -> float:
    """Return the seconds after which an answer asks its client to come back; 0 where it says none."""
    text: str = response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0
