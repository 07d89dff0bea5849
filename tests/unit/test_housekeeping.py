"""What a server process does beside its heartbeats keeps none of these waiting."""

import asyncio
import uuid

from events_app import timings
from events_app.database.threads import in_thread
from events_app.presence import clean_up, process


def test_heartbeats_have_their_turn_between_two_steps_of_a_clean_up(monkeypatch):
    """The clean-up of a server with many clients takes many steps; a heartbeat waits for one of them."""
    done = []

    async def run():
        here = process.Presence(timings.configured())
        housekeeping, loop = here._housekeeping, asyncio.get_running_loop()
        housekeeping._beating_since = float("-inf")
        heartbeats = []

        async def heartbeat():
            heartbeats.append(
                asyncio.create_task(in_thread(here._worker, done.append, "heartbeat"))
            )

        def step(*_):
            if "step" not in done:
                asyncio.run_coroutine_threadsafe(heartbeat(), loop).result(5)
                asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(5)
            done.append("step")
            return done.count("step") < 3

        monkeypatch.setattr(clean_up, "next_keys", lambda *_: (uuid.uuid4(), [uuid.uuid4()]))
        monkeypatch.setattr(clean_up, "clean_up", step)
        async with asyncio.timeout(20):
            await housekeeping._clean_up()
            await asyncio.gather(*heartbeats)

    asyncio.run(run())
    assert done == ["step", "heartbeat", "step", "step"]
