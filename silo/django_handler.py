"""Django's handler of ASGI requests, which keeps no bodies of requests that it has answered."""

from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponseBase


class Handler(ASGIHandler):
    """Django's, which gives the body of a request back with its answer.

    A request of Django's refers to itself (by its user and its messages, say), and so is kept until Python collects
    garbage, which may be long after (findings/django-keeps-answered-bodies.sh).
    """

    async def run_get_response(self, request: HttpRequest) -> HttpResponseBase:
        """Return the answer. Afterwards the request has an empty body."""
        try:
            return await super().run_get_response(request)
        finally:
            request._body = b""
