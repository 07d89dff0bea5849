"""Rules for the gates of requests: which are urgent, which hash passwords or call the provider of OpenID Connect, and
which user a request for a page belongs to."""

import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NoReturn

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponseBase
from django.utils.functional import SimpleLazyObject

from events_app import measured
from events_app.database.unavailable import DATABASE_UNAVAILABLE
from events_app.fairness import request_gate
from events_app.fairness.callers import Scope
from events_app.fairness.request_gate import Application
from events_app.presence.backend import StreamRefused
from events_app.serving.stream_http import refuse
from silo.errors import CODES
from silo.pages import is_page
from silo.short_way import CALL
from silo.stream_answers import as_djangos

# Requests that release sessions or places, and those of vaults. They wait behind no other request of their user, and
# are never refused.
_URGENT: Final = re.compile(
    r"DELETE /api/.*|POST /api/(edit-sessions/release|.*/verify)", re.DOTALL
)
# The name of requests that are not frequent, in the metrics.
OTHER: Final = "other"
# The forms that hash a password, which is slow on purpose.
_HASHING: Final = re.compile(
    r"POST /(admin/(login/|password_change/|auth/user/(add/|[^/]+/password/))|board/(log-in|password))"
)
# The pages that call the provider of OpenID Connect, which may be slow.
_CALLING: Final = re.compile(r"GET /board/log-in/openid(/answer)?")


def is_urgent(scope: Scope) -> bool:
    """Return whether a request releases something, or verifies a session."""
    return bool(_URGENT.fullmatch(_line(scope)))


def limits() -> request_gate.Limits:
    """Return how many requests may wait, by the configuration."""
    return request_gate.Limits(
        settings.LIMITS.requests_per_user,
        settings.LIMITS.requests_per_address,
        as_djangos(_too_many_requests),
        is_urgent,
    )


def with_slow_ones_apart(
    ordinary: Application, hashing: Application, calling: Application
) -> Application:
    """Return an application that sends slow requests elsewhere.

    Args:
        ordinary: gets all others.
        hashing: gets those that hash a password.
        calling: gets those that call the provider of OpenID Connect.
    """

    async def choose(scope: Scope, receive: object, send: object) -> None:
        line = _line(scope)
        application = ordinary
        if _HASHING.fullmatch(line):
            application = hashing
        elif _CALLING.fullmatch(line):
            application = calling
        await application(scope, receive, send)

    return choose


def timed(application: Application) -> Application:
    """Return the application with the time until its requests are answered counted, with their wait for their turn."""

    async def run(scope: Scope, receive: object, send: Any) -> None:
        begun = time.monotonic()
        # Who finds out which operation it is puts the name in.
        names: list[str] = []

        async def pass_on(message: Any) -> None:
            # Then it is known what is answered. How long its client takes to read that says nothing of the server.
            if message["type"] == "http.response.start":
                measured.requests[names[-1] if names else OTHER].add(time.monotonic() - begun)
            await send(message)

        await application({**scope, CALL: names}, receive, pass_on)

    return run


async def _too_many_requests(scope: Scope, receive: object, send: object) -> None:
    await refuse(send, StreamRefused(429, *CODES[429]))  # type: ignore[arg-type]


def _line(scope: Scope) -> str:
    return f"{scope['method']} {scope['path']}"


def _raise(error: Exception) -> NoReturn:
    raise error


class PageLoginMiddleware:
    """Reports the user of a request for a page to the gate; the API's own authentication does it for the API."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        has_login = settings.SESSION_COOKIE_NAME in request.COOKIES
        if has_login and is_page(request.path_info) and hasattr(request, "scope"):
            try:
                user = request.user
                known = None if isinstance(user, AnonymousUser) else user.pk
                request_gate.authenticated(request.scope, known)
            except DATABASE_UNAVAILABLE as error:
                # The view answers with a page that says so, and does not wait for the database once more.
                request.user = SimpleLazyObject(partial(_raise, error))  # type: ignore[assignment]
        return self._get_response(request)
