"""Who gets memory for a large body, and when."""

import asyncio

import pytest

from events_app.http.body_memory import BodyMemory, NoRoom, TooManyWaiting


def memory(**options):
    return BodyMemory(**{"total": 10, "share": 6, "waiting": 3, "patience": 60} | options)


async def asked(of, *wanted):
    """Ask for these places, (owner, size), in this order; return the tasks."""
    tasks = [asyncio.create_task(of.place(owner, size)) for owner, size in wanted]
    await settle()
    return tasks


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def given(tasks):
    return [task.done() for task in tasks]


def run(test):
    asyncio.run(test())


def test_there_are_never_more_than_fit():
    async def test():
        of = memory()
        tasks = await asked(of, ("a", 4), ("b", 4), ("c", 4))
        assert given(tasks) == [True, True, False]
        assert of.used == 8
        (await tasks[0]).free()
        await settle()
        assert given(tasks) == [True, True, True]

    run(test)


def test_an_owner_with_his_share_keeps_nobody_waiting():
    async def test():
        of = memory()
        tasks = await asked(of, ("a", 4), ("a", 4), ("a", 4), ("b", 4))
        assert given(tasks) == [True, False, False, True]

    run(test)


def test_a_large_one_is_not_overtaken_for_ever():
    async def test():
        of = memory()
        tasks = await asked(of, ("a", 6), ("b", 6), ("c", 2))
        assert given(tasks) == [True, False, False]
        (await tasks[0]).free()
        await settle()
        assert given(tasks) == [True, True, True]

    run(test)


def test_a_cancelled_request_lets_others_in():
    async def test():
        of = memory()
        tasks = await asked(of, ("a", 6), ("b", 6), ("c", 2))
        tasks[1].cancel()
        await settle()
        assert tasks[2].done()
        assert of.used == 8

    run(test)


def test_a_request_cancelled_as_it_gets_memory_gives_it_back():
    async def test():
        of = memory()
        first, second = await asked(of, ("a", 6), ("b", 6))
        (await first).free()
        second.cancel()
        await settle()
        assert second.cancelled()
        assert of.used == 0

    run(test)


def test_a_place_is_given_back_once():
    async def test():
        emptied = []
        of = memory(emptied=lambda: emptied.append(True))
        (task,) = await asked(of, ("a", 6))
        place = await task
        place.free()
        place.free()
        assert of.used == 0
        assert emptied == [True]

    run(test)


def test_a_request_that_waits_too_long_is_refused():
    async def test():
        of = memory(patience=0.01)
        await of.place("a", 6)
        with pytest.raises(NoRoom):
            await of.place("b", 6)
        assert of.used == 6
        assert (await of.place("c", 4)).size == 4

    run(test)


def test_only_so_many_of_one_owner_wait():
    async def test():
        of = memory(waiting=2)
        await asked(of, ("a", 6), ("a", 6), ("a", 6))
        with pytest.raises(TooManyWaiting):
            await of.place("a", 1)
        assert (await of.place("b", 1)).size == 1

    run(test)
