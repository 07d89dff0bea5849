"""Large bodies and heavy requests of one user, beside somebody else's signs of life."""

import json

from tests.attack.wire import Wire, at_once, perform

CONNECTIONS = 40
ATTACK_SECONDS = 20.0
# Valid JSON, nearly all of it blanks: as large as a body may be.
LARGE_ALIVE = b'{"idle_seconds": 0' + b" " * (8_000_000 - 19) + b"}"
ALIVE = b"{}"


def test_bodies_of_8_mb_to_alive(world, honest_beside):
    honest = honest_beside(world)
    (workstation,) = world.make_workstations("vic", "large", 1)

    async def attack(seen):
        async def one(_):
            wire = Wire(world.url, world.tokens["vic"])
            path = f"/api/workstations/{workstation}/alive"
            await seen.tally.note(wire.ask("POST", path, LARGE_ALIVE))
            wire.close()

        await at_once(CONNECTIONS, ATTACK_SECONDS, one)

    with honest.beside(
        f"a viewer's {CONNECTIONS} connections with bodies of 8 MB to `alive`"
    ) as seen:
        perform(attack(seen))
    assert seen.tally.answers > CONNECTIONS


def test_batches_beside_signs_of_life(world, honest_beside):
    honest = honest_beside(world)
    batches = 4
    for number in range(batches):
        world.make_items(f"BATCH{number}", 1000)
    workstations = world.make_workstations("mal", "batch", batches)

    async def attack(seen):
        wires = [Wire(world.url, world.tokens["mal"]) for _ in range(CONNECTIONS + batches)]

        async def one(number):
            wire = wires[number]
            if number >= batches:
                path = f"/api/workstations/{workstations[number % batches]}/alive"
                await seen.tally.note(wire.ask("POST", path, ALIVE))
                return
            wanted = [
                {"part_number": f"BATCH{number}-{n}", "context_level": "sketch"}
                for n in range(1, 1001)
            ]
            body = json.dumps({"workstation_id": workstations[number], "sessions": wanted})
            answer = await seen.tally.note(
                wire.ask("POST", "/api/edit-sessions/batch", body.encode())
            )
            if answer is not None and answer.status == 200:
                path = f"/api/workstations/{workstations[number]}/edit-sessions"
                await seen.tally.note(wire.ask("DELETE", path))
                seen.batches += 1

        await at_once(len(wires), ATTACK_SECONDS, one)

    name = f"an editor's {batches} loops of batches of 1,000 beside {CONNECTIONS} of `alive`"
    with honest.beside(name) as seen:
        perform(attack(seen))
        seen.notes.append(f"{seen.batches} batches")
    assert seen.batches
    assert seen.tally["204"]
