"""Whether the database answers, asked on behalf of `/ready` without ever waiting for it long."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import Error as DatabaseError
from django.db import connection

from events_app.threads import in_thread


def database_answers() -> bool:
    """Ask the database for a sign of life."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


class DatabaseProbe:
    """Asks once for all who want to know at the same time, in a thread and on a connection of its own.

    A database that is frozen keeps that one thread waiting, however often it is asked for.

    Args:
        ask: says whether the database answers; called in the thread.
        patience: the seconds after which a question without an answer is answer enough.
    """

    def __init__(self, ask: Callable[[], bool], patience: float) -> None:
        # What was found last; None before anybody has asked.
        self.answers: bool | None = None
        self._ask = ask
        self._patience = patience
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database-probe")
        self._asking: asyncio.Task[bool] | None = None
        self._asked_at = 0.0

    async def look(self) -> None:
        """Bring `answers` up to date."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(in_thread(self._thread, self._ask))
            self._asked_at = time.monotonic()
        left = self._asked_at + self._patience - time.monotonic()
        # Not wait_for: who gives up leaves the question to the others.
        answered, _ = await asyncio.wait({self._asking}, timeout=max(0.0, left))
        self.answers = any(question.result() for question in answered)
