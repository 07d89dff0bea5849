"""Calls of the provider of OpenID Connect: each ends soon, and after one that failed there is none for some seconds."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Any, Final, TypeVar

from requests import PreparedRequest, RequestException, Response
from urllib3.exceptions import HTTPError

# Of one call. A log-in makes three or four, one log-in at a time; providers answer in tenths of a second, and people
# wait about so long before they try again.
CALL_SECONDS: Final = 3.0
# After a call that failed no other one is made for so long: those who wait to log in are told so at once.
REST_SECONDS: Final = 5.0
# Documents and keys of providers have some kilobytes.
MAX_BYTES: Final = 256 * 1024
_PIECE: Final = 16 * 1024

Answer = TypeVar("Answer")


class Unavailable(Exception):
    """The provider cannot be used at the moment; the text says why, for the log.

    Args:
        why: the text.
        repeated: whether it was said before, and nothing was tried since.
    """

    def __init__(self, why: str, *, repeated: bool = False) -> None:
        super().__init__(why)
        self.repeated = repeated


class NotUsable(Unavailable):
    """The provider answers, but what it says cannot be used. Others may still be served, so it is called as before."""


class Bounded:
    """For a class that inherits from a session of requests: bounds of time and size for each call, and no redirects.

    A redirect would carry the client's secret somewhere else.
    """

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a request, and read its answer.

        Raises:
            RequestException: there is none.
            Unavailable: it takes too long, or is too long.
        """
        until = time.monotonic() + CALL_SECONDS
        kwargs |= {"timeout": CALL_SECONDS, "allow_redirects": False, "stream": True}
        response: Response = super().send(request, **kwargs)  # type: ignore[misc]
        with response:
            content = b""
            while piece := _next_piece(response):
                content += piece
                if len(content) > MAX_BYTES:
                    raise Unavailable(f"an answer has more than {MAX_BYTES} bytes")
                if time.monotonic() > until:
                    raise Unavailable(f"an answer takes longer than {CALL_SECONDS:g} s")
        response._content = content
        return response


def _next_piece(response: Response) -> bytes:
    """Return what has come, as soon as something has; `iter_content` would wait for a whole piece."""
    try:
        piece: bytes = response.raw.read1(_PIECE, decode_content=True)
    except HTTPError as error:
        raise Unavailable(f"an answer was cut: {type(error).__name__}") from error
    return piece


class Rest:
    """After a call that failed the provider is not called for some seconds. May be used by any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._until = float("-inf")
        self._why = ""

    def seconds(self) -> float:
        """Return for how long no call may be made."""
        with self._lock:
            return max(0.0, self._until - self._clock())

    def run(self, call: Callable[[], Answer]) -> Answer:
        """Make a call.

        Raises:
            Unavailable: it failed, or one before it a moment ago.
            NotUsable: its answer cannot be used.
        """
        if self.seconds():
            raise Unavailable(self._why, repeated=True)
        try:
            return call()
        except NotUsable:
            raise
        except (RequestException, Unavailable) as error:
            # Of requests' errors only the kind: they quote addresses, which may have a secret.
            why = str(error) if isinstance(error, Unavailable) else type(error).__name__
            with self._lock:
                self._until = self._clock() + REST_SECONDS
                self._why = why
            raise Unavailable(why) from error

    def end(self) -> None:
        """Have the next call made at once."""
        with self._lock:
            self._until = float("-inf")
