"""The short way of hot calls: acquire, batch, release of one, of many or of a workstation's, and verify.

They pass the gate as all requests, and are answered by the very view that Django would find, in one thread. The way
there through Django's middleware is left out, of which only the part runs that says something about a request without
cookies. A request that is unusual in any way goes on to Django: docs/architecture.md, "The short way".
"""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from io import BytesIO
from typing import Any, Final

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.exception import convert_exception_to_response
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import get_resolver
from django.urls.resolvers import ResolverMatch
from django.utils.module_loading import import_string

from events_app.database.threads import in_thread
from events_app.fairness.callers import Scope
from events_app.fairness.request_gate import Application
from events_app.serving import bodies
from events_app.serving.bodies import ClientLeft, Receive
from events_app.serving.stream_http import Send

# Method and name of the address.
CALLS: Final = frozenset(
    {
        ("POST", "api:acquire"),
        ("POST", "api:acquire_batch"),
        ("POST", "api:release_many"),
        ("DELETE", "api:release"),
        ("DELETE", "api:release_all"),
        ("POST", "api:verify"),
    }
)
_METHODS: Final = frozenset(method for method, _ in CALLS)
# The list in a scope that gets the name of the operation, for the metrics.
CALL: Final = "silo.call"
# A longer body goes on to Django, which keeps it in a file.
MOST_BYTES: Final = 64 * 1024
# Each at most once. A request with any other header that changes what happens to it is unusual.
_REQUIRED: Final = frozenset({b"host", b"authorization"})
_UNUSUAL: Final = frozenset(
    {b"cookie", b"origin", b"transfer-encoding", b"expect", b"upgrade", b"content-encoding"}
)
# What these do for a request needs its cookie, or is about pages.
_LEFT_OUT: Final = frozenset(
    {
        "silo.static_files.StaticFilesMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "silo.request_shares.PageLoginMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "silo.one_thread.OneThreadMiddleware",
    }
)


def application(otherwise: Application, at_once: int) -> Application:
    """Return the application for hot calls.

    Args:
        otherwise: answers all other requests.
        at_once: how many requests the gate lets in.
    """
    threads = ThreadPoolExecutor(at_once, thread_name_prefix="hot-calls")

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        match = (
            None
            if usual_token(scope, MOST_BYTES) is None
            else hot_call(scope["method"], scope["path"])
        )
        if match is None:
            return await otherwise(scope, receive, send)
        scope.get(CALL, []).append(match.view_name.removeprefix("api:"))
        try:
            body = await bodies.read(receive)
        except ClientLeft:
            return
        response = await in_thread(threads, answer, ASGIRequest(dict(scope), BytesIO(body)), match)
        await send_response(response, send)

    return run


def hot_call(method: str, path: str) -> ResolverMatch | None:
    """Return the call to which Django's routes lead, or None if it is none of these."""
    try:
        match = get_resolver().resolve(path)
    except Http404:
        return None
    return match if (method, match.view_name) in CALLS else None


def answer(request: HttpRequest, match: ResolverMatch) -> HttpResponse:
    """Return the answer of a call's view, with all that the middleware adds."""
    request.resolver_match = match
    response: HttpResponse = _middleware()(request)
    return response


def usual_token(scope: Scope, most_bytes: int) -> str | None:
    """Return the bearer token of a usual request; None if its line or headers ask for more than the short way.

    Args:
        scope: the request's.
        most_bytes: of its body.
    """
    if scope["method"] not in _METHODS or scope["query_string"] or scope.get("root_path"):
        return None
    return token_in(scope["headers"], most_bytes)


def token_in(headers: Collection[tuple[bytes, bytes]], most_bytes: int) -> str | None:
    """Return the bearer token in these headers, if they are usual.

    Args:
        headers: names in small letters.
        most_bytes: of the body.
    """
    values = dict(headers)
    given = values.keys()
    if not given >= _REQUIRED or given & _UNUSUAL or len(headers) != len(values):
        return None
    size = values.get(b"content-length", b"0")
    credentials = values[b"authorization"]
    if credentials[:7].lower() != b"bearer " or not size.isdigit() or int(size) > most_bytes:
        return None
    return credentials[7:].decode("latin-1")


async def send_response(response: HttpResponse, send: Send) -> None:
    """Send a whole answer."""
    headers = [(name.encode(), value.encode("latin-1")) for name, value in response.items()]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": response.content})


def _view(request: HttpRequest) -> HttpResponse:
    match = request.resolver_match
    assert match is not None
    response: HttpResponse = match.func(request, *match.args, **match.kwargs)
    return response


@cache
def _middleware() -> Callable[[HttpRequest], Any]:
    """Return the view within the part of the middleware that a request without cookies needs."""
    chain: Callable[[HttpRequest], Any] = convert_exception_to_response(_view)
    for name in reversed(settings.MIDDLEWARE):
        if name not in _LEFT_OUT:
            chain = convert_exception_to_response(import_string(name)(chain))
    return chain
