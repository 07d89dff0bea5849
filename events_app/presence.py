"""The presence of one server process: its open streams, and the one writer that tells the database of them.

Streams never wait for the database in their clean-up; they only put what happened into a queue. The writer takes
all that is there and writes it as one set.
"""

import asyncio
import itertools
import logging
import time
import uuid
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice

from events_app import presence_store, timings
from events_app.acknowledgements import Acknowledgements, ObservedClock
from events_app.database_away import DATABASE_AWAY, backoff
from events_app.open_stream import OpenStream, StreamDisplaced, StreamGone
from events_app.presence_domain import domain
from events_app.presence_store import (
    Arrival,
    Arrived,
    Departure,
    NotRegistered,
    ProcessIdentity,
    Snapshot,
)
from events_app.siblings import Siblings
from events_app.threads import in_thread

logger = logging.getLogger(__name__)

# Whose departures one transaction writes: it stays well below the time after which the database gives it up.
MAX_KEYS_AT_ONCE = 1000


@dataclass
class _Batch:
    """What has happened since the writer last looked."""

    arrivals: list[tuple[OpenStream, asyncio.Future[Snapshot]]] = field(default_factory=list)
    departures: list[Departure] = field(default_factory=list)


class Presence:
    """One per process. Its tasks are the methods that end in `_loop`."""

    def __init__(self, configured: timings.Timings) -> None:
        self.process = ProcessIdentity()
        self.streams: dict[uuid.UUID, OpenStream] = {}
        self.stopping = False
        self._timings = configured
        self._siblings = Siblings()
        self._registered: dict[uuid.UUID, Arrival] = {}
        self._batch = _Batch()
        self._wake = asyncio.Event()
        # Held from a write to the note of what it wrote, which a registration repeats.
        self._writing = asyncio.Lock()
        self._must_register = True
        self._unregistered = False
        # After a failure one at a time: one that cannot be written keeps nobody else from leaving.
        self._keys_at_once = MAX_KEYS_AT_ONCE
        # Since when, by the loop's clock, this process has beaten without a gap.
        self._beating_since: float | None = None
        self.observed = ObservedClock(configured.beat)
        self._acknowledgements = Acknowledgements(self.observed, configured.patience)
        # In a row, not committed.
        self._missed_heartbeats = 0
        # One thread, one connection and one order each. Nothing may keep a beat waiting.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="presence-writer")
        self._beater = ThreadPoolExecutor(1, thread_name_prefix="presence-beat")
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="presence-keeper")

    # -- what streams call --

    async def arrive(self, stream: OpenStream) -> Snapshot:
        """Wait until the stream's connection is committed.

        Returns:
            What the stream begins with, read after that commit.

        Raises:
            TooManyStreams: the key has as many as it may have.
        """
        key = stream.grant.key
        if key is not None:
            await self._siblings.make_room(key)
            if stream.closed.is_set():
                # Its client has left meanwhile, and nobody would take it away again.
                raise asyncio.CancelledError
            self._siblings.add(key, stream)
        answer: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()
        self.streams[stream.connection_id] = stream
        if self.stopping:
            stream.close("the server stops")
        self._batch.arrivals.append((stream, answer))
        self._wake.set()
        return await answer

    def leave(self, stream: OpenStream, *, by_client: bool) -> None:
        """The stream has ended. Never waits; after `stop` has begun, nothing counts as a departure."""
        if self.streams.pop(stream.connection_id, None) is None:
            return
        key = stream.grant.key
        if key is None:
            return
        self._siblings.remove(key, stream)
        if not self.stopping:
            self._batch.departures.append(Departure(stream.connection_id, key, by_client))
            self._wake.set()

    def close_all(self, reason: str) -> None:
        """Have every stream begin again."""
        if self.streams:
            logger.warning(
                "closing every stream", extra={"reason": reason, "streams": len(self.streams)}
            )
        for stream in list(self.streams.values()):
            stream.close(reason)

    # -- its tasks --

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

    async def beat_loop(self) -> None:
        """Beat. Who finds itself taken for dead has the writer register it again, with all its streams."""
        self.observed.begin()
        while True:
            begun = time.monotonic()
            try:
                await in_thread(self._beater, presence_store.beat, self.process, self._server_dead)
                gap = self.observed.beaten(begun)
                if self._beating_since is None or gap > self._timings.server_dead:
                    self._beating_since = time.monotonic()
            except NotRegistered:
                self._beating_since = None
                self._must_register = True
                self._wake.set()
            except DATABASE_AWAY as error:
                self._beating_since = None
                logger.warning("no beat", extra={"error": error})
            await asyncio.sleep(self._timings.beat)

    async def keep_loop(self) -> None:
        """Every beat: remove dead processes, end what time ends. More often: close the streams of silent clients."""
        for look in itertools.count(1):
            await asyncio.sleep(self._timings.beat / timings.LOOKS_PER_BEAT)
            try:
                await self._close_silent()
                if look % timings.LOOKS_PER_BEAT:
                    continue
                await self._clean_up()
                while await in_thread(self._keeper, domain().time_passes):
                    pass
            except DATABASE_AWAY as error:
                logger.warning("could not keep the house", extra={"error": error})

    async def heartbeat_loop(self) -> None:
        """Touch what the streams keep alive; tell them when that is committed; close what is withdrawn."""
        while True:
            await asyncio.sleep(self._timings.heartbeat)
            beating = asyncio.create_task(self._heartbeat_round())
            try:
                # A database that is frozen gives no error: a heartbeat that hangs is missed as well.
                while not (await asyncio.wait({beating}, timeout=self._timings.heartbeat))[0]:
                    self._miss_heartbeat()
                beating.result()
            finally:
                beating.cancel()

    async def _heartbeat_round(self) -> None:
        try:
            try:
                await self.heartbeat()
            except NotRegistered:
                # It was taken for dead: its streams are registered before anybody is told that they are alive.
                self._must_register = True
                await self._write(_Batch())
                await self.heartbeat()
            self._missed_heartbeats = 0
            await self._close_withdrawn()
        except DATABASE_AWAY as error:
            logger.warning("no heartbeat", extra={"error": error})
            # Perhaps it was committed all the same: who was asked is not known.
            self._acknowledgements.forget()
            self._miss_heartbeat()

    def _miss_heartbeat(self) -> None:
        self._missed_heartbeats += 1
        if not self.useful:
            self.close_all("the database cannot be reached")

    @property
    def ready(self) -> bool:
        """Whether a stream that is opened now would be kept alive: this process is known to all, and beats."""
        return self.useful and not self._must_register

    @property
    def useful(self) -> bool:
        """Whether this process can keep alive what it serves."""
        return self._missed_heartbeats < timings.HEARTBEATS_UNTIL_USELESS

    async def heartbeat(self) -> None:
        """One heartbeat of this process."""
        streams = list(self.streams.values())
        # Only keys whose arrival is committed, and that have not left: a stream that is still opening is nobody's
        # heartbeat, and neither is one whose departure waits to be written.
        registered = list(self._registered.values())
        arrivals = [arrival for arrival in registered if arrival.connection_id in self.streams]
        keys = {arrival.key for arrival in arrivals}
        if keys:
            acks = any(arrival.ack for arrival in arrivals)
            asked = await in_thread(
                self._keeper, presence_store.touch, self.process, keys, acks=acks
            )
            self._acknowledgements.asked(asked, (a.connection_id for a in arrivals if a.ack))
        for stream in streams:
            stream.heartbeat()

    async def _close_withdrawn(self) -> None:
        """Close the streams whose token, user or key is no longer good: no departure."""
        streams = list(self.streams.values())
        grants = {stream.grant for stream in streams}
        withdrawn = await in_thread(self._keeper, domain().withdrawn, grants)
        for stream in streams:
            if stream.grant in withdrawn:
                stream.close("no longer permitted")

    # -- the end --

    async def stop(self) -> None:
        """Write what came before the stop, then remove this process: no departure of its clients."""
        try:
            await self._write(self._take())
            async with self._writing:
                self._unregistered = True
                await in_thread(self._writer, presence_store.unregister, self.process)
        except DATABASE_AWAY as error:
            # Another process finds this one dead and does the same.
            logger.warning("could not unregister", extra={"error": error})
        finally:
            for thread in (self._writer, self._beater, self._keeper):
                thread.shutdown(wait=False, cancel_futures=True)

    # -- inside --

    @property
    def _server_dead(self) -> timedelta:
        return timedelta(seconds=self._timings.server_dead)

    async def _clean_up(self) -> None:
        """Remove the processes that have ceased to beat.

        Only who has itself beaten for as long may judge: after an outage of the database everybody is silent
        at first.
        """
        since = self._beating_since
        if since is None or time.monotonic() - since < self._timings.server_dead:
            return
        if self.observed.since_beat > 2 * self._timings.beat:
            return  # it was stopped itself, and has not beaten since
        while await in_thread(self._keeper, presence_store.clean_up_one, self._server_dead):
            pass

    async def _close_silent(self) -> None:
        """Let those depart that have not acknowledged a heartbeat in time; `alive` may have come to any process."""
        due = self._acknowledgements.due()
        if not due:
            return
        silent = await in_thread(self._keeper, presence_store.silent, due)
        for connection_id in self._acknowledgements.judge(due, silent):
            if connection_id in self.streams:
                self.streams[connection_id].close("no acknowledgement", departed=True)

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
            if arrivals or self._must_register:
                arrived = await in_thread(self._writer, self._arrive, arrivals)
                self._note_arrivals(a for a in arrivals if arrived.has(a))
                self._must_register = False
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
                self._close_displaced(await in_thread(self._writer, self._depart, some))
                batch.departures, self._keys_at_once = others, count
                for departure in some:
                    self._registered.pop(departure.connection_id, None)
                    self._acknowledgements.left(departure.connection_id)
            self._keys_at_once = MAX_KEYS_AT_ONCE

    def _close_displaced(self, connection_ids: Iterable[uuid.UUID]) -> None:
        """Close those that were open when this process was taken for dead, and whose key another machine got then."""
        for connection_id in connection_ids:
            if self._registered.pop(connection_id, None) and connection_id in self.streams:
                self.streams[connection_id].close("another machine has its identity")

    async def _answer(self, batch: _Batch, arrived: Arrived) -> None:
        """Give the streams that have arrived what they begin with."""
        if all(answer.done() for _, answer in batch.arrivals):
            return
        snapshot = await in_thread(self._writer, presence_store.snapshot, arrived.known)
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
            return presence_store.arrive(self.process, arrivals)
        except NotRegistered:
            return self._register(arrivals)

    def _register(self, arrivals: Collection[Arrival] = ()) -> Arrived:
        open_streams = {a.connection_id: a for a in (*self._registered.values(), *arrivals)}
        arrived = presence_store.register(self.process, list(open_streams.values()))
        # Who is registered has been observed: from now on there is somebody whose silence is an outage.
        presence_store.beat(self.process, self._server_dead)
        # Their rows are new: what was acknowledged before is forgotten, and the next heartbeat asks again.
        self._acknowledgements.forget()
        logger.info(
            "registered this server process",
            extra={"process_id": self.process.id, "streams": len(open_streams)},
        )
        return arrived

    def _depart(self, departures: Collection[Departure]) -> Collection[uuid.UUID]:
        """Write departures; return those that are another machine's now, if this process had to register again."""
        displaced: Collection[uuid.UUID] = ()
        try:
            presence_store.depart(self.process, departures)
        except NotRegistered:
            displaced = self._register().displaced
            presence_store.depart(self.process, departures)
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
