"""What a server process does every beat: it says that it lives, removes those that do not, ends what time ends."""

import asyncio
import itertools
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from events_app import presence_store, timings
from events_app.acknowledgements import ObservedClock
from events_app.database_away import DATABASE_AWAY
from events_app.heartbeats import Heartbeats
from events_app.presence_domain import domain
from events_app.presence_store import NotRegistered, ProcessIdentity
from events_app.presence_writer import PresenceWriter
from events_app.threads import in_thread

logger = logging.getLogger(__name__)


class Housekeeping:
    """One per process. `beat_loop` and `keep_loop` are its tasks.

    Args:
        process: this process.
        writer: it registers a process that was taken for dead.
        heartbeats: they know who does not answer.
        observed: counts the time for which this process beats.
        keeper: the thread that it shares with the heartbeats.
        configured: the timings.
    """

    def __init__(
        self,
        process: ProcessIdentity,
        writer: PresenceWriter,
        heartbeats: Heartbeats,
        observed: ObservedClock,
        keeper: ThreadPoolExecutor,
        configured: timings.Timings,
    ) -> None:
        self._process = process
        self._writer = writer
        self._heartbeats = heartbeats
        self._observed = observed
        self._keeper = keeper
        self._timings = configured
        # Since when, by the loop's clock, this process has beaten without a gap.
        self._beating_since: float | None = None
        # Nothing may keep a beat waiting.
        self._beater = ThreadPoolExecutor(1, thread_name_prefix="presence-beat")

    async def beat_loop(self) -> None:
        """Beat. Who finds itself taken for dead has the writer register it again, with all its streams."""
        self._observed.begin()
        server_dead = self._timings.server_dead_time
        while True:
            begun = time.monotonic()
            try:
                await in_thread(self._beater, presence_store.beat, self._process, server_dead)
                gap = self._observed.beaten(begun)
                if self._beating_since is None or gap > self._timings.server_dead:
                    self._beating_since = time.monotonic()
            except NotRegistered:
                self._beating_since = None
                self._writer.register_anew()
            except DATABASE_AWAY as error:
                self._beating_since = None
                logger.warning("no beat", extra={"error": error})
            await asyncio.sleep(self._timings.beat)

    async def keep_loop(self) -> None:
        """Every beat: remove dead processes, end what time ends. More often: close the streams of silent clients."""
        for look in itertools.count(1):
            await asyncio.sleep(self._timings.beat / timings.LOOKS_PER_BEAT)
            try:
                await self._heartbeats.close_silent()
                if look % timings.LOOKS_PER_BEAT:
                    continue
                await self._clean_up()
                while await in_thread(self._keeper, domain().time_passes):
                    pass
            except DATABASE_AWAY as error:
                logger.warning("could not keep the house", extra={"error": error})

    def stop(self) -> None:
        """Give the beat's thread back."""
        self._beater.shutdown(wait=False, cancel_futures=True)

    async def _clean_up(self) -> None:
        """Remove the processes that have ceased to beat.

        Only who has itself beaten for as long may judge: after an outage of the database everybody is silent
        at first.
        """
        since = self._beating_since
        if since is None or time.monotonic() - since < self._timings.server_dead:
            return
        if self._observed.since_beat > 2 * self._timings.beat:
            return  # it was stopped itself, and has not beaten since
        server_dead = self._timings.server_dead_time
        while await in_thread(self._keeper, presence_store.clean_up_one, server_dead):
            pass
