"""The one writer of a server process: it tells the database which streams have begun and ended.

Streams never wait for the database in their clean-up; they only put what happened into a queue. The writer takes
all that is there and writes it as one set.
"""

import asyncio
import logging
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from events_app import presence_store, timings
from events_app.acknowledgements import Acknowledgements
from events_app.database_away import DATABASE_AWAY, backoff
from events_app.open_stream import OpenStream, StreamDisplaced, StreamGone
from events_app.presence_store import (
    Arrival,
    Arrived,
    Departure,
    NotRegistered,
    ProcessIdentity,
    Snapshot,
)
from events_app.threads import in_thread

logger = logging.getLogger(__name__)

# Whose departures one transaction writes: it stays well below the time after which the database gives it up.
MAX_KEYS_AT_ONCE = 1000


@dataclass
class _Batch:
    """What has happened since the writer last looked."""

    arrivals: list[tuple[OpenStream, asyncio.Future[Snapshot]]] = field(default_factory=list)
    departures: list[Departure] = field(default_factory=list)


class PresenceWriter:
    """One per process. `write_loop` is its task.

    Args:
        process: this process.
        streams: those that are open, by connection; `Presence` keeps them.
        acknowledgements: who has to acknowledge a heartbeat.
        configured: the timings.
    """

    def __init__(
        self,
        process: ProcessIdentity,
        streams: Mapping[uuid.UUID, OpenStream],
        acknowledgements: Acknowledgements,
        configured: timings.Timings,
    ) -> None:
        self.must_register = True
        self._process = process
        self._streams = streams
        self._acknowledgements = acknowledgements
        self._server_dead = configured.server_dead_time
        self._registered: dict[uuid.UUID, Arrival] = {}
        self._batch = _Batch()
        self._wake = asyncio.Event()
        # Held from a write to the note of what it wrote, which a registration repeats.
        self._writing = asyncio.Lock()
        self._unregistered = False
        # After a failure one at a time: one that cannot be written keeps nobody else from leaving.
        self._keys_at_once = MAX_KEYS_AT_ONCE
        # One thread, one connection, one order.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="presence-writer")

    # -- what happens --

    def arrive(self, stream: OpenStream) -> asyncio.Future[Snapshot]:
        """Queue the arrival of a stream; the answer is what it begins with, read after the commit."""
        answer: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()
        self._batch.arrivals.append((stream, answer))
        self._wake.set()
        return answer

    def depart(self, departure: Departure) -> None:
        """Queue a departure."""
        self._batch.departures.append(departure)
        self._wake.set()

    def register_anew(self) -> None:
        """Register this process, which was taken for dead, with all its streams, as soon as can be."""
        self.must_register = True
        self._wake.set()

    @property
    def registered(self) -> list[Arrival]:
        """The streams whose arrival is committed and that have not left.

        A stream that is still opening is nobody's heartbeat, and neither is one whose departure waits to be written.
        """
        registered = list(self._registered.values())
        return [arrival for arrival in registered if arrival.connection_id in self._streams]

    # -- the writer --

    async def write_loop(self) -> None:
        """Write what streams have queued, a set at a time; retry while the database is away."""
        attempt = 0
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch = self._take()
            try:
                await self._write(batch)
                attempt = 0
            except DATABASE_AWAY as error:
                attempt += 1
                logger.warning(
                    "presence cannot be written", extra={"error": error, "attempt": attempt}
                )
                self._put_back(batch)
                await asyncio.sleep(backoff(attempt))

    async def register(self) -> None:
        """Register now, and return when that is committed."""
        self.must_register = True
        await self._write(_Batch())

    async def stop(self) -> None:
        """Write what came before the stop, then remove this process: no departure of its clients."""
        try:
            await self._write(self._take())
            async with self._writing:
                self._unregistered = True
                await in_thread(self._thread, presence_store.unregister, self._process)
        except DATABASE_AWAY as error:
            # Another process finds this one dead and does the same.
            logger.warning("could not unregister", extra={"error": error})
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _take(self) -> _Batch:
        batch, self._batch = self._batch, _Batch()
        return batch

    def _put_back(self, batch: _Batch) -> None:
        self._batch.arrivals[:0] = batch.arrivals
        self._batch.departures[:0] = batch.departures
        self._wake.set()

    async def _write(self, batch: _Batch) -> None:
        """Write arrivals, then departures: of one connection the arrival comes first."""
        arrivals = [
            Arrival.of(stream, stream.grant.key)
            for stream, _ in batch.arrivals
            if stream.grant.key is not None
        ]
        async with self._writing:
            if self._unregistered:
                return
            if arrivals or self.must_register:
                arrived = await in_thread(self._thread, self._arrive, arrivals)
                self._note_arrivals(a for a in arrivals if arrived.has(a))
                self.must_register = False
                self._close_displaced(arrived.displaced)
                await self._answer(batch, arrived)
            elif batch.arrivals:
                await self._answer(batch, Arrived(set(), set()))
            # A departure that has to wait for a lock keeps no arrival waiting, and is tried again without it.
            batch.arrivals = []
            while batch.departures:
                some, others = _of_keys(batch.departures, self._keys_at_once)
                # If this fails, the others' turn is before it.
                batch.departures = [*others, *some]
                count, self._keys_at_once = self._keys_at_once, 1
                self._close_displaced(await in_thread(self._thread, self._depart, some))
                batch.departures, self._keys_at_once = others, count
                for departure in some:
                    self._registered.pop(departure.connection_id, None)
                    self._acknowledgements.left(departure.connection_id)
            self._keys_at_once = MAX_KEYS_AT_ONCE

    def _close_displaced(self, connection_ids: Iterable[uuid.UUID]) -> None:
        """Close those that were open when this process was taken for dead, and whose key another machine got then."""
        for connection_id in connection_ids:
            if self._registered.pop(connection_id, None) and connection_id in self._streams:
                self._streams[connection_id].close("another machine has its identity")

    async def _answer(self, batch: _Batch, arrived: Arrived) -> None:
        """Give the streams that have arrived what they begin with."""
        if all(answer.done() for _, answer in batch.arrivals):
            return
        shown = {stream.grant.shown for stream, _ in batch.arrivals if stream.grant.shown}
        snapshot = await in_thread(self._thread, presence_store.snapshot, arrived.known | shown)
        for stream, answer in batch.arrivals:
            if answer.done():
                continue
            if stream.connection_id in arrived.displaced:
                answer.set_exception(StreamDisplaced())
            elif stream.grant.key is None or stream.grant.key in arrived.known:
                answer.set_result(snapshot)
            else:
                answer.set_exception(StreamGone())

    def _note_arrivals(self, arrivals: Iterable[Arrival]) -> None:
        for arrival in arrivals:
            self._registered[arrival.connection_id] = arrival
            if arrival.ack:
                self._acknowledgements.arrived(arrival.connection_id)

    def _arrive(self, arrivals: Collection[Arrival]) -> Arrived:
        try:
            return presence_store.arrive(self._process, arrivals)
        except NotRegistered:
            return self._register(arrivals)

    def _register(self, arrivals: Collection[Arrival] = ()) -> Arrived:
        open_streams = {a.connection_id: a for a in (*self._registered.values(), *arrivals)}
        arrived = presence_store.register(self._process, list(open_streams.values()))
        # Who is registered has been observed: from now on there is somebody whose silence is an outage.
        presence_store.beat(self._process, self._server_dead)
        # Their rows are new: what was acknowledged before is forgotten, and the next heartbeat asks again.
        self._acknowledgements.forget()
        logger.info(
            "registered this server process",
            extra={"process_id": self._process.id, "streams": len(open_streams)},
        )
        return arrived

    def _depart(self, departures: Collection[Departure]) -> Collection[uuid.UUID]:
        """Write departures; return those that are another machine's now, if this process had to register again."""
        displaced: Collection[uuid.UUID] = ()
        try:
            presence_store.depart(self._process, departures)
        except NotRegistered:
            displaced = self._register().displaced
            presence_store.depart(self._process, departures)
        return displaced


def _of_keys(
    departures: Sequence[Departure], count: int
) -> tuple[list[Departure], list[Departure]]:
    """Return the departures of the first so many keys, and the others."""
    keys = set(islice(dict.fromkeys(departure.key for departure in departures), count))
    return (
        [departure for departure in departures if departure.key in keys],
        [departure for departure in departures if departure.key not in keys],
    )
