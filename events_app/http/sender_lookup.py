"""Looks up the senders of large bodies before more of them is read, a set of requests at a time."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from django.http import HttpRequest

from events_app.database.threads import in_thread
from events_app.database.unavailable import DATABASE_UNAVAILABLE
from events_app.presence.backend import backend

logger = logging.getLogger(__name__)

# Of one set, which is a fixed number of queries.
REQUESTS_AT_ONCE: Final = 100


class SenderLookup:
    """Looks up the users of requests. One per server, with a thread and a database connection of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="sender-lookup")
        self._waiting: deque[tuple[HttpRequest, asyncio.Future[int]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def user_of(self, request: HttpRequest) -> int:
        """Return the primary key of the user who sends the request.

        Args:
            request: its headers; it has no body yet.

        Raises:
            StreamRefused: the credentials are not accepted.
            DATABASE_UNAVAILABLE: the database does not answer.
        """
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._ask())
        return await answer

    async def _ask(self) -> None:
        while self._waiting:
            some = [
                self._waiting.popleft() for _ in range(min(REQUESTS_AT_ONCE, len(self._waiting)))
            ]
            # Requests whose clients have disconnected are left out.
            asked = [(request, answer) for request, answer in some if not answer.done()]
            users: Sequence[int | Exception]
            try:
                users = await in_thread(
                    self._threads, backend().users, [request for request, _ in asked]
                )
            except Exception as error:
                if not isinstance(error, DATABASE_UNAVAILABLE):
                    logger.exception("looking up the senders of request bodies failed")
                users = [error] * len(asked)
            for (_, answer), user in zip(asked, users, strict=True):
                if answer.done():
                    continue
                if isinstance(user, Exception):
                    answer.set_exception(user)
                else:
                    answer.set_result(user)
