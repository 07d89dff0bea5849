"""Middleware for every answer of Django: HEAD, caching and Content-Length."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from sessions_app.text import text_fault

# These answers change with the version of the service only.
MAY_BE_KEPT = {"/api/docs", "/api/openapi.json"}


class PlainHttpMiddleware:
    """The outermost middleware: answers HEAD like GET, adds `no-store` where no caching is stated, drops invalid
    session cookies."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # A quoted cookie can hold NUL, which the database refuses.
        if text_fault(request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")):
            del request.COOKIES[settings.SESSION_COOKIE_NAME]
        is_head = request.method == "HEAD"
        if is_head:
            # The operations of the API only know GET. The body of the answer is cut below, and by the server.
            request.method = "GET"
        response = self._get_response(request)
        if is_head:
            request.method = "HEAD"
            response = _without_stream(response)
        if request.path_info not in MAY_BE_KEPT:
            response.headers.setdefault("Cache-Control", "no-store")
        if "Allow" in response:
            response["Allow"] = _with_head(response["Allow"])
        if isinstance(response, HttpResponse) and "Content-Length" not in response:
            response["Content-Length"] = str(len(response.content))
        return response


def _without_stream(response: HttpResponseBase) -> HttpResponseBase:
    """Return the answer; of a streamed one, whose body would not be sent, only the headers."""
    if not response.streaming:
        return response
    response.close()
    return HttpResponse(status=response.status_code, headers=response.headers)


def _with_head(allowed: str) -> str:
    """Return the methods of an `Allow` in order, HEAD among them where there is GET."""
    methods = {method.strip() for method in allowed.split(",")}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
