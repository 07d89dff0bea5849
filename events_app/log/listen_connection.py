"""The relay's connection to the database, which listens: notifications are handed on in the turn in which they come."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from events_app import timings
from events_app.database import sql

logger = logging.getLogger(__name__)

Row = tuple[Any, ...]
# Gets the texts of notifications; returns whether it wants more.
Take = Callable[[Sequence[str]], bool]


class ListenConnection:
    """An open connection; `async with` closes it.

    psycopg has an iterator of notifications. For each of them it makes several tasks of the loop and a time-out: some
    400 us, where reading it from libpq takes 10.

    Args:
        connection: psycopg's.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Row]) -> None:
        self._connection = connection
        # What came with the answers to statements.
        self._texts: list[str] = []
        # Gets the texts of the channel of round trips.
        self.on_round_trip: Callable[[str], None] = lambda text: None
        connection.add_notify_handler(
            lambda notification: self._note(notification.channel, notification.payload)
        )

    @classmethod
    async def open(cls, purpose: str = "relay") -> "ListenConnection":
        """Connect.

        Args:
            purpose: what the connection is for, in PostgreSQL's lists.

        Raises:
            psycopg.Error, django.db.Error: it cannot be.
        """
        # May start the embedded server, so not in the loop.
        parameters = await asyncio.to_thread(sql.parameters_for, purpose)
        return cls(await psycopg.AsyncConnection.connect(**parameters, autocommit=True))

    async def __aenter__(self) -> "ListenConnection":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def run(self, statement: str, params: Sequence[Any] = ()) -> list[Row]:
        """Run a statement; return its rows.

        Raises:
            psycopg.Error: it has failed, or took longer than `RELAY_ANSWER_SECONDS`.
        """
        with self._answered():
            cursor = await self._connection.execute(statement, params or None)
            return await cursor.fetchall() if cursor.description else []

    async def hear(self, take: Take, idle: float) -> None:
        """Hand on notifications as they come, until they are not wanted, or none has come for so long.

        Args:
            take: called with all that have come.
            idle: seconds.

        Raises:
            psycopg.Error: the connection is lost.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        heard_at = loop.time()

        def heard() -> None:
            nonlocal heard_at
            try:
                texts = self._come()
                if texts:
                    heard_at = loop.time()
                    if not take(texts):
                        stop()
            except Exception as error:
                stop(error)

        def stop(error: Exception | None = None) -> None:
            loop.remove_reader(descriptor)
            if ended.done():
                return
            if error is None:
                ended.set_result(None)
            else:
                ended.set_exception(error)

        descriptor = self._connection.fileno()
        loop.add_reader(descriptor, heard)
        try:
            heard()
            while not ended.done() and (left := heard_at + idle - loop.time()) > 0:
                await asyncio.wait([ended], timeout=left)
        finally:
            stop()
        ended.result()

    def _come(self) -> list[str]:
        """Return the notifications that have come."""
        pgconn = self._connection.pgconn
        pgconn.consume_input()
        while notification := pgconn.notifies():
            self._note(notification.relname.decode(), notification.extra.decode())
        texts, self._texts = self._texts, []
        return texts

    def _note(self, channel: str, text: str) -> None:
        if channel == sql.ROUND_TRIP_CHANNEL:
            self.on_round_trip(text)
        else:
            self._texts.append(text)

    @contextmanager
    def _answered(self) -> Iterator[None]:
        """Cut the connection if the block takes too long: what waits in it fails at once.

        Cancelling it instead would ask the database, which does not answer, to cancel the query, and wait for that.
        """
        cut = asyncio.get_running_loop().call_later(timings.RELAY_ANSWER_SECONDS, self._cut)
        try:
            yield
        finally:
            cut.cancel()

    def _cut(self) -> None:
        logger.warning("the database does not answer the relay")
        with suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)
