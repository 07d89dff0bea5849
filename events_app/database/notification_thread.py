"""The thread that listens for the changes of a `NotifiedCache`, on a connection of its own.

It is a thread and not a task of the event loop, so that a busy loop delays no change.
"""

import logging
import select
import threading
from typing import Any, Final

import psycopg
from django.db import Error as DjangoDatabaseError
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from events_app import timings
from events_app.database import sql
from events_app.database.notified_cache import TRUSTED_SECONDS, NotifiedCache
from events_app.database.unavailable import backoff

logger = logging.getLogger(__name__)

# How often the connection is asked for a proof of life: three may be late before the cache is not trusted.
PROOF_SECONDS: Final = TRUSTED_SECONDS / 4


class NotificationThread:
    """Listens until it is stopped, or the process ends."""

    def __init__(self, cache: NotifiedCache[Any, Any]) -> None:
        self._cache = cache
        self._stopped = threading.Event()
        self._attempt = 0
        self._thread = threading.Thread(target=self._run, name=cache.channel, daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Have it end, within `PROOF_SECONDS`; the cache knows nothing then."""
        self._stopped.set()

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with psycopg.connect(
                    **sql.parameters_for("notifications"), autocommit=True
                ) as connection:
                    self._follow(connection)
            except (psycopg.Error, DjangoDatabaseError, OSError) as error:
                self._attempt += 1
                # At a stop an embedded database may end before this thread does.
                if not self._stopped.is_set():
                    logger.warning(
                        "nothing is cached: the LISTEN connection is lost",
                        extra={"channel": self._cache.channel, "error": error},
                    )
            finally:
                self._cache.lost()
            self._stopped.wait(backoff(self._attempt))

    def _follow(self, connection: "psycopg.Connection[Any]") -> None:
        # Listen first; what is looked up from then on is notified when it changes.
        connection.execute(sql.listen(self._cache.channel).encode())
        self._cache.listening()
        while not self._stopped.is_set():
            asked_at = self._cache.clock()
            self._prove(connection.pgconn)
            self._cache.proved(asked_at)
            self._attempt = 0
            while (left := asked_at + PROOF_SECONDS - self._cache.clock()) > 0:
                if _readable(connection.pgconn, left):
                    self._read(connection.pgconn)

    def _prove(self, pgconn: PGconn) -> None:
        """Wait for an answer. PostgreSQL sends the notifications of all that was committed before ahead of it.

        Raises:
            psycopg.Error: the connection is lost.
            TimeoutError: the database does not answer.
        """
        give_up_at = self._cache.clock() + timings.RELAY_ANSWER_SECONDS
        pgconn.send_query(sql.PROOF_OF_LIFE)
        # Nothing else is on its way, so it goes out at once, or the answer does not come in time.
        pgconn.flush()
        while (result := self._answer(pgconn, give_up_at)) is not None:
            if result.status != ExecStatus.TUPLES_OK:
                raise psycopg.OperationalError(result.get_error_message())
        self._hand_on(pgconn)

    def _answer(self, pgconn: PGconn, give_up_at: float) -> PGresult | None:
        while pgconn.is_busy():
            left = give_up_at - self._cache.clock()
            if left <= 0 or not _readable(pgconn, left):
                raise TimeoutError("the database does not answer")
            pgconn.consume_input()
        return pgconn.get_result()

    def _read(self, pgconn: PGconn) -> None:
        pgconn.consume_input()
        self._hand_on(pgconn)

    def _hand_on(self, pgconn: PGconn) -> None:
        while notification := pgconn.notifies():
            self._cache.notified(notification.extra.decode())


def _readable(pgconn: PGconn, seconds: float) -> bool:
    # Not `select`, which knows no descriptor above 1,023.
    waiting = select.poll()
    waiting.register(pgconn.socket, select.POLLIN)
    return bool(waiting.poll(max(0.0, seconds) * 1000))
