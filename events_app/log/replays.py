"""Reads the log for streams that resume, or whose clients read slowly: a page at a time, in turns."""

import asyncio
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from events_app.database.threads import in_thread
from events_app.log import event_log

# Resolving and replaying are short; a pool of two keeps database connections and threads fixed.
threads = ThreadPoolExecutor(2, thread_name_prefix="streams")
# Replays use one of them, first come first served for each page; the other one resolves new streams.
_turn = asyncio.Semaphore(1)


async def read(channels: Collection[str], after_id: int) -> event_log.Page:
    """See `event_log.read`."""
    await _turn.acquire()
    reading = asyncio.ensure_future(in_thread(threads, event_log.read, channels, after_id))
    reading.add_done_callback(_read)
    # A stream that is cancelled waits no longer; its thread finishes the page, and has the turn until then.
    return await asyncio.shield(reading)


def _read(reading: "asyncio.Future[event_log.Page]") -> None:
    _turn.release()
    # Retrieve the error, because the stream may be gone.
    if not reading.cancelled():
        reading.exception()
