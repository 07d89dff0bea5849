"""Decides how much of a request body is read, and when.

A body of at most `READ_AT_ONCE` is read with its request. A larger one is not read before its sender is known and there
is memory for it: until then its connection is not read, so the client's kernel keeps what it sends.
"""

import asyncio
from collections.abc import Callable
from functools import cache
from io import BytesIO
from typing import Any, Final
from urllib.parse import unquote

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.utils.module_loading import import_string

from events_app.database.unavailable import DATABASE_UNAVAILABLE
from events_app.fairness import callers
from events_app.http import free_memory, refusals
from events_app.http.body_memory import BodyMemory, NoRoom, Place, TooManyWaiting
from events_app.http.refusals import Refusal
from events_app.http.sender_lookup import SenderLookup
from events_app.presence.backend import StreamRefused

# Requests that keep a lock alive or release it are never larger: they wait for no memory.
READ_AT_ONCE: Final = 64 * 1024
# How many parts the memory of bodies has: an owner may have one, so that a slow sender keeps others from nothing.
SHARES: Final = 4
# How long after the last large body its memory goes back to the system: not between two of many.
TRIM_AFTER_SECONDS: Final = 1.0


class BodyRefused(Exception):
    """A body is not read.

    Args:
        refusal: the answer for its sender.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


# No operation's limit is smaller.
LEAST_LIMIT: Final = 4 * 1024


@cache
def _limit() -> Callable[[str, str], int]:
    limit: Callable[[str, str], int] = import_string(settings.EVENTS_BODY_LIMIT)
    return limit


def limit_of(method: bytes, path: bytes) -> int:
    """Return how many bytes the body of a request may have, according to `EVENTS_BODY_LIMIT`.

    Args:
        method: as it was received.
        path: as it was received, perhaps with a query.
    """
    return _limit()(method.decode("latin-1"), unquote(path.partition(b"?")[0].decode("latin-1")))


class Bodies:
    """The large bodies of one server process.

    Args:
        workers: how many processes share `EVENTS_BODY_MEMORY_MB`; each has room for the largest body.
    """

    def __init__(self, workers: int = 1) -> None:
        largest = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        total = max((settings.EVENTS_BODY_MEMORY_MB << 20) // workers, largest)
        share = max(total // SHARES, largest)
        self.memory = BodyMemory(
            total, share, settings.EVENTS_REQUESTS_PER_USER, emptied=self._trim_later
        )
        self._sender_lookup = SenderLookup()
        self._trim: asyncio.TimerHandle | None = None

    async def _user_of(self, scope: dict[str, Any]) -> int:
        """Return the user who sends a body. The request is authenticated again when all of it is here."""
        credentials = callers.credentials(scope)
        user = callers.known_credentials.user(credentials)
        if user is None:
            user = await self._sender_lookup.user_of(ASGIRequest(scope, BytesIO()))
            callers.known_credentials.note(credentials, user)
        return user

    def _trim_later(self) -> None:
        """Trim the heap soon: the objects made of the last bodies are freed in a moment."""
        if self._trim is not None:
            self._trim.cancel()
        self._trim = asyncio.get_running_loop().call_later(TRIM_AFTER_SECONDS, self._trim_now)

    def _trim_now(self) -> None:
        if not self.memory.used:
            free_memory.return_to_system()

    async def place(self, scope: dict[str, Any], size: int) -> Place:
        """Wait until a body may be read.

        Args:
            scope: of the request, as far as its headers say.
            size: bytes, or the most that it may have where it does not say.

        Raises:
            BodyRefused: its sender is not known, or has too many that wait, or there was no memory for too long.
        """
        try:
            return await self.memory.place(await self._user_of(scope), size)
        except StreamRefused as error:
            raise BodyRefused(Refusal(error.status, error.code, error.message)) from None
        except TooManyWaiting:
            raise BodyRefused(refusals.TOO_MANY_BODIES) from None
        except NoRoom:
            raise BodyRefused(refusals.NO_ROOM) from None
        except DATABASE_UNAVAILABLE:
            raise BodyRefused(refusals.UNAVAILABLE) from None
