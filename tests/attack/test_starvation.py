"""One user, or one address, that keeps the server busy."""

import asyncio
import re
from urllib.parse import quote

from tests.attack.wire import BROKEN, EventStream, Wire, at_once, perform

ATTACK_SECONDS = 15.0
LOGINS = 60
LISTINGS = 6
SESSIONS = 30_000
WORKSTATIONS = 50_000
STREAMS = 1_000
# As many streams that only watch as one user may have on one server, by default.
STREAMS_OF_A_USER = 100
TOKEN = re.compile(rb'name="csrfmiddlewaretoken" value="(\w+)"')


def test_wrong_passwords_of_strangers(world, honest_beside):
    honest = honest_beside(world)

    async def attack(seen):
        wires = [Wire(world.url) for _ in range(LOGINS)]
        cookies = {}

        async def one(number):
            if number not in cookies:
                page = await seen.tally.note(wires[number].ask("GET", "/admin/login/"))
                if page is None or page.status != 200:
                    return
                found = TOKEN.search(page.body)
                assert found, page.body
                cookies[number] = (page.headers["set-cookie"].split(";")[0], found[1].decode())
            cookie, token = cookies[number]
            form = f"csrfmiddlewaretoken={token}&username=ada&password=wrong{number}&next=/admin/"
            answer = await seen.tally.note(
                wires[number].ask(
                    *("POST", "/admin/login/", form.encode()),
                    "Content-Type: application/x-www-form-urlencoded",
                    f"Cookie: {cookie}",
                    f"Referer: {world.url}/admin/login/",
                )
            )
            seen.batches += answer is not None and answer.status in (200, 429)

        await at_once(LOGINS, ATTACK_SECONDS, one)

    with honest.beside(f"{LOGINS} wrong log-ins of strangers at once") as seen:
        perform(attack(seen))
        seen.notes.append(f"{seen.batches} passwords refused")
    assert seen.batches


def list_again_and_again(world, seen, path):
    """Have a viewer read a list, so often at once."""

    async def attack():
        wires = [Wire(world.url, world.tokens["vic"]) for _ in range(LISTINGS)]
        sizes = []

        async def one(number):
            answer = await seen.tally.note(wires[number].ask("GET", path))
            if answer is not None and answer.status == 200:
                sizes.append(len(answer.body))

        await at_once(LISTINGS, ATTACK_SECONDS, one)
        seen.notes.append(f"largest answer {max(sizes, default=0) / 1e6:.2f} MB")

    perform(attack())


def test_listing_an_item_with_very_many_sessions(world, honest_beside):
    honest = honest_beside(world)
    world.make_items("LISTED", 1)
    holders = [
        one for number in range(6) for one in world.make_workstations(f"crew{number}", "listed", 1)
    ]
    world.make_sessions(holders, "LISTED-1", each=SESSIONS // len(holders))
    with honest.beside(
        f"a viewer lists {SESSIONS:,} sessions of an item, {LISTINGS} at once"
    ) as seen:
        list_again_and_again(world, seen, f"/api/items/{quote('LISTED-1')}/edit-sessions")
    assert seen.tally["200"]


def test_listing_very_many_workstations(world, honest_beside):
    honest = honest_beside(world)
    world.make_workstations("vic", "listed", WORKSTATIONS)
    with honest.beside(f"a viewer lists {WORKSTATIONS:,} workstations, {LISTINGS} at once") as seen:
        list_again_and_again(world, seen, "/api/workstations")
    assert seen.tally["200"]


def test_a_thousand_streams_of_one_user(world, honest_beside):
    honest = honest_beside(world)

    async def attack(seen):
        streams = [EventStream(world.url, world.tokens["vic"]) for _ in range(STREAMS)]

        async def watch(stream):
            try:
                status = await stream.begin("/api/events?all=true")
                seen.tally[str(status)] += 1
                while status == 200:
                    await stream.next()
            except BROKEN:
                seen.tally["cut off"] += 1

        reading = [asyncio.create_task(watch(stream)) for stream in streams]
        await asyncio.sleep(ATTACK_SECONDS)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        for stream in streams:
            stream.close()

    with honest.beside(f"{STREAMS:,} streams of one user that watch everything") as seen:
        perform(attack(seen))
    assert seen.tally["200"] == STREAMS_OF_A_USER
    assert seen.tally["429"] > 0
