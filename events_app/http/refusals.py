"""The refusals that the server sends before any application sees the request, and the phrases of statuses."""

import json
from http import HTTPStatus
from typing import Final, NamedTuple

from events_app.http import envelope


class Refusal(NamedTuple):
    """An error answer: its status, its code, and a sentence for a person."""

    status: int
    code: str
    message: str

    @property
    def body(self) -> bytes:
        """The envelope."""
        return json.dumps(envelope.content(self.code, self.message)).encode()

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers that the status needs."""
        needed = envelope.headers(self.status)
        return [(name.encode(), value.encode()) for name, value in needed.items()]

    @property
    def answer_headers(self) -> list[tuple[bytes, bytes]]:
        """All headers of its answer on a connection that goes on."""
        return [
            (b"Content-Type", b"application/json"),
            (b"Cache-Control", b"no-store"),
            (b"Content-Length", b"%d" % len(self.body)),
            *self.headers,
        ]


NOT_HTTP: Final = Refusal(400, "invalid_request", "This is not a valid HTTP request.")
NO_HOST: Final = Refusal(
    400, "invalid_request", "Send exactly one Host header; only HTTP/1.0 may leave it out."
)
BAD_LENGTH: Final = Refusal(
    400,
    "invalid_request",
    "State the length of the body once: by a Content-Length in digits, or by Transfer-Encoding: chunked.",
)
BAD_TARGET: Final = Refusal(
    400,
    "invalid_request",
    "The address of a request begins with / or is a whole http URL, and is percent-encoded UTF-8.",
)
BAD_METHOD: Final = Refusal(400, "invalid_request", "A method is written in capitals.")
NO_WEBSOCKETS: Final = Refusal(
    403,
    "forbidden",
    "This server has no WebSockets; read events as server-sent events (GET /api/events).",
)
TIMED_OUT: Final = Refusal(
    408,
    "request_timeout",
    "The request came too slowly: its headers have 20 seconds, its body 30 and one more for each 50 kB.",
)
BODY_TOO_LARGE: Final = Refusal(
    413, "body_too_large", "The body is too large: a request's body has at most 8 MB."
)

URI_TOO_LONG: Final = Refusal(
    414,
    "uri_too_long",
    "The address is too long: with its query it has at most 16 kB.",
)
HEADER_TOO_LARGE: Final = Refusal(
    431,
    "header_too_large",
    "The headers are too large: a request has at most 500 headers, of 16 kB together.",
)
TOO_MANY_BODIES: Final = Refusal(
    429,
    "too_many_requests",
    "Too many large requests of this user wait already. Send fewer at a time.",
)
NO_ROOM: Final = Refusal(
    503, "unavailable", "The memory for large requests has been full for a minute; try again."
)
UNAVAILABLE: Final = Refusal(
    503,
    "unavailable",
    "The service is starting or stopping, or the database is unavailable; try again.",
)
TOO_MANY_CONNECTIONS: Final = Refusal(
    503, "unavailable", "This server has as many connections as it can; try again."
)
FAILED: Final = Refusal(
    500, "internal_error", "The server failed and has logged the error. Try again."
)

# The codes of the errors that Twisted answers by itself, in one sentence each.
CODES: Final = {400: "invalid_request", 500: "internal_error", 503: "unavailable"}

# Older versions of Python know these by their former names.
_PHRASES: Final = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}


def phrase(status: int) -> bytes | None:
    """Return the phrase of a status, which Twisted does not know for each; None for one that nobody knows."""
    try:
        return _PHRASES.get(status, HTTPStatus(status).phrase).encode()
    except ValueError:
        return None


def body_over(limit: int) -> Refusal:
    """Return the refusal of a body that has more than so many bytes."""
    size = f"{limit >> 20} MB" if limit >= 1 << 20 else f"{limit >> 10} kB"
    return BODY_TOO_LARGE._replace(message=f"The body of this request has at most {size}.")
