"""The innermost middleware: it has Django run a request in one thread, from the first middleware to the view."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase


class OneThreadMiddleware:
    """Passes each request on; synchronous only.

    Django runs a middleware that knows both ways as its successor runs. Behind an asynchronous one each would hand the
    request to a thread and back again, twice: 15 hops instead of 5, each of which waits for a turn of the event loop.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)
