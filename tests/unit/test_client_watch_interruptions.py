"""Watching items: interruptions, refusals, and items that are not there or become another one."""

import asyncio

import httpx
import pytest

from silo_client.helper import event_stream, watcher
from tests.unit.watched_world import be_quick, run


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    be_quick(monkeypatch)


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


@pytest.mark.parametrize("also", [[], ["Q"]])
def test_an_item_that_is_merged_into_another_one_is_that_one_from_then_on(also):
    async def story(world, eyes):
        world.begin("P", "ada")
        world.begin("Q", "bob", "B")
        eyes.watch("P", *also)
        await eyes.until(lambda: eyes.is_right)
        world.merge("P", "Q")
        await eyes.until(lambda: eyes.is_right)
        world.begin("Q", "cy", "C")
        await eyes.until(lambda: eyes.is_right)
        for number in ["P", *also]:
            item = eyes.list.picture.items[number]
            assert item.part_number == "Q"
            assert {one.user for one in item.holders} == {"ada", "bob", "cy"}
        # Not by a silence of the stream, after which everything is read again.
        assert not any(picture.stale for picture, _ in eyes.told)

    run(story, "P", "Q")


def test_changes_from_before_missed_events_do_not_make_the_picture_right(monkeypatch):
    # Long after the changes have been gathered the stream is found to be of no use.
    monkeypatch.setattr(event_stream, "LOOK_SECONDS", 1.0)

    async def story(world, eyes):
        eyes.watch("P")
        await eyes.until(lambda: eyes.is_right)
        eyes.is_behind = True
        world.begin("P", "ada")
        await eyes.until(lambda: "edit.session_acquired" in world.sent)
        world.begin("P", "bob", "B")
        world.trim()
        await eyes.until(lambda: eyes.list.picture.stale)
        eyes.is_behind = False
        await eyes.until(lambda: eyes.is_right)
        told = [one["watched"]["stale"] for one in eyes.messages]
        assert told == ["", "Events were missed.", ""]

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


@pytest.mark.parametrize("known", [["P"], []])
def test_a_failed_question_about_unknown_numbers_leaves_a_stream_as_it_is(known):
    async def story(world, eyes):
        eyes.watch("none", *known)
        await eyes.until(lambda: eyes.is_right and len(eyes.list.picture.items) == 1 + len(known))
        world.refusals = [httpx.Response(503)]
        asked = len(world.lists)
        await eyes.until(lambda: not world.refusals and len(world.lists) > asked)
        # Without a stream, nothing else would show that the server is away.
        stale = [one["watched"]["stale"] for one in eyes.messages if one["watched"]["stale"]]
        assert (stale == []) == bool(known)
        assert len(world.streams) == len(known)

    run(story, "P")
