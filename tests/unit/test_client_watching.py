"""Watching items: the picture is right after whatever comes between its list, its events and its next set."""

import asyncio
import random

import httpx
import pytest

from silo_client.helper import watcher
from tests.unit.watched_world import be_quick, run


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    be_quick(monkeypatch)


def test_the_list_and_then_each_change():
    async def story(world, eyes):
        mine = world.begin("P", "ada")
        world.wait("P", "bob")
        first = eyes.watch("P", "Q")
        assert (dict(first.items), first.stale) == ({}, "The items are being read.")
        await eyes.until(lambda: eyes.is_right and len(eyes.list.picture.items) == 2)
        item = eyes.list.picture.items["P"]
        [holder] = item.holders
        assert (holder.user, holder.workstation, holder.object_id) == ("ada", "ada", "A")
        [place] = item.waiting
        assert (place.user, place.position, place.request_id) == ("bob", 1, "p2")
        world.change("P", mine, "edit.session_idle", idle_since="2026-01-01T11:00:00Z")
        await eyes.until(lambda: eyes.list.picture.items["P"].holders[0].idle_since)
        world.change("P", mine, "edit.session_active", idle_since="2026-01-01T11:00:00Z")
        await eyes.until(lambda: not eyes.list.picture.items["P"].holders[0].idle_since)
        world.end("P", mine)
        world.begin("P", "bob")
        await eyes.until(lambda: eyes.is_right and not eyes.list.picture.items["P"].waiting)
        assert eyes.told[-1][1] == ("P",)
        world.wait("Q", "cy")
        await eyes.until(lambda: eyes.is_right and eyes.list.picture.items["Q"].waiting)
        assert [cursor for _, cursor in world.streams] == ["2"]

    run(story, "P", "Q")


def test_where_a_line_is_cut_off_the_item_is_not_complete():
    async def story(world, eyes):
        eyes.watch("P")
        await eyes.until(lambda: eyes.is_right)
        assert eyes.list.picture.items["P"].complete
        world.complete = False
        world.wait("P", "bob")
        await eyes.until(lambda: eyes.list.picture.items["P"].waiting)
        assert not eyes.list.picture.items["P"].complete

    run(story, "P")


@pytest.mark.parametrize("side", ["before", "after"])
def test_what_happens_around_the_moment_of_the_list_is_seen_once(side):
    async def story(world, eyes):
        old = world.begin("P", "ada")

        def meanwhile():
            world.before = world.after = lambda: None
            world.end("P", old)
            # Began and ended on one side of the list: of these nothing must ever be seen.
            world.end("P", world.begin("P", "bob"))
            world.begin("P", "cy")
            world.wait("P", "bob")

        setattr(world, side, meanwhile)
        eyes.watch("P")
        await eyes.until(lambda: eyes.is_right and eyes.list.picture.items["P"].waiting)
        assert [one.user for one in eyes.list.picture.items["P"].holders] == ["cy"]

    run(story, "P")


def test_a_set_that_changes_while_the_list_is_under_way_is_the_one_that_counts():
    async def story(world, eyes):
        world.begin("P", "ada")
        world.begin("Q", "bob")
        world.after = lambda: (setattr(world, "after", lambda: None), eyes.watch("Q"))
        eyes.watch("P")
        await eyes.until(lambda: "Q" in eyes.list.picture.items and eyes.is_right)
        assert list(eyes.list.picture.items) == ["Q"]
        # The list of the earlier set has not been told at all.
        assert all(changed == ("Q",) for _, changed in eyes.told)
        eyes.watch()
        await eyes.until(lambda: world.open == 0)
        assert (dict(eyes.list.picture.items), eyes.list.picture.stale) == ({}, "")

    run(story, "P", "Q")


def test_what_stays_in_the_set_keeps_its_picture_and_is_told_only_if_it_differs():
    async def story(world, eyes):
        world.begin("P", "ada")
        eyes.watch("P")
        await eyes.until(lambda: eyes.is_right)
        told = len(eyes.told)
        assert list(eyes.watch("P", "Q").items) == ["P"]
        await eyes.until(lambda: eyes.is_right)
        assert [changed for _, changed in eyes.told[told:]] == [("Q",)]

    run(story, "P", "Q")


def test_more_than_one_answer_has_room_for_is_asked_for_again():
    async def story(world, eyes):
        world.most = 2
        for number in range(7):
            world.begin(f"P{number}", "ada")
        # On an item that the first answer has, before the others are asked for.
        world.after = lambda: world.begin("P0", "bob", f"B{len(world.lists)}")
        eyes.watch(*world.sessions)
        await eyes.until(lambda: eyes.is_right and len(eyes.list.picture.items) == 7)
        assert len(world.lists) == 4
        [(items, cursor)] = world.streams
        assert (sorted(items), cursor) == (sorted(world.sessions), "7")

    run(story, *(f"P{number}" for number in range(7)))


def test_a_burst_is_a_few_messages():
    async def story(world, eyes):
        watcher.GATHER_SECONDS = 0.05
        eyes.watch("P")
        await eyes.until(lambda: eyes.is_right)
        before = len(eyes.messages)
        for _ in range(500):
            world.end("P", world.begin("P", "ada"))
        world.begin("P", "bob")
        await eyes.until(lambda: eyes.list.picture.items["P"].holders and eyes.is_right)
        assert len(eyes.messages) - before < 20

    run(story, "P")


def test_a_program_that_reads_nothing_finds_one_message_afterwards():
    async def story(world, eyes):
        eyes.watch("P")
        await eyes.until(lambda: eyes.is_right)
        eyes.is_behind = True
        known = len(eyes.messages)
        for number in range(100):
            world.begin("P", "ada", str(number))
            await asyncio.sleep(0.001)
        assert len(eyes.messages) == known
        eyes.is_behind = False
        await eyes.until(lambda: eyes.is_right)
        assert len(eyes.messages) <= known + 3

    run(story, "P")


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_in_whichever_order_the_picture_becomes_right(seed):
    chance = random.Random(seed)
    parts = [f"P{number}" for number in range(4)]

    def happen(world):
        part = chance.choice(parts)
        held = list(world.sessions[part])
        kind = chance.random()
        if kind < 0.4:
            world.begin(part, chance.choice("abc"), f"O{chance.randrange(100)}")
        elif kind < 0.7 and held:
            world.end(part, chance.choice(held))
        elif kind < 0.85:
            world.wait(part, chance.choice("abc"), f"O{chance.randrange(100)}")
        elif world.places[part]:
            world.leave(part)

    async def story(world, eyes):
        def may_happen():
            for _ in range(chance.randrange(3)):
                happen(world)

        world.before = world.after = may_happen
        for _ in range(60):
            kind = chance.random()
            if kind < 0.1:
                eyes.watch(*chance.sample(parts, chance.randrange(5)))
            elif kind < 0.15:
                world.break_streams()
            elif kind < 0.2:
                world.trim()
            elif kind < 0.22:
                world.refusals.append(httpx.Response(503))
            else:
                happen(world)
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            if chance.random() < 0.2:
                await asyncio.sleep(0.003)
        world.before = world.after = lambda: None
        eyes.watch(*parts)
        await eyes.until(lambda: eyes.is_right and len(eyes.list.picture.items) == 4)

    run(story, *parts)


def test_of_two_commands_the_later_one_counts_in_whichever_order_they_come():
    async def story(world, eyes):
        eyes.watcher.watch({"number": 2, "items": ["Q"]})
        eyes.watcher.watch({"number": 1, "items": ["P"]})
        await eyes.until(lambda: world.streams)
        assert world.lists == [["Q"]]

    run(story, "P", "Q")
