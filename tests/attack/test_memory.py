"""What makes a server's memory grow, or keeps its connections."""

import asyncio
import time

from tests.attack.wire import BROKEN, EventStream, Wire, at_once, perform

ATTACK_SECONDS = 15.0
BODIES = 350
LARGE_BODY = b'{"name": "' + b"x" * (8_000_000 - 12) + b'"}'
# A log of 60 MB.
EVENTS = 600
EVENT_BYTES = 100_000
REPLAYS = 4
DRIPPING = 200
# Headers may take 20 s, a body 30 s and a second for each 50 kB of it.
DRIPPED_SECONDS = 40.0
# The descriptors of a server, and the connections that want one.
DESCRIPTORS = 300
CONNECTIONS = 600


def test_large_bodies_of_strangers(world, honest_beside):
    honest = honest_beside(world)

    async def attack(seen):
        async def one(_):
            wire = Wire(world.url)
            await seen.tally.note(wire.ask("POST", "/api/workstations", LARGE_BODY))
            wire.close()

        await at_once(BODIES, ATTACK_SECONDS, one)

    with honest.beside(f"{BODIES} bodies of 8 MB at once from strangers") as seen:
        perform(attack(seen))
    assert seen.tally.answers > BODIES


def test_replays_of_a_large_log(world, honest_beside):
    honest = honest_beside(world)
    world.make_items("REPLAYED", 1)

    async def cursor():
        stream = EventStream(world.url, world.tokens["vic"])
        assert await stream.begin("/api/events?all=true") == 200
        _, number, _ = await stream.next()
        stream.close()
        return number

    async def attack(seen, begin):
        async def replay(number):
            """Read the log from there, and every other time stop reading in the middle."""
            stream = EventStream(world.url, world.tokens["vic"])
            try:
                status = await stream.begin("/api/events?all=true", f"Last-Event-ID: {begin}")
                seen.tally[str(status)] += 1
                for _ in range(EVENTS // (1 + number % 2)):
                    await stream.next()
                    seen.batches += 1
                if number % 2:
                    await asyncio.sleep(ATTACK_SECONDS)
            except BROKEN:
                seen.tally["cut off"] += 1
            finally:
                stream.close()

        await at_once(REPLAYS, ATTACK_SECONDS, replay)

    begin = perform(cursor())
    megabytes = EVENTS * EVENT_BYTES / 1e6
    with honest.beside(f"{REPLAYS} replays of {megabytes:.0f} MB of events") as seen:
        world.query(
            """
            INSERT INTO events_app_logentry (channels, type, data)
            SELECT ARRAY['all', 'item:' || i.id], 'edit.session_acquired',
                json_build_object('part_number', i.part_number, 'padding', repeat('x', %s))
            FROM sessions_app_item i, generate_series(1, %s) WHERE i.part_number = 'REPLAYED-1'
            """,
            *(EVENT_BYTES, EVENTS),
        )
        perform(attack(seen, begin))
        seen.notes.append(f"{seen.batches} events read")
    assert seen.batches >= EVENTS


def test_dripping_connections(world, honest_beside):
    honest = honest_beside(world)

    async def attack(seen):
        ended = []
        begun = time.monotonic()

        async def drip(number):
            """Send a byte each second: of the headers, or of a body that was announced."""
            wire = Wire(world.url, world.tokens["vic"] if number % 4 == 0 else "")
            writer = await wire.open()
            head = wire.head("POST", "/api/workstations", 2000)
            writer.write(head if number % 2 else head[:20])
            answer = asyncio.create_task(wire.reader.readline())
            try:
                while not answer.done():
                    await asyncio.wait({answer}, timeout=1)
                    writer.write(b"x")
                    await writer.drain()
                if line := answer.result():
                    seen.tally[line.split()[1].decode()] += 1
            except BROKEN:
                seen.tally["cut off"] += 1
            finally:
                answer.cancel()
                wire.close()
            ended.append(time.monotonic() - begun)

        tasks = [asyncio.create_task(drip(number)) for number in range(DRIPPING)]
        await asyncio.wait(tasks, timeout=DRIPPED_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        seen.notes.append(f"{len(ended)} ended, the last after {max(ended, default=0):.0f} s")
        return len(ended)

    with honest.beside(f"{DRIPPING} connections that send a byte each second") as seen:
        ended = perform(attack(seen))
    assert ended == DRIPPING


def test_no_descriptors_are_left(embedded_world, honest_beside):
    world = embedded_world(DESCRIPTORS)
    honest = honest_beside(world)

    async def attack(seen):
        wires = [Wire(world.url) for _ in range(CONNECTIONS)]

        async def keep(wire):
            try:
                writer = await wire.open()
                writer.write(b"GET /health HTTP/1.1\r\n")
                await wire.reader.read(1)
                seen.tally["ended"] += 1
            except BROKEN:
                seen.tally["cut off"] += 1

        tasks = [asyncio.create_task(keep(wire)) for wire in wires]
        await asyncio.sleep(ATTACK_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with honest.beside(
        f"{CONNECTIONS} connections to a server with {DESCRIPTORS} descriptors"
    ) as seen:
        perform(attack(seen))
    assert world.ask("vic", "GET", "/ready").status_code == 200
    assert world.query("SELECT 1") == [(1,)]
