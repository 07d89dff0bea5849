"""Very many honest clients that acknowledge their heartbeats at once."""

import asyncio
import json
import time

from tests.attack.wire import ANSWER_SECONDS, BROKEN, EventStream, Tally, Wire, perform
from tests.attack.world import TIMINGS

# At a heartbeat each 6 s these are as many acknowledgements as of 3,000 clients at the default of 30 s.
CLIENTS = 600
OPENING_AT_ONCE = 50
ATTACK_SECONDS = 25.0
# As the client: how long it waits for an answer, and how often it asks.
PATIENCE_SECONDS = 4.0
TRIES = 3


class Crowd:
    """The clients of one server."""

    def __init__(self, url: str, tally: Tally) -> None:
        self._url, self._tally = url, tally
        self._gate = asyncio.Semaphore(OPENING_AT_ONCE)
        self.ended = 0

    async def live(self, token: str, workstation: str, opened: asyncio.Event, until: float) -> None:
        """Open a stream and answer each heartbeat at once, as `silo_client` does."""
        stream, wire = EventStream(self._url, token), Wire(self._url, token)
        try:
            async with self._gate:
                target = f"/api/events?workstation_id={workstation}&ack=true"
                assert await stream.begin(target) == 200
                _, data = await stream.until("stream-open")
            connection = json.loads(data)["connection_id"]
            body = json.dumps({"connection_id": connection}).encode()
            opened.set()
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                while True:
                    await stream.until("heartbeat")
                    await self._acknowledge(wire, workstation, body)
        except TimeoutError:
            opened.set()
        except BROKEN:
            self.ended += 1
            opened.set()
        finally:
            wire.close()
            stream.close()

    async def _acknowledge(self, wire: Wire, workstation: str, body: bytes) -> None:
        for _ in range(TRIES):
            asking = wire.ask("POST", f"/api/workstations/{workstation}/alive", body)
            answer = await self._tally.note(asyncio.wait_for(asking, PATIENCE_SECONDS))
            if answer is not None:
                return


def test_nobody_of_a_crowd_loses_a_lock(world, honest_beside):
    honest = honest_beside(world)
    world.make_items("CROWD", 1)
    users = [f"crew{number}" for number in range(10)]
    crew = {user: world.make_workstations(user, "crowd", CLIENTS // len(users)) for user in users}
    clients = [(world.tokens[user], one) for user in users for one in crew[user]]

    async def attack(seen):
        crowd = Crowd(world.url, seen.tally)
        opened = [asyncio.Event() for _ in clients]
        begun = time.monotonic()
        until = begun + ANSWER_SECONDS + ATTACK_SECONDS
        lives = [
            asyncio.create_task(crowd.live(*client, one, until))
            for client, one in zip(clients, opened, strict=True)
        ]
        await asyncio.gather(*(one.wait() for one in opened))
        seen.notes.append(f"opened in {time.monotonic() - begun:.0f} s")
        # Not before: what nobody keeps alive while the others come would expire.
        await asyncio.to_thread(world.make_sessions, [one for _, one in clients], "CROWD-1")
        await asyncio.sleep(ATTACK_SECONDS)
        held = await asyncio.to_thread(world.held_by, [one for _, one in clients])
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)
        return crowd.ended, len(clients) - held

    with honest.beside(
        f"{CLIENTS} clients acknowledge each {TIMINGS['SILO_HEARTBEAT_SECONDS']} s"
    ) as seen:
        ended, lost = perform(attack(seen))
        seen.notes.append(f"{lost} of the crowd's locks lost")
    assert seen.tally["204"] > CLIENTS
    assert (ended, lost) == (0, 0)
