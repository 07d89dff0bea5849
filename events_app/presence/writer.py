"""Writes the arrivals and departures of a server process into the database. `process.Presence` has one.

Streams never wait for the database when they end; they only queue an entry. The writer takes the queued entries and
writes them as sets, each of so many keys and in a transaction of its own.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from django.db import Error

from events_app import timings
from events_app.database.threads import ConnectedThread, in_thread
from events_app.database.unavailable import backoff, is_statement_error
from events_app.presence import clean_up, server_processes, store
from events_app.presence.acknowledgements import Acknowledgements
from events_app.presence.backend import Key
from events_app.presence.outages import ClockWentBack
from events_app.presence.queue import Entry, PresenceQueue, WriteSet
from events_app.presence.server_processes import NotRegistered, ProcessIdentity
from events_app.presence.store import Arrival, Arrived, Departure, Snapshot
from events_app.presence.stream_interface import (
    OpenStream,
    StreamDisplaced,
    StreamForeign,
    StreamGone,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Opened:
    """A stream that was opened, or whose row has to be written again; then no answer is awaited."""

    connection_id: uuid.UUID
    arrival: Arrival | None
    answer: asyncio.Future[Snapshot] | None = None
    # The key whose sessions `stream-open` lists, if the stream only watches.
    watched: Key | None = None
    # Whose stream it is, where it waits.
    user_id: int | None = None

    @classmethod
    def of(cls, stream: OpenStream, answer: asyncio.Future[Snapshot]) -> "_Opened":
        key = stream.grant.key
        arrival = None if key is None else Arrival.of(stream, key)
        watched = stream.grant.shown if key is None else None
        return cls(stream.connection_id, arrival, answer, watched, stream.grant.user_id)

    @property
    def waits(self) -> bool:
        """Whether anybody still waits for the answer."""
        return self.answer is not None and not self.answer.done()


class PresenceWriter:
    """One per process. `write_loop` is its task.

    Args:
        process: this process.
        streams: the open ones, by connection; `Presence` keeps them.
        acknowledgements: the clients that have to acknowledge a heartbeat.
        configured: the timings.
        proved: returns when this process was last known to reach the database, by a clock that only grows.
    """

    def __init__(
        self,
        process: ProcessIdentity,
        streams: Mapping[uuid.UUID, OpenStream],
        acknowledgements: Acknowledgements,
        configured: timings.Timings,
        proved: Callable[[], float],
    ) -> None:
        # Until the process has a row, and the streams of before have theirs again.
        self.must_register = True
        # Set when a departure has left something to end.
        self.more_to_end = asyncio.Event()
        self._process = process
        self._streams = streams
        self._acknowledgements = acknowledgements
        self._server_dead = configured.server_dead_time
        self._proved = proved
        self._written_at = float("-inf")
        self._has_row = False
        self._renewed = False
        self._registered: dict[uuid.UUID, Arrival] = {}
        self._arrivals: PresenceQueue[_Opened] = PresenceQueue(owner=lambda one: one.user_id)
        self._departures: PresenceQueue[Departure] = PresenceQueue()
        self._departures_next = False
        self._wake = asyncio.Event()
        self._all_registered = asyncio.Event()
        # Held from a write until its result is noted.
        self._writing = asyncio.Lock()
        self._unregistered = False
        self._reset_opened_at = False
        # One thread, one connection, one order.
        self._thread = ConnectedThread("presence-writer")

    # -- what happens --

    def arrive(self, stream: OpenStream) -> asyncio.Future[Snapshot]:
        """Queue the arrival of a stream; return the contents of its `stream-open`, read after the commit."""
        answer: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()
        # A stream without a key is a key of its own.
        key = stream.grant.key or stream.connection_id
        self._arrivals.add((key, stream.grant.user_id), _Opened.of(stream, answer))
        self._wake.set()
        return answer

    def depart(self, departure: Departure, user_id: int) -> None:
        """Queue the departure of a user's stream.

        It waits for arrivals of its key by this user only: whether a key is another user's is asked when that arrives.
        """
        self._departures.add((departure.key, user_id), departure)
        self._wake.set()

    def register_again(self) -> None:
        """Register this process, which was taken for dead, with all its streams, as soon as can be."""
        self.must_register = True
        self._has_row = False
        self._all_registered.clear()
        self._wake.set()

    async def register(self) -> None:
        """Register this process, and return when all its streams are."""
        self.register_again()
        await self._all_registered.wait()

    def reset_opened_at(self) -> None:
        """Write anew since when its streams are open: the database's clock went back."""
        # Which streams are registered is certain only between two writes: a departure may be under way.
        self._reset_opened_at = True
        self._wake.set()

    def registered(self, streams: Iterable[OpenStream]) -> list[Arrival]:
        """Return those of these open streams whose arrival is committed.

        A stream that is still opening gets no heartbeat, nor does one whose departure waits to be written.
        """
        arrivals = (self._registered.get(stream.connection_id) for stream in streams)
        return [arrival for arrival in arrivals if arrival is not None]

    # -- the writer --

    async def write_loop(self) -> None:
        """Write queued entries, a set at a time; retry while the database is unavailable."""
        attempt = 0
        while True:
            self._wake.clear()
            try:
                while await self._step():
                    attempt = 0
            except Error as error:
                attempt += 1
                logger.warning(
                    "writing presence failed", extra={"error": error, "attempt": attempt}
                )
                await asyncio.sleep(backoff(attempt))
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(self._due_in()):
                    await self._wake.wait()

    async def stop(self) -> None:
        """Write the departures from before the stop, then remove this process: its clients do not depart."""
        # A stream whose arrival is not written has not begun. One that departed before the stop may have been the last
        # of its key.
        for one in self._arrivals.keep_only(self._departures):
            if one.answer is not None:
                one.answer.cancel()
        try:
            while await self._step():
                pass
            async with self._writing:
                self._unregistered = True
                await in_thread(self._thread, clean_up.unregister, self._process)
        except Error as error:
            # Another process finds this one dead and does the same.
            logger.warning(
                "unregistering this server process failed; another one will clean up",
                extra={"error": error},
            )
        finally:
            self._thread.end()

    async def _step(self) -> bool:
        """Register, or write one set; return whether there may be more to do now.

        Raises:
            Error: the database is away.
        """
        async with self._writing:
            if self._unregistered:
                return False
            try:
                if not self._has_row:
                    await self._register()
                    return True
                if self._reset_opened_at:
                    self._reset_opened_at = False
                    self._rewrite(self._registered.values())
                return await self._write_next()
            except NotRegistered:
                self.register_again()
                return True
            finally:
                self._note_registered()

    async def _write_next(self) -> bool:
        """Write arrivals and departures in turns; a departure waits for all arrivals of its key by its user."""
        for _ in range(2):
            self._departures_next = not self._departures_next
            if self._departures_next:
                if arrivals := self._arrivals.take(server_processes.KEYS_AT_ONCE):
                    await self._try(self._arrivals, arrivals, self._write_arrivals)
                    return True
            elif departures := self._departures.take(
                server_processes.KEYS_AT_ONCE, without=self._arrivals
            ):
                await self._try(self._departures, departures, self._write_departures)
                return True
        return False

    async def _try(
        self,
        queue: PresenceQueue[Entry],
        write_set: WriteSet[Entry],
        write: Callable[[WriteSet[Entry]], Awaitable[None]],
    ) -> None:
        begun = time.monotonic()
        try:
            await write(write_set)
            self._written_at = time.monotonic()
        except Error as error:
            # The database was reachable and refused this set: by its answer, or because it has served others since this
            # failed before.
            served_at = max(self._proved(), self._written_at)
            there = is_statement_error(error) or (
                write_set.has_failed and served_at > write_set.failed_at
            )
            queue.failed(write_set, seconds=time.monotonic() - begun, divide=there)
            if not there:
                raise
            self._tell(write_set, error)
        except BaseException:
            queue.put_back(write_set)
            raise

    def _tell(self, write_set: WriteSet[Entry], error: Error) -> None:
        log = logger.error if write_set.alone and write_set.failures > 1 else logger.warning
        log(
            "writing presence failed",
            extra={
                "error": error,
                "keys": len(write_set.entries),
                "key": next(iter(write_set.entries))[0],
            },
        )

    async def _write_arrivals(self, write_set: WriteSet[_Opened]) -> None:
        opened = list(write_set)
        arrived, snapshot = await in_thread(self._thread, _arrive, self._process, opened)
        self._note_arrivals(opened, arrived)
        await self._answer(opened, arrived, snapshot)

    def _note_arrivals(self, opened: Collection[_Opened], arrived: Arrived) -> None:
        for one in opened:
            if one.arrival is None:
                continue
            if arrived.has(one.arrival):
                self._registered[one.connection_id] = one.arrival
                if one.answer is not None and one.arrival.ack:
                    self._acknowledgements.arrived(one.connection_id)
            elif one.answer is None:
                self._lose(one.connection_id, arrived)

    def _lose(self, connection_id: uuid.UUID, arrived: Arrived) -> None:
        """Handle a stream that was open when this process was taken for dead, and whose key is gone or has another
        machine or user now."""
        self._registered.pop(connection_id, None)
        stream = self._streams.get(connection_id)
        if stream is None:
            return
        if connection_id in arrived.displaced:
            stream.close("another machine has its identity")
        elif connection_id in arrived.foreign:
            stream.close("another user owns its key")

    async def _answer(
        self, opened: Collection[_Opened], arrived: Arrived, snapshot: Snapshot | None
    ) -> None:
        """Answer the streams that have arrived, as many together as have their snapshots read together.

        Args:
            opened: the streams.
            arrived: which of them have arrived.
            snapshot: that of the first of them, if it was read.
        """
        waiting = [one for one in opened if one.waits]
        while waiting:
            if snapshot is None:
                keys = _shown(waiting, arrived)
                snapshot = await in_thread(self._thread, store.snapshot, keys)
            for one in waiting:
                if one.waits:
                    _answer(one, arrived, snapshot)
            waiting, snapshot = [one for one in waiting if one.waits], None

    async def _write_departures(self, write_set: WriteSet[Departure]) -> None:
        departures = list(write_set)
        if await in_thread(self._thread, store.depart, self._process, departures):
            self.more_to_end.set()
        for departure in departures:
            self._registered.pop(departure.connection_id, None)
            self._acknowledgements.left(departure.connection_id)

    async def _register(self) -> None:
        """Insert a row for this process; its streams follow in sets, as arrivals, before all others."""
        if not await in_thread(self._thread, server_processes.is_registered, self._process):
            self._process.renew()
            self._renewed = True
            await in_thread(self._thread, store.register, self._process)
        # From now on there is a process whose silence is an outage.
        with suppress(ClockWentBack):  # the next beat finds that, too
            await in_thread(self._thread, server_processes.beat, self._process, self._server_dead)
        self._has_row = True
        if not self._renewed:
            return
        self._renewed = False
        again, self._registered = self._registered, {}
        self._rewrite(again.values())
        # Their rows are new: earlier acknowledgements are forgotten, and the next heartbeat asks again.
        self._acknowledgements.forget()
        logger.info(
            "registered this server process",
            extra={"process_id": self._process.id, "streams": len(again)},
        )

    def _rewrite(self, arrivals: Iterable[Arrival]) -> None:
        first: WriteSet[_Opened] = WriteSet()
        for arrival in arrivals:
            opened = _Opened(arrival.connection_id, arrival)
            first.entries.setdefault((arrival.key, arrival.user_id), []).append(opened)
        self._arrivals.put_back(first)
        self._wake.set()

    def _note_registered(self) -> None:
        """Note that a process which was taken for dead is ready again, once all its streams are registered."""
        if self.must_register and self._has_row:
            self.must_register = any(one.answer is None for one in self._arrivals.not_failing_alone)
        if not self.must_register:
            self._all_registered.set()

    def _due_in(self) -> float | None:
        times = (self._arrivals.due_in(), self._departures.due_in(without=self._arrivals))
        return min((one for one in times if one is not None), default=None)


def _arrive(
    process: ProcessIdentity, opened: Collection[_Opened]
) -> tuple[Arrived, Snapshot | None]:
    """Record streams; return which have arrived, and what the first ones that wait begin with, unless that failed."""
    arrivals = [one.arrival for one in opened if one.arrival]
    arrived = store.arrive(process, arrivals) if arrivals else Arrived()
    waiting = [one for one in opened if one.waits]
    try:
        return arrived, store.snapshot(_shown(waiting, arrived)) if waiting else None
    except Error:
        # They have arrived all the same; it is read again.
        return arrived, None


def _shown(waiting: Collection[_Opened], arrived: Arrived) -> set[Key]:
    """Return the keys whose sessions these streams begin with."""
    keys = {one.arrival.key for one in waiting if one.arrival and arrived.has(one.arrival)}
    return keys | {one.watched for one in waiting if one.watched}


def _answer(one: _Opened, arrived: Arrived, snapshot: Snapshot) -> None:
    """Answer a stream if its key is in the snapshot."""
    assert one.answer is not None
    if one.arrival is None:
        if one.watched is None or one.watched in snapshot.held:
            one.answer.set_result(snapshot)
    elif one.connection_id in arrived.foreign:
        one.answer.set_exception(StreamForeign())
    elif one.connection_id in arrived.displaced:
        one.answer.set_exception(StreamDisplaced())
    elif one.arrival.key not in arrived.known:
        one.answer.set_exception(StreamGone())
    elif one.arrival.key in snapshot.held:
        one.answer.set_result(snapshot)
