"""Gives answers that do not pass through Django (event streams, `alive`) the headers and checks of its middleware."""

from collections.abc import MutableMapping
from io import BytesIO
from typing import Any

from corsheaders.middleware import CorsMiddleware
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, HttpResponseBase

from events_app.fairness.request_gate import Application
from silo import security_headers
from silo.errors import CODES, HOST_REFUSED, envelope


def as_djangos(application: Application) -> Application:
    """Return the application with Django's check of hosts, CORS, security headers, and `no-store`."""

    async def run(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        request = ASGIRequest(dict(scope), BytesIO())
        middleware = CorsMiddleware(lambda _: HttpResponse())

        async def answer(response: HttpResponseBase) -> None:
            security_headers.add(request, response)
            await _send(response, send)

        if preflight := middleware.check_preflight(request):
            middleware.add_response_headers(request, preflight)
            return await answer(preflight)
        added = HttpResponse()
        del added["Content-Type"]
        middleware.add_response_headers(request, added)
        security_headers.add(request, added)
        try:
            request.get_host()
        except DisallowedHost:
            return await answer(envelope(400, CODES[400][0], HOST_REFUSED))

        async def send_with(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                further = _headers(added)
                if b"cache-control" not in names:
                    further.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*message["headers"], *further]}
            await send(message)

        await application(scope, receive, send_with)

    return run


async def _send(response: HttpResponseBase, send: Any) -> None:
    assert isinstance(response, HttpResponse)
    response.headers.setdefault("Content-Length", str(len(response.content)))
    response.headers.setdefault("Cache-Control", "no-store")
    start = {"type": "http.response.start", "status": response.status_code}
    await send(start | {"headers": _headers(response)})
    await send({"type": "http.response.body", "body": response.content})


def _headers(response: HttpResponseBase) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in response.items()]
