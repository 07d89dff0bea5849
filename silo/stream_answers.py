"""Gives answers that do not pass through Django (event streams, `alive`, `set_way`) the headers and checks of its
middleware."""

from collections.abc import Callable, Mapping, MutableMapping
from functools import lru_cache, partial
from io import BytesIO
from typing import Any, Final

from corsheaders.middleware import CorsMiddleware
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, HttpResponseBase

from events_app.fairness.request_gate import Application
from silo import security_headers
from silo.errors import CODES, HOST_REFUSED, envelope

Headers = tuple[tuple[bytes, bytes], ...]
Judgement = tuple[HttpResponseBase | None, Headers]

# The headers by which Django's middleware decides something about a request without an `Origin`, and that one.
_DECIDING: Final = frozenset(
    {b"host", b"origin", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto"}
)
_COMMON_METHODS: Final = frozenset({"GET", "POST", "DELETE"})
# Clients name a server by few names, and most answers are about as long.
_KEPT: Final = 64
_ANSWERS_KEPT: Final = 1024


def as_djangos(application: Application) -> Application:
    """Return the application with Django's check of hosts, CORS, security headers, and `no-store`."""

    async def run(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        answer, added = _judged(scope)
        if answer is not None:
            return await _send(answer, send)

        async def send_with(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _complete(tuple(message["headers"]), added)}
            await send(message)

        await application(scope, receive, send_with)

    return run


def completed(headers: Headers) -> Callable[[Headers], Headers] | None:
    """Return what adds to the headers of an answer what `as_djangos` adds; None where it answers by itself.

    Args:
        headers: of a request to the API, which has come over plain HTTP.
    """
    scope = {"type": "http", "method": "POST", "scheme": "http", "path": "/api/"}
    answer, added = _judged({**scope, "query_string": b"", "headers": headers})
    return None if answer is not None else partial(_complete, added=added)


@lru_cache(_ANSWERS_KEPT)
def _complete(headers: Headers, added: Headers) -> Headers:
    further = () if b"cache-control" in dict(headers) else ((b"cache-control", b"no-store"),)
    return (*headers, *added, *further)


def _judged(scope: Mapping[str, Any]) -> Judgement:
    """Return the answer that a request gets already here, if any, and the headers that are added to any other one."""
    given = tuple((name, value) for name, value in scope["headers"] if name in _DECIDING)
    names = {name for name, _ in given}
    is_common = (
        scope["method"] in _COMMON_METHODS
        and scope["path"].startswith("/api/")
        and b"host" in names
        and b"origin" not in names
    )
    return _judged_common(scope["scheme"], given) if is_common else _judge(scope)


@lru_cache(_KEPT)
def _judged_common(scheme: str, given: Headers) -> Judgement:
    """Judge a request to the API by all that the middleware looks at where no other origin asks."""
    return _judge(
        {
            "type": "http",
            "method": "GET",
            "scheme": scheme,
            "path": "/api/",
            "query_string": b"",
            "headers": given,
        }
    )


def _judge(scope: Mapping[str, Any]) -> Judgement:
    request = ASGIRequest(dict(scope), BytesIO())
    middleware = CorsMiddleware(lambda _: HttpResponse())
    if preflight := middleware.check_preflight(request):
        middleware.add_response_headers(request, preflight)
        security_headers.add(request, preflight)
        return preflight, ()
    added = HttpResponse()
    del added["Content-Type"]
    middleware.add_response_headers(request, added)
    security_headers.add(request, added)
    try:
        request.get_host()
    except DisallowedHost:
        refusal = envelope(400, CODES[400][0], HOST_REFUSED)
        middleware.add_response_headers(request, refusal)
        security_headers.add(request, refusal)
        return refusal, ()
    return None, tuple(_headers(added))


async def _send(response: HttpResponseBase, send: Any) -> None:
    assert isinstance(response, HttpResponse)
    response.headers.setdefault("Content-Length", str(len(response.content)))
    response.headers.setdefault("Cache-Control", "no-store")
    start = {"type": "http.response.start", "status": response.status_code}
    await send(start | {"headers": _headers(response)})
    await send({"type": "http.response.body", "body": response.content})


def _headers(response: HttpResponseBase) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in response.items()]
