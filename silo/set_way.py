"""The way of hot calls through the writer: acquire, batch, release of one or many, by a token that is known.

They are answered in the event loop, without a thread and a database connection each: docs/architecture.md, "The way
through the writer". The operation of the API stays their one declaration; it is run here in its parts. A request
that is unusual in any way goes on untouched.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from io import BytesIO
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from ninja.errors import HttpError
from ninja.operation import Operation

from events_app.database.set_writer import SetWriter
from events_app.database.threads import in_thread
from events_app.database.unavailable import is_lock_timeout
from events_app.fairness import callers, request_gate
from events_app.fairness.callers import Scope
from events_app.fairness.request_gate import Application
from events_app.http.stream_answer import LEAVING
from events_app.serving import bodies
from events_app.serving.bodies import ClientLeft, Receive
from events_app.serving.stream_http import Send
from sessions_app.api.in_sets import SetView, parts_of
from sessions_app.authentication import BearerAuth, Principal, Right, known_principal
from sessions_app.errors import DomainError
from sessions_app.models.results import Acquired
from sessions_app.operations.facts import Acquire
from sessions_app.operations.release import Release
from sessions_app.writer import Permitted
from silo import short_way
from silo.api import api
from silo.errors import CODES
from silo.stream_answers import as_djangos

Wish = Acquire | Release
Submit = Callable[[Wish], Awaitable[Any]]

# A larger body is read, and its answer written, in a thread, so that the event loop stands still for no more than a
# few milliseconds: here fit batches of some 80 sessions.
MOST_BYTES: Final = 8 * 1024
# Longer than the address of any valid part number: these are not kept.
_MOST_PATH: Final = 1024
_KEPT: Final = 4096
_ENDS_WITH_ID: Final = re.compile(
    r"([\s\S]*/)([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
)
_ANY_ID: Final = UUID(int=0)
# Node keys and other sessions of an answer that is built in the event loop; a larger one is built in a thread.
MOST_AT_ONCE: Final = 500
# How long requests for something that was found locked go the other way.
BLOCKED_SECONDS: Final = 5.0
_CALL: Final = "silo.hot_call"


class Blocked(Exception):
    """A row that a request needs is locked for longer than a set may wait for it."""


class _BlockedLately:
    """The keys of requests that were blocked within the last seconds: others with them would only delay more sets."""

    def __init__(self) -> None:
        self._until: dict[Hashable, float] = {}

    def note(self, about: Collection[Hashable]) -> None:
        now = time.monotonic()
        kept = {one: until for one, until in self._until.items() if until > now}
        self._until = kept | dict.fromkeys(about, now + BLOCKED_SECONDS)

    def has(self, about: Collection[Hashable]) -> bool:
        now = time.monotonic()
        return bool(self._until) and any(self._until.get(one, 0) > now for one in about)


class Call(NamedTuple):
    """An operation that is called.

    Args:
        operation: the operation.
        view: its view.
        right: what a token needs for it.
        kwargs: the parameters in its path.
    """

    operation: Operation
    view: SetView
    right: Right
    kwargs: Mapping[str, Any]


class _Asked(NamedTuple):
    """A request to be answered."""

    call: Call
    token: str
    who: Principal
    body: bytes


def application(otherwise: Application, writer: SetWriter[Permitted, Any]) -> Application:
    """Return the application in front of all others.

    Args:
        otherwise: answers all other requests.
        writer: of this process.
    """

    blocked = _BlockedLately()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        asked: _Asked = scope[_CALL]
        request = ASGIRequest(dict(scope), BytesIO(asked.body))

        async def submit(wish: Wish) -> Any:
            permitted = Permitted(wish, asked.token, asked.call.right)
            return await _submitted(writer, blocked, permitted, send)

        try:
            response = await respond(request, asked.call, asked.who, submit)
        except ClientLeft:
            return
        response.headers.setdefault("Content-Length", str(len(response.content)))
        await short_way.send_response(response, send)

    answered = request_gate.counted(as_djangos(answer))

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        token = short_way.usual_token(scope, MOST_BYTES) if scope["type"] == "http" else None
        call = None if token is None else called(scope["method"], scope["path"])
        who = None if token is None or call is None else known_principal(token)
        if token is None or call is None or who is None:
            return await otherwise(scope, receive, send)
        callers.known_credentials.note(callers.credentials(scope), who.user.pk)
        try:
            body = await bodies.read(receive)
        except ClientLeft:
            return
        try:
            await answered({**scope, _CALL: _Asked(call, token, who, body)}, receive, send)
        except Blocked:
            await otherwise(scope, bodies.again(body, receive), send)

    return run


async def respond(request: HttpRequest, call: Call, who: Principal, submit: Submit) -> HttpResponse:
    """Return the answer to a request, as the operation's own `run` does.

    Args:
        request: the request.
        call: what it calls.
        who: who asks.
        submit: returns what became of a request to the writer, or raises its refusal.

    Raises:
        ClientLeft: there is nobody to answer.
        Blocked: it was not carried out, and has to go another way.
    """
    operation = call.operation
    try:
        call.right.check(who)
        request.auth = who  # type: ignore[attr-defined]
        blank = operation.api.create_temporal_response(request)
        values = operation._get_values(request, call.kwargs, blank)
        try:
            outcome = await submit(call.view.prepare(request, **values))
        except DomainError as refusal:
            outcome = refusal

        def built() -> HttpResponse:
            found = operation._result_to_response(request, call.view.answer(outcome), blank)
            assert isinstance(found, HttpResponse)
            return found

        # The answer may be far larger than the request: the cones of what is held, and whom it meets.
        large = size_of(outcome) > MOST_AT_ONCE
        response = await in_thread(_large_answers(), built) if large else built()
    except (ClientLeft, Blocked):
        raise
    except Exception as error:
        refused = operation.api.on_exception(request, error)
        assert isinstance(refused, HttpResponse)
        return refused
    return response


def size_of(outcome: Any) -> int:
    """Return about how many texts the answer to an outcome has: node keys, and other sessions with theirs."""
    if not isinstance(outcome, list):
        return 0
    acquired = [one for one in outcome if isinstance(one, Acquired)]
    cones = (vars(one.session).get("dependency_cone", ()) for one in acquired)
    met = (1 + len(conflict.shared) for one in acquired for conflict in one.conflicts)
    return sum(map(len, cones)) + sum(met)


@cache
def _large_answers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="large-answers")


async def _submitted(
    writer: SetWriter[Permitted, Any],
    blocked: _BlockedLately,
    permitted: Permitted,
    send: Send,
) -> Any:
    """Have the writer carry out a request, unless its client leaves while it waits for its set."""
    if blocked.has(permitted.about):
        raise Blocked
    may_be_refused = not permitted.is_release
    if may_be_refused and writer.waiting(permitted.caller) >= settings.LIMITS.requests_per_user:
        raise HttpError(429, CODES[429][1])
    outcome = writer.submit(permitted, refusable=may_be_refused)
    left = False

    def leave() -> None:
        nonlocal left
        left = True
        outcome.cancel()

    await send({"type": LEAVING, "call": leave})
    try:
        return await outcome
    except asyncio.CancelledError:
        if left:
            raise ClientLeft from None
        raise
    except OperationalError as error:
        if not is_lock_timeout(error):
            raise
        blocked.note(permitted.about)
        raise Blocked from error


def called(method: str, path: str) -> Call | None:
    """Return the call of the writer to which Django's routes lead, or None if it is none of these."""
    if len(path) > _MOST_PATH:
        return None
    found = _ENDS_WITH_ID.fullmatch(path)
    if found is None:
        return _called(method, path)
    # The routes do not tell one id from another: so each address of an item is looked for once.
    call = _called(method, f"{found[1]}{_ANY_ID}")
    return call and call._replace(kwargs={**call.kwargs, "session_id": UUID(found[2])})


@lru_cache(_KEPT)
def _called(method: str, path: str) -> Call | None:
    match = short_way.hot_call(method, path)
    found = _operations().get((method, match.view_name)) if match else None
    return found._replace(kwargs=match.kwargs) if found and match else None


@cache
def _operations() -> dict[tuple[str, str], Call]:
    """Return the operations whose views the writer can carry out, by method and name of the address."""
    found = {}
    for router in api._get_bound_routers():
        for path in router.path_operations.values():
            for operation in path.operations:
                view = parts_of(operation.view_func)
                if view is None:
                    continue
                [auth] = (one for one in operation.auth_callbacks if isinstance(one, BearerAuth))
                [method] = operation.methods
                name = f"{api.urls_namespace}:{operation.view_func.__name__}"
                found[method, name] = Call(operation, view, auth.right, {})
    return found
