"""Finds out that notifications of PostgreSQL do not reach this process, so that each event is late by a poll.

A connection pooler in transaction mode loses them without an error: it lends another server connection for each
transaction, and what comes on one that is lent to nobody is dropped. There are two signs, and both are counted in
answers of the database, not in seconds, so neither a busy machine nor a restart of PostgreSQL looks like a loss:

* **The round trip.** The process notifies itself by another connection. PostgreSQL sends a notification ahead of its
  next answer on the connection that listens; where two reads of the log were answered without it, it is lost.
* **The poll.** The relay reads the log when nothing was notified for a while. Where it finds entries again and again,
  and no notification comes in between, those of other writers are lost.
"""

import logging
import secrets
from collections.abc import Callable
from typing import Final

import psycopg
from django.db import Error as DjangoDatabaseError

from events_app.database import sql
from events_app.log.listen_connection import ListenConnection

logger = logging.getLogger(__name__)

# One read may have begun before the notification was committed.
READS_PER_ROUND_TRIP: Final = 2
# A pooler may let single notifications pass, and one may be lost with a connection.
ROUND_TRIPS: Final = 2
POLLS: Final = 3
NOTIFICATIONS: Final = 3

ADVICE: Final = (
    "notifications of PostgreSQL do not arrive, so events are late: is there a pooler in transaction mode? Let"
    " DATABASE_URL lead to PostgreSQL itself, or use session mode"
)


class NotifyWatch:
    """Whether notifications reach one process. It is used in the event loop only."""

    def __init__(self) -> None:
        # Called when a loss begins (true) and ends (false).
        self.on_change: Callable[[bool], None] = lambda lost: None
        # The token of a round trip begins with it, however late it comes.
        self._own = secrets.token_hex(8)
        self._number = 0
        self._came_number = 0
        self._awaited = False
        self._reads = 0
        # Round trips in a row: successful ones are positive.
        self._trips = 0
        self._trip_lost = False
        # Polls in a row that found entries without a notification; whether the last one did.
        self._polls = 0
        self._found = False
        self._heard = 0
        self._poll_lost = False
        self._told = False

    @property
    def lost(self) -> bool:
        """Whether notifications do not arrive."""
        return self._trip_lost or self._poll_lost

    @property
    def asking(self) -> bool:
        """Whether a round trip waits to be judged, by reads of the log."""
        return self._awaited

    @property
    def sure(self) -> bool:
        """Whether enough round trips have said the same."""
        return abs(self._trips) >= ROUND_TRIPS and not self.lost

    def connected(self) -> None:
        """There is another connection that listens: what was notified before does not come any more."""
        self._awaited, self._found = False, False
        self._polls = self._trips = self._heard = 0

    def new_token(self) -> str:
        """Return the text of a notification that is to come back."""
        self._number += 1
        return f"{self._own} {self._number}"

    def notified(self) -> None:
        """The last notification is committed. Unless it has come already, reads of the log show whether it does."""
        if self._came_number < self._number:
            self._awaited, self._reads = True, 0

    def came(self, token: str) -> None:
        """The notification of a round trip has come: of this process's, or of another one's."""
        own, _, number = token.partition(" ")
        if own != self._own:
            return
        self._came_number = int(number)
        self._awaited = False
        self._trips = max(self._trips, 0) + 1
        if self._trips >= ROUND_TRIPS:
            self._trip_lost = False
        self._tell("round trip")

    def heard(self) -> None:
        """A notification of events has come."""
        self._found, self._polls = False, 0
        self._heard += 1
        if self._heard >= NOTIFICATIONS:
            self._poll_lost = False
        self._tell("notifications")

    def read(self, *, found: bool, idle: bool) -> None:
        """The log was read.

        Args:
            found: whether there were entries.
            idle: whether it was read because nothing was notified, and not because something was.
        """
        if self._awaited:
            self._reads += 1
            # What came with the answer is handed on after it: the read after the last one that counts says so.
            if self._reads > READS_PER_ROUND_TRIP:
                self._awaited = False
                self._trips = min(self._trips, 0) - 1
                self._trip_lost = self._trip_lost or self._trips <= -ROUND_TRIPS
                self._tell("round trip")
        if idle and found:
            # An entry may have been committed just now: only the next one that is found shows that nothing came.
            self._polls += self._found
            self._found, self._heard = True, 0
            if self._polls >= POLLS:
                self._poll_lost = True
                self._tell("poll")

    def _tell(self, sign: str) -> None:
        if self.lost != self._told:
            self._told = self.lost
            self.on_change(self.lost)
            if self.lost:
                logger.warning("notifications are lost", extra={"found_by": sign, "error": ADVICE})
            else:
                logger.info("notifications arrive again", extra={"found_by": sign})


async def ask(watch: NotifyWatch) -> None:
    """Send a notification that has to come back, by a connection of its own."""
    token = watch.new_token()
    try:
        async with await ListenConnection.open("notify check") as other:
            await other.run(sql.NOTIFY_ROUND_TRIP, [token])
    except (psycopg.Error, DjangoDatabaseError, OSError) as error:
        # The database is away, which the relay says, or has no connection left for this.
        logger.debug("round trip of a notification not begun", extra={"error": error})
    else:
        watch.notified()
