"""The heartbeats of the streams of one server process, and what becomes of clients that do not answer them."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

from events_app import presence_store, timings
from events_app.acknowledgements import Acknowledgements
from events_app.database_away import DATABASE_AWAY
from events_app.open_stream import OpenStream
from events_app.presence_domain import domain
from events_app.presence_writer import PresenceWriter
from events_app.server_processes import NotRegistered, ProcessIdentity
from events_app.threads import in_thread

logger = logging.getLogger(__name__)


class Heartbeats:
    """One per process. `heartbeat_loop` is its task.

    Args:
        process: this process.
        streams: those that are open, by connection.
        writer: it knows which of them are registered.
        acknowledgements: who has to acknowledge a heartbeat.
        keeper: the thread that it shares with the housekeeping.
        configured: the timings.
        close_all: closes every stream, for a reason.
    """

    def __init__(
        self,
        process: ProcessIdentity,
        streams: Mapping[uuid.UUID, OpenStream],
        writer: PresenceWriter,
        acknowledgements: Acknowledgements,
        keeper: ThreadPoolExecutor,
        configured: timings.Timings,
        close_all: Callable[[str], None],
    ) -> None:
        self._process = process
        self._streams = streams
        self._writer = writer
        self._acknowledgements = acknowledgements
        self._keeper = keeper
        self._timings = configured
        self._close_all = close_all
        # In a row, not committed.
        self._missed = 0

    async def heartbeat_loop(self) -> None:
        """Touch what the streams keep alive; tell them when that is committed; close what is withdrawn."""
        while True:
            await asyncio.sleep(self._timings.heartbeat)
            beating = asyncio.create_task(self._round())
            try:
                # A database that is frozen gives no error: a heartbeat that hangs is missed as well.
                while not (await asyncio.wait({beating}, timeout=self._timings.heartbeat))[0]:
                    self._miss()
                beating.result()
            finally:
                beating.cancel()

    async def heartbeat(self) -> None:
        """One heartbeat of this process, for the streams that are registered."""
        streams = list(self._streams.values())
        arrivals = self._writer.registered
        keys = {arrival.key for arrival in arrivals}
        if keys:
            acks = any(arrival.ack for arrival in arrivals)
            asked = await in_thread(
                self._keeper, presence_store.touch, self._process, keys, acks=acks
            )
            self._acknowledgements.asked(asked, (a.connection_id for a in arrivals if a.ack))
        registered = {arrival.connection_id for arrival in arrivals}
        for stream in streams:
            if stream.grant.key is None or stream.connection_id in registered:
                stream.heartbeat()

    @property
    def useful(self) -> bool:
        """Whether this process can keep alive what it serves."""
        return self._missed < timings.HEARTBEATS_UNTIL_USELESS

    async def close_silent(self) -> None:
        """Let those depart that have not acknowledged a heartbeat in time; `alive` may have come to any process."""
        due = self._acknowledgements.due()
        if not due:
            return
        silent = await in_thread(self._keeper, presence_store.silent, due)
        for connection_id in self._acknowledgements.judge(due, silent):
            if connection_id in self._streams:
                self._streams[connection_id].close("no acknowledgement", departed=True)

    async def _round(self) -> None:
        try:
            try:
                await self.heartbeat()
            except NotRegistered:
                # It was taken for dead: its streams are registered before anybody is told that they are alive.
                await self._writer.register()
                await self.heartbeat()
            self._missed = 0
            await self._close_withdrawn(list(self._streams.values()))
        except DATABASE_AWAY as error:
            logger.warning("no heartbeat", extra={"error": error})
            # Perhaps it was committed all the same: who was asked is not known.
            self._acknowledgements.forget()
            self._miss()

    def _miss(self) -> None:
        self._missed += 1
        if not self.useful:
            self._close_all("the database cannot be reached")

    async def close_logged_out(self) -> None:
        """Close the streams of log-ins that have ended: they are few, so each beat can look at them."""
        streams = [one for one in self._streams.values() if one.grant.login is not None]
        if streams:
            await self._close_withdrawn(streams)

    async def _close_withdrawn(self, streams: Collection[OpenStream]) -> None:
        """Close those of the streams whose token, user or key is no longer good: no departure."""
        grants = {stream.grant for stream in streams}
        withdrawn = await in_thread(self._keeper, domain().withdrawn, grants)
        for stream in streams:
            if stream.grant in withdrawn:
                stream.close("no longer permitted")
