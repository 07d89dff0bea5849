"""The way of hot calls through the writer: acquire, batch, release of one or many, by a token that is known.

They are answered in the event loop, by callbacks, without a task, a thread and a database connection each:
docs/architecture.md, "Through the writer". The operation of the API stays their one declaration: what it says of path,
body and answer is looked up once. A request that is unusual or invalid in any way goes on untouched.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Final, NamedTuple, Protocol

from django.conf import settings
from django.db import OperationalError
from ninja.errors import HttpError
from pydantic import ValidationError

from events_app import measured
from events_app.database.set_writer import SetWriter
from events_app.database.unavailable import is_lock_timeout
from events_app.fairness import callers, request_gate
from events_app.fairness.callers import Scope
from events_app.fairness.request_gate import Application
from events_app.http.kept import kept
from events_app.http.lane_parser import Headers, PlainRequest
from events_app.http.stream_answer import LEAVING
from events_app.serving import bodies
from events_app.serving.bodies import ClientLeft, Receive
from events_app.serving.stream_http import Send
from sessions_app.authentication import Principal, known_principal
from sessions_app.errors import DomainError
from sessions_app.writer import Permitted
from silo import short_way
from silo.errors import CODES
from silo.set_calls import Answer, Call, called, size_of
from silo.stream_answers import completed

# A larger body is read, and its answer written, in a thread, so that the event loop stands still for no more than a
# few milliseconds: here fit batches of some 80 sessions.
MOST_BYTES: Final = 8 * 1024
# Node keys and other sessions of an answer that is built in the event loop; a larger one is built in a thread.
MOST_AT_ONCE: Final = 500
# How long requests for something that was found locked go the other way.
BLOCKED_SECONDS: Final = 5.0


class _BlockedLately:
    """The keys of requests that were blocked within the last seconds: others with them would only delay more sets."""

    def __init__(self) -> None:
        # In the order of the times: each is as long blocked.
        self._until: dict[Hashable, float] = {}

    def note(self, about: Collection[Hashable]) -> None:
        now = time.monotonic()
        for one in about:
            self._until.pop(one, None)
            self._until[one] = now + BLOCKED_SECONDS
        while next(iter(self._until.values()), now + 1) <= now:
            del self._until[next(iter(self._until))]

    def has(self, about: Collection[Hashable]) -> bool:
        now = time.monotonic()
        return bool(self._until) and any(self._until.get(one, 0) > now for one in about)


class Carrier(Protocol):
    """Brings the answer of a request to its client; see `LaneRequest`."""

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send the answer, if the client is still there."""

    def when_left(self, call: Callable[[], object]) -> None:
        """Call this if the client leaves before the answer."""

    def hand_on(self) -> None:
        """Have the request answered on another way, if the client is still there."""


@dataclass(frozen=True, slots=True)
class _Asker:
    """The sender, by the headers: its token, the digest of that, and what completes the headers of its answers."""

    token: str = field(repr=False)
    credentials: bytes | None
    complete: Callable[[Headers], Headers]


class _Asked(NamedTuple):
    """A request that this way knows how to answer."""

    call: Call
    asker: _Asker
    who: Principal


class SetWay:
    """The way, with the writer at its end.

    Args:
        writer: of this process.
    """

    def __init__(self, writer: SetWriter[Permitted, Any]) -> None:
        self._writer = writer
        self._blocked = _BlockedLately()

    def take(self, request: PlainRequest, carrier: Carrier) -> bool:
        """Take a request of the lane and answer it, now or later; return False if it has to go another way."""
        asked = _asked(request.method, request.target, request.headers)
        return asked is not None and self._begin(asked, request.body, carrier)

    def application(self, otherwise: Application) -> Application:
        """Return the same as an ASGI application in front of all others: not every request comes by the lane.

        Args:
            otherwise: answers all other requests.
        """

        async def run(scope: Scope, receive: Receive, send: Send) -> None:
            asked = _asked_in(scope)
            if asked is None:
                return await otherwise(scope, receive, send)
            try:
                body = await bodies.read(receive)
            except ClientLeft:
                return
            carrier = _InTask()
            if self._begin(asked, body, carrier):
                with request_gate.counting():
                    await carrier.send_answer(send)
            else:
                carrier.hand_on()
            if carrier.is_handed_on:
                await otherwise(scope, bodies.again(body, receive), send)

        return run

    def _begin(self, asked: _Asked, body: bytes, carrier: Carrier) -> bool:
        call, asker, who = asked
        waiting = _Waiting(call, asker, carrier, time.monotonic())
        callers.known_credentials.note(asker.credentials, who.user.pk)
        try:
            call.right.check(who)
            permitted = Permitted(call.wish(who, body), asker.token, call.right)
            if self._blocked.has(permitted.about):
                return False
            outcome = self._submit(permitted)
        except (ValidationError, DomainError):
            return False
        except Exception as error:
            waiting.answer(call.refused(error))
            return True
        carrier.when_left(outcome.cancel)
        outcome.add_done_callback(partial(self._end, waiting, permitted))
        return True

    def _submit(self, permitted: Permitted) -> "asyncio.Future[Any]":
        may_be_refused = not permitted.is_release
        waiting = self._writer.waiting(permitted.caller) if may_be_refused else 0
        if waiting and waiting >= settings.LIMITS.requests_per_user:
            raise HttpError(429, CODES[429][1])
        return self._writer.submit(permitted, refusable=may_be_refused)

    def _end(
        self, waiting: "_Waiting", permitted: Permitted, outcome: "asyncio.Future[Any]"
    ) -> None:
        """Answer with what became of a request, unless its client left while it waited for its set."""
        if outcome.cancelled():
            return
        error = outcome.exception()
        if isinstance(error, OperationalError) and is_lock_timeout(error):
            self._blocked.note(permitted.about)
            waiting.carrier.hand_on()
        else:
            waiting.answer_with(error or outcome.result())


class _Waiting(NamedTuple):
    """A call that waits for its outcome."""

    call: Call
    asker: _Asker
    carrier: Carrier
    begun: float

    def answer_with(self, outcome: Any) -> None:
        """Answer with the outcome, or with a refusal.

        The answer may be far larger than the request: the cones of what is held, and whom it meets.
        """
        if size_of(outcome) <= MOST_AT_ONCE:
            return self.answer(self.call.answer(outcome))
        building = _large_answers().submit(self.call.answer, outcome)
        asyncio.wrap_future(building).add_done_callback(lambda built: self.answer(built.result()))

    def answer(self, answer: Answer) -> None:
        self.carrier.answer(answer.status, self.asker.complete(answer.headers), answer.body)
        measured.requests[self.call.operation.view_func.__name__].add(time.monotonic() - self.begun)


class _InTask:
    """Carries the answer of a request that did not come by the lane, or was handed on there."""

    def __init__(self) -> None:
        self.is_handed_on = False
        self._answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._leave: Callable[[], object] = bool

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        self._end_with(Answer(status, headers, body))

    def when_left(self, call: Callable[[], object]) -> None:
        self._leave = call

    def hand_on(self) -> None:
        self.is_handed_on = not self._answer.done()
        self._end_with(None)

    def leave(self) -> None:
        self._end_with(None)
        self._leave()

    def _end_with(self, answer: Answer | None) -> None:
        if not self._answer.done():
            self._answer.set_result(answer)

    async def send_answer(self, send: Send) -> None:
        """Wait for the answer and send it; send nothing if it is handed on, or if its client leaves."""
        try:
            await send({"type": LEAVING, "call": self.leave})
            answer = await self._answer
        except asyncio.CancelledError:
            self._leave()
            raise
        if answer is not None:
            start = {"type": "http.response.start", "status": answer.status}
            await send({**start, "headers": [*answer.headers]})
            await send({"type": "http.response.body", "body": answer.body})


@cache
def _large_answers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="large-answers")


def _asked_in(scope: Scope) -> _Asked | None:
    if scope["type"] != "http" or scope["scheme"] != "http":
        return None
    if scope["query_string"] or scope.get("root_path"):
        return None
    return _asked(scope["method"], scope["raw_path"], tuple(map(tuple, scope["headers"])))


def _asked(method: str, target: bytes, headers: Headers) -> _Asked | None:
    """Return the call of a request; None where it is none of this way, or unusual, or its token is not known."""
    call = called(method, target)
    asker = None if call is None else _asker(headers)
    who = None if asker is None else known_principal(asker.token)
    return _Asked(call, asker, who) if call and asker and who else None


@kept
def _asker(headers: Headers) -> _Asker | None:
    token = short_way.token_in(headers, MOST_BYTES)
    complete = None if token is None else completed(headers)
    if token is None or complete is None:
        return None
    return _Asker(token, callers.credentials({"headers": headers}), complete)
