"""A set writer: who leaves, who is refused because too much waits or for too long, and what a stop finishes."""

import asyncio

from events_app.database.set_writer import Overloaded
from tests.unit.set_writing import Wish, run


def test_who_leaves_while_it_waits_has_asked_nothing():
    async def scene(writing):
        await writing.hold()
        leaves, stays = writing.submit(Wish("leaves", ("k",)), Wish("stays", ("k",)))
        await writing.waiting(2)
        leaves.cancel()
        await writing.waiting(1)
        assert await writing.results([stays]) == ["done stays"]
        assert writing.executor.committed == ["first", "stays"]

    run(scene)


def test_who_leaves_in_the_turn_of_the_loop_in_which_a_set_is_taken_has_asked_nothing():
    async def scene(writing):
        leaves, stays = (writing.writer.submit(Wish(name)) for name in ("leaves", "stays"))
        # The set begins in this turn of the loop, before anybody is told of this.
        leaves.cancel()
        assert await stays == "done stays"
        assert writing.executor.committed == ["stays"]

    run(scene)


def test_what_was_taken_is_carried_out():
    async def scene(writing):
        task = await writing.hold()
        task.cancel()
        await asyncio.wait({task})
        # Its set has not ended, so no other one begins.
        later = writing.submit("later")
        await writing.waiting(1)
        assert writing.executor.sets == [["first"]]
        await writing.results(later)
        assert writing.executor.committed == ["first", "later"]

    run(scene)


def test_too_many_are_refused_but_not_who_may_not_be():
    async def scene(writing):
        await writing.hold()
        writing.submit(1, 2)
        await writing.waiting(2)
        (refused,) = writing.submit(3)
        await asyncio.wait({refused})
        assert isinstance(refused.exception(), Overloaded)
        (always,) = writing.submit(4, refusable=False)
        await writing.results([*writing.tasks[:3], always])
        assert writing.executor.committed == ["first", 1, 2, 4]
        assert await writing.results(writing.submit(5)) == ["done 5"]

    run(scene, waiting=2)


def test_too_heavy_ones_are_refused():
    async def scene(writing):
        await writing.hold()
        writing.submit(Wish(1, weight=100))
        await writing.waiting(1)
        (refused,) = writing.submit(2)
        await asyncio.wait({refused})
        assert isinstance(refused.exception(), Overloaded)

    run(scene, waiting_weight=100)


def test_one_callers_heavy_requests_do_not_have_others_refused():
    async def scene(writing):
        await writing.hold()
        writing.submit(Wish(1, caller="a", weight=50), Wish("release", caller="b", weight=500))
        await writing.waiting(1, "a")
        (refused,) = writing.submit(Wish(2, caller="a"))
        await asyncio.wait({refused})
        assert isinstance(refused.exception(), Overloaded)
        (other,) = writing.submit(Wish(3, caller="c"))
        assert await writing.results([other]) == ["done 3"]

    run(scene, waiting_weight=1_000, caller_weight=50)


def test_what_cannot_be_refused_has_nobody_else_refused():
    async def scene(writing):
        await writing.hold()
        writing.submit(Wish("always", weight=100), refusable=False)
        await writing.waiting(1)
        assert await writing.results(writing.submit("other")) == ["done other"]

    run(scene, waiting_weight=100, waiting=1)


def test_who_has_waited_too_long_is_refused_while_a_set_hangs():
    async def scene(writing):
        await writing.hold()
        (always,) = writing.submit("always", refusable=False)
        some = writing.submit(1, 2)
        await asyncio.wait(some, timeout=20)
        assert all(isinstance(one.exception(), Overloaded) for one in some)
        # Later ones, too.
        (later,) = writing.submit(3)
        await asyncio.wait({later}, timeout=20)
        assert isinstance(later.exception(), Overloaded)
        await writing.results([always])
        assert writing.executor.committed == ["first", "always"]

    run(scene, age=0.02)


def test_a_stop_finishes_what_was_taken_and_refuses_the_rest():
    async def scene(writing):
        taken = await writing.hold()
        waits, always = writing.submit(1) + writing.submit(2, refusable=False)
        await writing.waiting(2)
        closing = asyncio.create_task(writing.writer.close())
        await asyncio.wait({waits, always})
        assert isinstance(waits.exception(), Overloaded)
        assert isinstance(always.exception(), Overloaded)
        assert not closing.done()
        (later,) = writing.submit(3)
        await asyncio.wait({later})
        assert isinstance(later.exception(), Overloaded)
        assert await writing.results([taken]) == ["done first"]
        await closing
        assert writing.executor.committed == ["first"]

    run(scene)


def test_a_stop_of_one_that_was_never_used():
    async def scene(writing):
        await writing.writer.close()

    run(scene)
