"""Watching items: the picture is right after whatever comes between its list, its events and its next set."""

import asyncio
import random

import httpx
import pytest

from silo_client import ClosedError, InvalidRequestError
from silo_client.helper import event_stream, watcher
from silo_client.watching import WatchList
from tests.unit.watched_world import Eyes, World


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for module, name in [
        (watcher, "SETTLE_SECONDS"),
        (watcher, "GATHER_SECONDS"),
        (event_stream, "LOOK_SECONDS"),
    ]:
        monkeypatch.setattr(module, name, 0.001)
    monkeypatch.setattr(watcher, "REFUSED_SECONDS", 0.01)
    monkeypatch.setattr(watcher, "pause", lambda attempt: 0.001)


def run(story, *part_numbers):
    """Run a story of a world with these items, and of eyes that watch it."""

    async def main():
        world = World(*part_numbers)
        eyes = Eyes(world)
        running = asyncio.create_task(eyes.watcher.run())
        try:
            await story(world, eyes)
            assert not running.done()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await eyes.http.aclose()
        # A stream that is left open would be one of the user's few.
        assert world.open == 0

    asyncio.run(main())


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


@pytest.mark.parametrize("how", ["ended", "trimmed", "renamed"])
def test_after_an_interruption_the_list_is_read_again(how):
    async def story(world, eyes):
        world.begin("P", "ada")
        eyes.watch("P")
        await eyes.until(lambda: eyes.is_right)
        if how == "renamed":
            world.tell("item.renamed", "P")
        elif how == "trimmed":
            # The log no longer reaches back to the list when its stream is opened.
            def trim():
                world.after = lambda: None
                world.begin("P", "bob", "B")
                world.trim()

            world.after = trim
            world.break_streams()
        else:
            world.break_streams()
            world.begin("P", "bob", "B")
        await eyes.until(lambda: len(world.lists) == (3 if how == "trimmed" else 2))
        await eyes.until(lambda: eyes.is_right)
        stale = {picture.stale for picture, _ in eyes.told} - {""}
        assert len(stale) == {"ended": 1, "trimmed": 2, "renamed": 0}[how]
        assert ("Events were missed." in stale) == (how == "trimmed")
        world.end("P", next(iter(world.sessions["P"])))
        await eyes.until(lambda: eyes.is_right)

    run(story, "P")


def test_while_the_server_cannot_serve_the_picture_is_stale_and_then_right():
    async def story(world, eyes):
        world.begin("P", "ada")
        eyes.watch("P")
        await eyes.until(lambda: eyes.is_right)
        world.refusals = [
            httpx.Response(503, text="proxy"),
            httpx.Response(429, json={"error": "too_many_streams", "message": "Too many."}),
            httpx.Response(200, json={"no": "Silo server"}),
            httpx.Response(200, json={"items": [{}], "unknown": [], "left": [], "cursor": ""}),
            httpx.Response(403, json={"error": "forbidden", "message": "Not you."}),
        ]
        world.break_streams()
        world.begin("P", "bob", "B")
        await eyes.until(lambda: eyes.is_right and not world.refusals)
        whys = " ".join(picture.stale for picture, _ in eyes.told)
        assert "503" in whys
        assert "Too many." in whys
        assert "Not you." in whys

    run(story, "P")


def test_a_stream_that_is_refused_after_the_list_is_tried_again():
    async def story(world, eyes):
        world.after = lambda: world.refusals.append(
            httpx.Response(429, json={"error": "too_many_streams", "message": "Too many."})
        )
        eyes.watch("P")
        await eyes.until(lambda: len(world.lists) > 3)
        assert "Too many." in eyes.list.picture.stale
        world.after = lambda: None
        world.refusals.clear()
        await eyes.until(lambda: eyes.is_right)

    run(story, "P")


def test_a_token_that_is_no_longer_good_is_not_tried_again_until_the_set_changes():
    async def story(world, eyes):
        gone = {"error": "not_authenticated", "message": "Log in."}
        world.refusals = [httpx.Response(401, json=gone)] * 2
        eyes.watch("P")
        await eyes.until(lambda: eyes.list.picture.stale == "Log in.")
        await asyncio.sleep(20 * watcher.REFUSED_SECONDS)
        assert len(world.refusals) == 1
        world.refusals.clear()
        eyes.watch("P")
        await eyes.until(lambda: eyes.is_right)

    run(story, "P")


def test_streams_that_end_at_once_are_opened_after_longer_and_longer_pauses(monkeypatch):
    attempts = []
    monkeypatch.setattr(watcher, "pause", lambda attempt: attempts.append(attempt) or 0.001)

    async def story(world, eyes):
        eyes.watch("P")
        while len(attempts) < 5:
            await eyes.until(lambda: eyes.is_right)
            world.streams.clear()
            world.break_streams()
            await eyes.until(lambda: world.streams)
        assert attempts[:5] == [1, 2, 3, 4, 5]
        # One that has lasted begins anew.
        monkeypatch.setattr(event_stream, "STEADY_SECONDS", -1.0)
        world.break_streams()
        await eyes.until(lambda: attempts[-1] == 1)

    run(story, "P")


def test_unknown_and_impossible_numbers_are_named_and_the_others_watched():
    async def story(world, eyes):
        world.begin("P", "ada")
        eyes.watch("none", "P", "a\nb", "half \ud800")
        await eyes.until(lambda: eyes.is_right and len(eyes.list.picture.items) == 4)
        problems = eyes.list.picture.problems
        assert set(problems) == {"none", "a\nb", "half \ud800"}
        assert problems["none"] == "There is no item none."
        assert "no part number" in problems["a\nb"]
        world.begin("P", "bob", "B")
        await eyes.until(lambda: eyes.is_right)
        # Somebody makes the item.
        for one in (world.sessions, world.had, world.places, world.had_places):
            one["none"] = {} if one is world.sessions else [] if one is world.places else [[]]
        world.begin("none", "cy")
        await eyes.until(lambda: not eyes.list.picture.items["none"].problem and eyes.is_right)

    run(story, "P")


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


# -- the parent's end --


@pytest.fixture
def watching():
    sent, calls, told = [], [], []
    made = WatchList(
        lambda watch: sent.append(watch),
        lambda name, call: calls.append(call) is None,
        lambda: lambda picture, changed: told.append((picture, changed)),
    )
    made.sent, made.calls, made.told = sent, calls, told
    return made


def state(*holders):
    return {
        "part_number": "P",
        "retired_at": None,
        "complete": True,
        "sessions": [
            {"session_id": one, "user": one, "workstation": {"id": "w", "name": "n"}}
            for one in holders
        ],
        "requests": [],
    }


def tell(watching, number, *holders, **more):
    watching.hear({"watched": {"number": number, "items": {"P": state(*holders)}, **more}})


def test_a_late_callback_is_told_the_latest_picture_once(watching):
    watching.watch(["P"], 0)
    tell(watching, 1, stale="")
    tell(watching, 1, "s1", stale="")
    tell(watching, 1, "s1", "s2", stale="")
    tell(watching, 1, "s1", "s2", stale="")
    [call] = watching.calls
    call()
    [(picture, changed)] = watching.told
    assert changed == ("P",)
    assert [one.session_id for one in picture.items["P"].holders] == ["s1", "s2"]


def test_after_a_callback_the_next_change_is_told_by_another_one(watching):
    watching.watch(["P"], 0)
    for number in range(3):
        tell(watching, 1, f"s{number}", stale="")
        watching.calls[number]()
    assert len(watching.told) == 3


def test_a_call_that_is_refused_or_lost_is_made_again(watching, monkeypatch):
    answers = [False, True, True]
    monkeypatch.setattr(
        watching, "_call", lambda name, call: watching.calls.append(call) or answers.pop(0)
    )
    watching.watch(["P"], 0)
    for number in range(3):
        tell(watching, 1, f"s{number}", stale="")
    assert len(watching.calls) == 2
    monkeypatch.setattr("silo_client.watching.UNDELIVERED_SECONDS", 0.0)
    tell(watching, 1, "s4", stale="")
    assert len(watching.calls) == 3
    watching.calls[-1]()
    assert len(watching.told) == 1


def test_without_a_callback_nothing_is_queued():
    calls = []
    made = WatchList(lambda watch: None, lambda name, call: calls.append(call), lambda: None)
    made.watch(["P"], 0)
    tell(made, 1, "s1", stale="")
    made.hear({"died": 1, "why": "", "final": False})
    assert calls == []


def test_messages_of_an_earlier_set_are_dropped(watching):
    watching.watch(["P"], 0)
    watching.watch(["P"], 0)
    tell(watching, 1, "s1", stale="")
    assert dict(watching.picture.items) == {}
    assert watching.picture.stale
    tell(watching, 2, "s1", stale="")
    assert not watching.picture.stale


def test_another_helper_is_told_the_set_and_the_picture_is_stale_until_then(watching):
    watching.hear({"started": 1})
    assert watching.sent == []
    watching.watch(["P"], 0)
    tell(watching, 1, "s1", stale="")
    watching.hear({"died": -9, "why": "", "final": False})
    assert watching.picture.stale == "The helper process has ended."
    assert "P" in watching.picture.items
    watching.hear({"started": 2})
    assert watching.sent == [{"number": 1, "items": ["P"]}] * 2
    tell(watching, 1, "s1", stale="")
    assert not watching.picture.stale


def test_a_closed_workstation_watches_no_more(watching):
    watching.watch(["P"], 0)
    tell(watching, 1, "s1", stale="")
    watching.close()
    assert watching.picture.stale == "The workstation was closed."
    tell(watching, 1, "s2", stale="")
    assert [one.session_id for one in watching.picture.items["P"].holders] == ["s1"]
    for call in watching.calls:
        call()
    assert watching.told == []
    with pytest.raises(ClosedError):
        watching.watch(["Q"], 0)


@pytest.mark.parametrize("bad", ["A01-0001", b"A01", [1], [None]])
def test_what_is_no_list_of_texts_is_refused_and_changes_nothing(watching, bad):
    watching.watch(["P"], 0)
    with pytest.raises(TypeError, match="part number"):
        watching.watch(bad, 0)
    assert len(watching.sent) == 1


def test_too_many_are_refused_and_change_nothing(watching):
    with pytest.raises(InvalidRequestError, match="at most 1,000 items, not 1,001"):
        watching.watch([str(number) for number in range(1001)], 0)
    assert watching.sent == []
    watching.watch(["P", "P"], 0)
    assert watching.sent == [{"number": 1, "items": ["P"]}]
