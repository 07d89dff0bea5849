"""Checks for `/ready` whether the database can be written, without ever waiting long."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from django.db import Error as DatabaseError
from django.db import transaction

from events_app.database import sql, start
from events_app.database.standbys import StandbyWatch
from events_app.database.threads import in_thread
from events_app.database.unavailable import message_of

logger = logging.getLogger(__name__)

_AN_ANSWER: Final = "the database does not answer"
_A_COMMIT: Final = "the database does not acknowledge a commit (is a synchronous standby missing?)"


class DatabaseCheck(Protocol):
    """A check that a `DatabaseProbe` runs."""

    # The reason that is given if no answer comes in time.
    unanswered: str

    def run(self) -> str:
        """Return the reason why the database cannot be used, "" if it can. Called in the probe's thread."""


class WriteCheck:
    """Checks that the database is migrated, that a row can be written, and that its commit is acknowledged as that
    of an acquire would be.

    Args:
        migrated: False where it need not be migrated.
        standbys: looks at them on the way; what it finds does not make the database bad.
    """

    def __init__(self, *, migrated: bool = True, standbys: StandbyWatch | None = None) -> None:
        self._migrated = migrated
        self.unanswered = _AN_ANSWER
        self._standbys = standbys or StandbyWatch()

    def run(self) -> str:
        """Return the database's reason why not, "" if it can."""
        self.unanswered = _AN_ANSWER
        try:
            with transaction.atomic():
                if self._migrated and (lacking := start.lacking()):
                    return lacking
                self._standbys.look()
                sql.write_for_probe()
                self.unanswered = _A_COMMIT
        except DatabaseError as error:
            return message_of(error)
        return ""


class DatabaseProbe:
    """Runs one check at a time for all callers, in a thread and on a connection of its own.

    A frozen database keeps only that one thread waiting, however many callers there are. So does a commit that no
    standby acknowledges: it cannot be taken back, and ends when the standby is back.

    Args:
        check: the check.
        patience: after how many seconds without an answer the database counts as unavailable.
        kept: for how many seconds a good answer is reused, so that frequent callers cost no commit each.
    """

    def __init__(self, check: DatabaseCheck, patience: float, kept: float = 0.0) -> None:
        # The latest result; None before the first check.
        self.available: bool | None = None
        # The reason of the latest result; "" if it was good.
        self.reason = ""
        self._check = check
        self._patience = patience
        self._kept = kept
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="database-probe")
        self._asking: asyncio.Task[str] | None = None
        self._asked_at = 0.0
        # When the check with the last good result began.
        self._good_since = 0.0

    async def refresh(self) -> None:
        """Bring `available` and `reason` up to date."""
        if self.available and time.monotonic() - self._good_since < self._kept:
            return
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(in_thread(self._thread, self._check.run))
            self._asked_at = time.monotonic()
        left = self._asked_at + self._patience - time.monotonic()
        # Not wait_for: a caller that gives up must not cancel the check of the others.
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
