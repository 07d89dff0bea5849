"""The work of a server process at each beat: it beats, cleans up after dead processes, and ends graces."""

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import Error

from events_app import timings
from events_app.database.threads import in_thread
from events_app.presence import outages, server_processes
from events_app.presence.acknowledgements import TICK_SECONDS, ObservedClock
from events_app.presence.alive_queue import AliveRequests
from events_app.presence.backend import backend
from events_app.presence.clean_up import Cleaner
from events_app.presence.database_clock import DatabaseClock
from events_app.presence.heartbeats import Heartbeats
from events_app.presence.outages import ClockWentBack
from events_app.presence.server_processes import NotRegistered, ProcessIdentity
from events_app.presence.writer import PresenceWriter

logger = logging.getLogger(__name__)


class Housekeeping:
    """One per process. `tick_loop`, `beat_loop`, `keep_loop` and `rest_loop` are its tasks.

    Args:
        process: this process.
        writer: registers a process that was taken for dead.
        heartbeats: close the streams of silent clients.
        observed: counts the time for which this process runs and beats.
        alive_requests: the ones that wait; each beat records for how long.
        worker: the thread that it shares with the heartbeats.
        configured: the timings.
    """

    def __init__(
        self,
        process: ProcessIdentity,
        writer: PresenceWriter,
        heartbeats: Heartbeats,
        observed: ObservedClock,
        alive_requests: AliveRequests,
        worker: ThreadPoolExecutor,
        configured: timings.Timings,
    ) -> None:
        self._process = process
        self._writer = writer
        self._heartbeats = heartbeats
        self._observed = observed
        self._alive_requests = alive_requests
        self._worker = worker
        self._timings = configured
        self._cleaner = Cleaner(configured.server_dead_time)
        self._clock = DatabaseClock()
        # Since when, by the loop's clock, this process has beaten without a gap.
        self._beating_since: float | None = None
        # A thread of its own, so that nothing delays a beat.
        self._beater = ThreadPoolExecutor(1, thread_name_prefix="presence-beat")

    async def tick_loop(self) -> None:
        """Note again and again that the event loop runs: while it is blocked, the time of clients does not pass."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._observed.tick()

    async def beat_loop(self) -> None:
        """Beat. A process that was taken for dead has the writer register it again, with all its streams."""
        self._observed.begin()
        while True:
            try:
                await self._beat()
            except NotRegistered:
                self._beating_since = None
                self._writer.register_again()
            except Error as error:
                self._beating_since = None
                logger.warning("beat failed", extra={"error": error})
            await asyncio.sleep(self._timings.beat)

    async def housekeeping_loop(self) -> None:
        """Every beat: clean up after dead processes, end graces, give turns. More often: close streams of silent
        clients."""
        for look in itertools.count(1):
            await asyncio.sleep(self._timings.beat / timings.LOOKS_PER_BEAT)
            await self._attempt(self._heartbeats.close_silent)
            if not look % timings.LOOKS_PER_BEAT:
                # A failure of one does not keep the others from running.
                await self._attempt(self._clean_up)
                await self._attempt(self._end_what_time_ends)
                await self._attempt(self._heartbeats.close_logged_out)

    async def remainder_loop(self) -> None:
        """End at once the rest of a departure that was too large for one transaction.

        It runs in steps; between two of them the thread does other work that has come, such as heartbeats.
        """
        while True:
            await self._writer.more_to_end.wait()
            self._writer.more_to_end.clear()
            # Where it fails, the next beat tries again.
            await self._attempt(self._end_what_time_ends)

    def stop(self) -> None:
        """Stop the beat's thread."""
        self._beater.shutdown(wait=False, cancel_futures=True)

    async def _beat(self) -> None:
        server_dead = self._timings.server_dead_time
        while True:
            begun = time.monotonic()
            try:
                behind = self._alive_requests.behind
                at = await in_thread(
                    self._beater, server_processes.beat, self._process, server_dead, behind
                )
                break
            except ClockWentBack as error:
                # Repair first, before any time from before the jump is compared with one from after it.
                outages.log_clock_jump(error.seconds)
                while await in_thread(self._beater, outages.repair_step):
                    pass
        gap = self._observed.beaten(begun)
        if self._beating_since is None or gap > self._timings.server_dead:
            self._beating_since = time.monotonic()
        if (
            self._clock.note(at.timestamp(), begun, time.monotonic())
            > outages.CLOCK_TOLERANCE.total_seconds()
        ):
            # Which of a key's streams was opened last is judged by the database's clock.
            self._writer.reset_opened_at()

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Error as error:
            logger.warning("housekeeping failed", extra={"error": error})

    async def _end_what_time_ends(self) -> None:
        while await in_thread(self._worker, backend().time_passes):
            pass

    async def _clean_up(self) -> None:
        """Remove the processes that have ceased to beat.

        A process judges others only if it has itself beaten for as long: right after an outage of the database every
        process is silent.
        """
        since = self._beating_since
        if since is None or time.monotonic() - since < self._timings.server_dead:
            return
        if self._observed.since_beat > 2 * self._timings.beat:
            return  # it was stopped itself, and has not beaten since
        # A step at a time: the heartbeats of this process have the same thread.
        while await in_thread(self._worker, self._cleaner.step):
            pass
