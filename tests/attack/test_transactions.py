"""What one workstation or item has grown to must not keep anything else from ending."""

import asyncio
import json
import time

from tests.attack.wire import BROKEN, EventStream, Wire, perform
from tests.attack.world import NODE
from tests.waiting import eventually

# Sessions of one cone on one item, and its keys.
MEETING = 110
KEYS = 10_000
# By then the dead holder's session has ended and the turn has come, and the stale session has expired: 30 s after the
# server was started, at the latest, because the time before that was not observed, and a sweep later.
SETTLED_SECONDS = 45.0
# What a workstation holds that has to be let go of.
MANY = 12_000
MANY_ITEMS = 12
RELEASED_SECONDS = 60.0
# Limits are there to keep anybody from getting that far; here they are out of the way.
NO_LIMITS = {
    "SILO_SESSIONS_PER_WORKSTATION": "1000000",
    "SILO_SESSIONS_PER_USER": "1000000",
    "SILO_NODE_KEYS_PER_USER": "100000000",
}


async def connect(world, user, workstation):
    """Open the stream of a workstation; return it once it is open."""
    stream = EventStream(world.url, world.tokens[user])
    assert await stream.begin(f"/api/events?workstation_id={workstation}") == 200
    await stream.until("stream-open")
    return stream


def test_the_end_of_a_session_that_meets_a_hundred_large_cones(make_world, honest_beside):
    world = make_world(**NO_LIMITS)
    honest = honest_beside(world)
    world.make_items("POISONED", 1)
    world.make_items("STALE", 1)
    workstations = world.make_workstations("mal", "meeting", MEETING)
    holder = workstations[0]
    (waiting,) = world.make_workstations("crew0", "waiting", 1)
    (stale,) = world.make_workstations("crew1", "stale", 1)

    async def attack(seen):
        stream = await connect(world, "mal", holder)
        line = await connect(world, "crew0", waiting)
        await asyncio.to_thread(world.make_sessions, workstations, "POISONED-1", keys=KEYS)
        keys = [f"{NODE}{number}" for number in range(1, KEYS + 1)]
        wanted = {
            "workstation_id": waiting,
            "context_level": "sketch",
            "object_id": f"{holder}/1",
            "dependency_cone": keys,
        }
        wire = Wire(world.url, world.tokens["crew0"])
        path = "/api/items/POISONED-1/edit-session-requests"
        await seen.tally.note(wire.ask("POST", path, json.dumps(wanted).encode()))
        wire.close()
        stream.close()
        begun = time.monotonic()
        world.make_sessions([stale], "STALE-1")
        world.query(
            "UPDATE sessions_app_editsession SET last_heartbeat = now() - interval '1 hour'"
            " WHERE workstation_id = %s",
            stale,
        )
        until = begun + SETTLED_SECONDS
        at = {}
        granted = asyncio.create_task(line.until("edit.session_granted"))
        while time.monotonic() < until and len(at) < 3:
            await asyncio.sleep(0.2)
            if not world.held_by([stale]):
                at.setdefault("the stale session ended", time.monotonic() - begun)
            if not world.held_by([holder]):
                at.setdefault("the dead holder's ended", time.monotonic() - begun)
            if granted.done():
                at.setdefault("the turn came", time.monotonic() - begun)
        seen.notes += [f"{what} after {seconds:.1f} s" for what, seconds in at.items()]
        granted.cancel()
        line.close()
        return at

    with honest.beside(
        f"{MEETING} sessions with one cone of {KEYS:,} keys, and the holder dies"
    ) as seen:
        at = perform(attack(seen))
    assert seen.tally["201"] == 1
    assert len(at) == 3, at


def test_a_workstation_with_very_many_sessions_comes_and_goes(make_world, honest_beside):
    world = make_world(**NO_LIMITS)
    honest = honest_beside(world)
    world.make_items("MANY", MANY_ITEMS)
    (workstation,) = world.make_workstations("mal", "many", 1)
    for number in range(1, MANY_ITEMS + 1):
        world.make_sessions([workstation], f"MANY-{number}", each=MANY // MANY_ITEMS)
    assert world.held_by([workstation]) == MANY

    async def attack(seen):
        begun = time.monotonic()
        try:
            stream = await connect(world, "mal", workstation)
        except (*BROKEN, AssertionError) as error:
            seen.notes.append(f"it could not connect: {error!r}")
            return False
        seen.notes.append(f"connected in {time.monotonic() - begun:.1f} s")
        stream.close()
        return True

    def released():
        return not world.held_by([workstation])

    with honest.beside(f"a workstation with {MANY:,} sessions connects and dies") as seen:
        connected = perform(attack(seen))
        begun = time.monotonic()
        try:
            eventually(released, within=RELEASED_SECONDS, step=0.2)
            seen.notes.append(f"released in {time.monotonic() - begun:.1f} s")
        except AssertionError:
            seen.notes.append(f"{world.held_by([workstation])} still held")
    assert connected
    assert released()


def test_releasing_very_many_sessions_at_once(make_world, honest_beside):
    world = make_world(**NO_LIMITS)
    honest = honest_beside(world)
    world.make_items("MANY", MANY_ITEMS)
    (workstation,) = world.make_workstations("mal", "many", 1)
    for number in range(1, MANY_ITEMS + 1):
        world.make_sessions([workstation], f"MANY-{number}", each=MANY // MANY_ITEMS)

    async def attack(seen):
        wire = Wire(world.url, world.tokens["mal"])
        path = f"/api/workstations/{workstation}/edit-sessions"
        begun = time.monotonic()
        while world.held_by([workstation]) and time.monotonic() < begun + RELEASED_SECONDS:
            await seen.tally.note(wire.ask("DELETE", path))
        seen.notes.append(
            f"{world.held_by([workstation])} left after {time.monotonic() - begun:.1f} s"
        )
        wire.close()

    with honest.beside(f"a workstation lets go of {MANY:,} sessions by one request") as seen:
        perform(attack(seen))
    assert not world.held_by([workstation])
    assert seen.tally["200"]
