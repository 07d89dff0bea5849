"""The heartbeats of the streams of one server process, and the end of streams whose clients do not acknowledge them."""

import asyncio
import itertools
import logging
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor

from events_app import measured, timings
from events_app.database.threads import in_thread
from events_app.database.unavailable import DATABASE_UNAVAILABLE
from events_app.presence import store
from events_app.presence.acknowledgements import Acknowledgements
from events_app.presence.alive_queue import AliveRequests
from events_app.presence.backend import StreamGrant, backend
from events_app.presence.server_processes import NotRegistered, ProcessIdentity, is_behind
from events_app.presence.stream_interface import OpenStream
from events_app.presence.writer import PresenceWriter

logger = logging.getLogger(__name__)


class Heartbeats:
    """One per process. `heartbeat_loop` is its task.

    The streams are in slots, by their keys, and the slots have their heartbeats one after the other. So each stream has
    one every `heartbeat_seconds`, and the clients do not answer all at once.

    Args:
        process: this process.
        streams: the open ones, by connection.
        writer: knows which streams are registered.
        acknowledgements: the clients that have to acknowledge a heartbeat.
        alive_requests: the ones that wait to be written.
        worker: the thread that it shares with the housekeeping.
        configured: the timings.
    """

    def __init__(
        self,
        process: ProcessIdentity,
        streams: Mapping[uuid.UUID, OpenStream],
        writer: PresenceWriter,
        acknowledgements: Acknowledgements,
        alive_requests: AliveRequests,
        worker: ThreadPoolExecutor,
        configured: timings.Timings,
    ) -> None:
        self._process = process
        self._streams = streams
        self._writer = writer
        self._acknowledgements = acknowledgements
        self._alive_requests = alive_requests
        self._worker = worker
        self._timings = configured
        self._slots = configured.heartbeat_slots
        self._of_slot: list[dict[uuid.UUID, OpenStream]] = [{} for _ in range(self._slots)]
        # Of each slot, how many heartbeats in a row were not committed.
        self._missed: Counter[int] = Counter()

    async def heartbeat_loop(self) -> None:
        """Refresh the sessions of the streams, write heartbeats once that is committed, and close withdrawn streams."""
        loop = asyncio.get_running_loop()
        pause = self._timings.heartbeat / self._slots
        due = loop.time()
        for slot in itertools.cycle(range(self._slots)):
            # A slot that takes longer is caught up, so that the time between two heartbeats of a stream stays the same.
            due = max(due + pause, loop.time() - self._timings.heartbeat)
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not self._of_slot[slot]:
                self._missed.pop(slot, None)
                continue
            beating = asyncio.create_task(self._round(slot))
            try:
                # A database that is frozen gives no error: a heartbeat that hangs is missed as well, by all.
                while not (await asyncio.wait({beating}, timeout=self._timings.heartbeat))[0]:
                    self._miss(range(self._slots))
                beating.result()
            finally:
                beating.cancel()

    async def heartbeat(self, slot: int) -> None:
        """One heartbeat of the streams of a slot, where they are registered."""
        streams = self._streams_of(slot)
        arrivals = self._writer.registered(streams)
        grants = [stream.grant for stream in streams]
        registered: set[uuid.UUID] = set()
        if arrivals:
            keys = {arrival.key for arrival in arrivals}
            acks = [arrival.connection_id for arrival in arrivals if arrival.ack]
            asked, withdrawn = await in_thread(
                self._worker, store.touch, self._process, keys, acks, grants
            )
            # Streams that ended or lost their registration meanwhile are left out: their entries would never be
            # removed.
            registered = {arrival.connection_id for arrival in arrivals}
            registered &= {arrival.connection_id for arrival in self._writer.registered(streams)}
            still = [pk for pk in acks if pk in registered]
            self._acknowledgements.asked(asked.intersection(still), still)
        else:
            withdrawn = await in_thread(self._worker, backend().withdrawn, grants)
        beating = [
            one for one in streams if one.grant.key is None or one.connection_id in registered
        ]
        for stream in beating:
            stream.heartbeat()
        measured.heartbeats.value += len(beating)
        _close_withdrawn(streams, withdrawn)

    @property
    def useful(self) -> bool:
        """Whether this process can keep alive what it serves."""
        return max(self._missed.values(), default=0) < timings.HEARTBEATS_UNTIL_USELESS

    async def close_silent(self) -> None:
        """Close streams whose clients have not acknowledged a heartbeat in time, as departures.

        `alive` may reach any process. A client is not judged while its request, which came in time, waits to be
        written; nor, for a while, while another process is behind with such requests, which may be its.
        """
        due = self._acknowledgements.due()
        if not due:
            return
        silent, behind = await in_thread(self._worker, self._silent, set(due))
        until = {
            pk: (stream.grant.key, self._acknowledgements.until(at))
            for pk, at in due.items()
            if (stream := self._streams.get(pk)) and stream.grant.key
        }
        waits = self._alive_requests.waiting(until)
        if behind:
            longest = self._timings.dead_peer
            waits |= {pk for pk in silent if not self._acknowledgements.overdue(due[pk], longest)}
        judged = {pk: at for pk, at in due.items() if pk not in waits}
        for connection_id in self._acknowledgements.judge(judged, silent):
            if connection_id in self._streams:
                self._streams[connection_id].close("no acknowledgement", departed=True)

    def _silent(self, due: Collection[uuid.UUID]) -> tuple[set[uuid.UUID], bool]:
        # Read first: writes that another process made before it said that it is behind are seen.
        behind = is_behind(self._process, self._timings.server_dead_time, self._timings.beat)
        return store.silent(due), behind

    def add(self, stream: OpenStream) -> None:
        """Give a stream heartbeats from now on."""
        self._of_slot[self._slot_of(stream)][stream.connection_id] = stream

    def remove(self, stream: OpenStream) -> None:
        """Forget a stream, which has ended."""
        del self._of_slot[self._slot_of(stream)][stream.connection_id]

    def _slot_of(self, stream: OpenStream) -> int:
        return (stream.grant.key or stream.connection_id).int % self._slots

    def _streams_of(self, slot: int) -> list[OpenStream]:
        return [*self._of_slot[slot].values()]

    async def _round(self, slot: int) -> None:
        try:
            try:
                await self.heartbeat(slot)
            except NotRegistered:
                # This process was taken for dead: its streams are registered before they get heartbeats.
                await self._writer.register()
                await self.heartbeat(slot)
            self._missed.pop(slot, None)
        except DATABASE_UNAVAILABLE as error:
            logger.warning("heartbeat failed", extra={"error": error})
            # The heartbeat may have been committed all the same: which clients it asked is not known.
            self._acknowledgements.forget_those(
                stream.connection_id for stream in self._streams_of(slot)
            )
            self._miss([slot])

    def _miss(self, slots: Collection[int]) -> None:
        """Count a heartbeat that was missed, and close the streams that cannot be kept alive."""
        self._missed.update(slots)
        measured.heartbeats_missed.value += len(slots)
        for slot in slots:
            if self._missed[slot] >= timings.HEARTBEATS_UNTIL_USELESS:
                self._close(slot, "the database cannot be reached")

    def _close(self, slot: int, reason: str) -> None:
        streams = self._streams_of(slot)
        if streams:
            logger.warning("closing streams", extra={"reason": reason, "streams": len(streams)})
        for stream in streams:
            stream.close(reason)

    async def close_logged_out(self) -> None:
        """Close the streams of logins that have ended. They are few, so each beat checks them."""
        streams = [one for one in self._streams.values() if one.grant.login is not None]
        if streams:
            grants = [stream.grant for stream in streams]
            withdrawn = await in_thread(self._worker, backend().withdrawn, grants)
            _close_withdrawn(streams, withdrawn)


def _close_withdrawn(streams: Iterable[OpenStream], withdrawn: AbstractSet[StreamGrant]) -> None:
    """Close streams whose token, user or key is no longer permitted, without a departure."""
    if not withdrawn:
        return
    for stream in streams:
        if stream.grant in withdrawn:
            stream.close("no longer permitted")
