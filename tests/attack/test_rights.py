"""What a caller does that it has no right to, and what says too much too often."""

import asyncio
import json
import secrets
import time

from tests.attack.wire import EventStream, Wire, at_once, perform
from tests.attack.world import TIMINGS

ATTACK_SECONDS = 15.0
GUESSING = 40
IDLING = 1_000
CALLS = 20


def test_a_viewers_token_of_an_editor_ends_nothing(world, honest_beside):
    honest = honest_beside(world)
    world.make_items("KEPT", 1)
    (workstation,) = world.make_workstations("mal", "kept", 1)
    held = world.ask(
        *("mal", "POST", "/api/items/KEPT-1/edit-sessions"),
        {"workstation_id": workstation, "context_level": "sketch"},
    ).json()["id"]
    tries = (
        ("DELETE", f"/api/items/KEPT-1/edit-sessions/{held}"),
        ("DELETE", f"/api/items/KEPT-1/edit-sessions/{held}/force-release?reason=mine"),
        ("DELETE", f"/api/workstations/{workstation}/edit-sessions"),
        ("DELETE", f"/api/workstations/{workstation}"),
    )

    async def attack(seen):
        wire = Wire(world.url, world.tokens["mal-viewer"])
        for method, path in tries:
            await seen.tally.note(wire.ask(method, path))
        wire.close()

    with honest.beside("a viewer's token of an editor tries to end the editor's session") as seen:
        perform(attack(seen))
    assert seen.tally["403"] == len(tries)
    assert world.held_by([workstation]) == 1


def test_wrong_tokens_at_speed(world, honest_beside):
    honest = honest_beside(world)

    async def attack(seen):
        async def guess(_):
            wire = Wire(world.url, f"silo_{secrets.token_urlsafe(32)}")
            await seen.tally.note(wire.ask("GET", "/api/items"))
            wire.close()

        await at_once(GUESSING, ATTACK_SECONDS, guess)

    with honest.beside(f"wrong tokens, {GUESSING} at once") as seen:
        perform(attack(seen))
        seen.notes.append(f"{seen.tally.answers / ATTACK_SECONDS:.0f} answers a second")
    assert seen.tally["401"]


def test_one_who_is_idle_and_active_again_and_again(world, honest_beside):
    honest = honest_beside(world)
    world.make_items("IDLE", 1)
    (workstation,) = world.make_workstations("mal", "idle", 1)

    async def attack(seen):
        stream = EventStream(world.url, world.tokens["mal"])
        assert await stream.begin(f"/api/events?workstation_id={workstation}") == 200
        await stream.until("stream-open")
        await asyncio.to_thread(world.make_sessions, [workstation], "IDLE-1", each=IDLING)
        wire = Wire(world.url, world.tokens["mal"])
        path = f"/api/workstations/{workstation}/alive"
        begun = time.monotonic()
        for number in range(CALLS):
            body = json.dumps({"idle_seconds": 600 if number % 2 == 0 else 0})
            await seen.tally.note(wire.ask("POST", path, body.encode()))
        seconds = time.monotonic() - begun
        said = await asyncio.to_thread(world.events, "IDLE-1")
        wire.close()
        stream.close()
        return said, seconds

    name = f"{CALLS} calls of `alive`, idle and active in turn, with {IDLING:,} sessions"
    with honest.beside(name) as seen:
        said, seconds = perform(attack(seen))
        seen.notes.append(f"{said} events in {seconds:.1f} s")
    assert seen.tally["204"] == CALLS
    # The first change is told at once, and one more in each interval.
    changes = 2 + seconds / float(TIMINGS["SILO_HEARTBEAT_SECONDS"])
    assert said <= changes * IDLING
