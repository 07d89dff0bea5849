"""Reading the log for streams that go on from before, or whose clients read slowly: a page at a time, by turns."""

import asyncio
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from events_app import event_log
from events_app.threads import in_thread

# Resolving and replaying are short; a pool of two keeps database connections and threads fixed.
threads = ThreadPoolExecutor(2, thread_name_prefix="streams")
# Replays have one of them, first come first served for each page; the other one is for who asks for a stream.
_turn = asyncio.Semaphore(1)


async def read(channels: Collection[str], after_id: int) -> event_log.Page:
    """See `event_log.read`."""
    async with _turn:
        return await in_thread(threads, event_log.read, channels, after_id)
