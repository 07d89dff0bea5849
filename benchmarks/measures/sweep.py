"""How long the sweeper takes to expire very many stale sessions, and what others notice of it."""

import asyncio
import time
from typing import Any

import psycopg

from benchmarks.apart import Apart
from benchmarks.build import Build
from benchmarks.load import Hammer, Rate, Streams
from benchmarks.measures.growth import crowd
from benchmarks.peers.postgres import RawTable
from benchmarks.sizes import Size
from benchmarks.subject import Subject

# The event log's lock (`LOG_LOCK_ID` in events_app/database/sql.py), also of earlier builds.
LOG_LOCK_ID = 0x51_10_E7_E5
# In the event of a session that the sweeper has ended.
EXPIRED = b'"expired"'
LOOK_SECONDS = 1.0
BETWEEN_SECONDS = 0.002
MOST_SECONDS = 600.0


class Prober:
    """Waits for the event log's lock, again and again, in a process of its own."""

    async def longest(self, where: dict[str, Any], seconds: float) -> float:
        """Return the longest wait, in seconds."""
        longest, until = 0.0, time.monotonic() + seconds
        with psycopg.connect(**where, autocommit=True) as connection:
            while (begun := time.monotonic()) < until:
                connection.execute("SELECT pg_advisory_lock(%s)", [LOG_LOCK_ID])
                longest = max(longest, time.monotonic() - begun)
                connection.execute("SELECT pg_advisory_unlock(%s)", [LOG_LOCK_ID])
                await asyncio.sleep(BETWEEN_SECONDS)
        return longest


def take(subject: Subject, size: Size) -> dict[str, float]:
    if isinstance(subject, RawTable):
        return {"swept": subject.end_set(size.stale, size.sessions)}
    return of_build(subject, size) if isinstance(subject, Build) else {}


def of_build(build: Build, size: Size) -> dict[str, float]:
    """Fill the build with sessions; wait until its sweeper has expired the stale ones."""
    mass = crowd(build, size.sessions)
    watcher, hammer, prober = Apart(Streams), Apart(Hammer), Apart(Prober)
    acquires, waits = [], []
    try:
        watcher.call("open", build.watching(1, EXPIRED))
        mass.fill(size.sessions, size.stale)
        until = time.monotonic() + MOST_SECONDS
        while watcher.call("count") < size.stale and time.monotonic() < until:
            prober.begin("longest", build.seed("parameters"), LOOK_SECONDS)
            rate: Rate = hammer.call("run", build.pairs(1), 1, LOOK_SECONDS)
            acquires.append(rate.took[-1])
            waits.append(prober.result())
        [times] = watcher.call("times")
    finally:
        for each in (watcher, hammer, prober):
            each.close()
        mass.clear()
    build.settle()
    return {
        "swept": times[-1] - times[0],
        "swept_acquire": max(acquires) * 1e3,
        "swept_log": max(waits) * 1e3,
    }
