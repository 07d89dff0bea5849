"""Replays read by turns, and leave a thread to who asks for a stream."""

import asyncio
import threading

import pytest

from events_app.log import event_log, replays


@pytest.fixture
def _fresh_turn(monkeypatch):
    monkeypatch.setattr(replays, "_turn", asyncio.Semaphore(1))


@pytest.mark.usefixtures("_fresh_turn")
def test_a_client_that_leaves_during_a_page_read_starts_no_second_read(monkeypatch):
    may_end = threading.Event()
    reading: list[int] = []

    def read(channels, after_id):
        reading.append(after_id)
        may_end.wait(10)
        return event_log.Page([], more=False)

    async def in_thread(threads, function, *args):
        return await asyncio.get_running_loop().run_in_executor(threads, function, *args)

    monkeypatch.setattr(event_log, "read", read)
    monkeypatch.setattr(replays, "in_thread", in_thread)

    async def check():
        for number in range(5):
            leaves = asyncio.create_task(replays.read([], number))
            for _ in range(10):
                await asyncio.sleep(0)
            leaves.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaves
        # The other thread is not kept busy.
        await asyncio.wait_for(in_thread(replays.threads, int), 5)
        assert reading == [0]
        may_end.set()
        await replays.read([], 9)
        assert reading == [0, 9]

    asyncio.run(check())
