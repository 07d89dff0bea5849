"""Whether the database can be worked with, asked on behalf of `/ready` without ever waiting for it long."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from django.db import Error as DatabaseError
from django.db import transaction

from events_app.database import sql
from events_app.database.threads import in_thread

logger = logging.getLogger(__name__)

_AN_ANSWER: Final = "the database does not answer"
_A_COMMIT: Final = "the database does not acknowledge a commit (is a synchronous standby missing?)"


class DatabaseCheck(Protocol):
    """What a probe asks."""

    # What is the matter if no answer comes.
    unanswered: str

    def run(self) -> str:
        """Return what is the matter, "" if nothing is; called in the probe's thread."""


class WriteCheck:
    """Whether something can be written, and its commit is acknowledged as that of an acquire would be."""

    def __init__(self) -> None:
        self.unanswered = _AN_ANSWER

    def run(self) -> str:
        """Return the database's reason why not, "" if it can."""
        self.unanswered = _AN_ANSWER
        try:
            with transaction.atomic():
                sql.write_for_probe()
                self.unanswered = _A_COMMIT
        except DatabaseError as error:
            return _told(error)
        return ""


class DatabaseProbe:
    """Asks once for all who want to know at the same time, in a thread and on a connection of its own.

    A database that is frozen keeps that one thread waiting, however often it is asked for. So does a commit that
    nobody acknowledges: it cannot be taken back, and ends when the standby is there again.

    Args:
        check: what is run.
        patience: the seconds after which a question without an answer is answer enough.
        kept: for how many seconds a good answer is one, so that a proxy which asks often costs no commit each time.
    """

    def __init__(self, check: DatabaseCheck, patience: float, kept: float = 0.0) -> None:
        # What was found last; None before anybody has asked.
        self.available: bool | None = None
        # What is the matter, where it was not good.
        self.reason = ""
        self._check = check
        self._patience = patience
        self._kept = kept
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database-probe")
        self._asking: asyncio.Task[str] | None = None
        self._asked_at = 0.0
        # When the question was asked that had the last good answer.
        self._good_since = 0.0

    async def refresh(self) -> None:
        """Bring `available` and `reason` up to date."""
        if self.available and time.monotonic() - self._good_since < self._kept:
            return
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(in_thread(self._thread, self._check.run))
            self._asked_at = time.monotonic()
        left = self._asked_at + self._patience - time.monotonic()
        # Not wait_for: who gives up leaves the question to the others.
        answered, _ = await asyncio.wait({self._asking}, timeout=max(0.0, left))
        self._note(self._asking.result() if answered else self._waited())

    def _waited(self) -> str:
        return f"{self._check.unanswered}: for {time.monotonic() - self._asked_at:.1f} s"

    def _note(self, reason: str) -> None:
        if reason and self.available is not False:
            logger.warning("server not ready", extra={"error": reason})
        if not reason:
            self._good_since = self._asked_at
        self.available, self.reason = not reason, reason


def _told(error: DatabaseError) -> str:
    """Return what may be told to anybody: the database's own message, but not where and how it was not reached."""
    diagnosis = getattr(error.__cause__, "diag", None)
    message = diagnosis.message_primary if diagnosis else None
    return f"the database says: {message}" if message else "the database cannot be reached"
