"""A set writer: what becomes one set, and whose turn it is."""

import asyncio

from events_app.database import set_writer
from tests.unit.set_writing import Wish, run, until


def test_what_comes_while_a_set_is_written_is_the_next_set():
    async def scene(writing):
        await writing.hold()
        writing.submit(1, 2, 3)
        await writing.waiting(3)
        assert await writing.results() == ["done first", "done 1", "done 2", "done 3"]
        assert writing.executor.sets == [["first"], [1, 2, 3]]
        assert len(writing.executor.threads) == 1

    run(scene)


def test_what_comes_in_one_turn_of_the_loop_is_one_set():
    async def scene(writing):
        writing.submit(1, 2, 3)
        await writing.results()
        assert writing.executor.sets == [[1, 2, 3]]

    run(scene)


def wait_for_long(monkeypatch):
    monkeypatch.setattr(set_writer, "TOGETHER_SECONDS", 3600)
    monkeypatch.setattr(set_writer, "TOGETHER_MOST_SECONDS", 3600)


def test_who_is_alone_waits_for_nobody(monkeypatch):
    wait_for_long(monkeypatch)

    async def scene(writing):
        for number in range(5):
            assert await writing.results(writing.submit(number)) == [f"done {number}"]

    run(scene)


def test_after_a_large_set_those_who_were_answered_together_are_waited_for(monkeypatch):
    wait_for_long(monkeypatch)

    async def scene(writing):
        await writing.results(writing.submit(*range(4)))
        some = writing.submit("a", "b", "c")
        await writing.waiting(3)
        await asyncio.sleep(0)
        assert len(writing.executor.sets) == 1
        await writing.results(some + writing.submit("d"))
        assert writing.executor.sets == [[0, 1, 2, 3], ["a", "b", "c", "d"]]

    run(scene)


def test_two_groups_of_clients_become_one(monkeypatch):
    wait_for_long(monkeypatch)

    async def scene(writing):
        writing.executor.go.clear()
        first = writing.submit("a", "b")
        await until(lambda: len(writing.executor.sets) == 1)
        others = writing.submit("c", "d", "e")
        await writing.waiting(3)
        writing.executor.go.set()
        await writing.results(first)
        # The others have not gone ahead alone.
        await asyncio.sleep(0)
        assert len(writing.executor.sets) == 1
        await writing.results(others + writing.submit("f", "g"))
        assert sorted(writing.executor.sets[1]) == ["c", "d", "e", "f", "g"]

    run(scene)


def test_a_set_does_not_wait_for_longer_than_one_may_take_though_others_come(monkeypatch):
    monkeypatch.setattr(set_writer, "TOGETHER_SECONDS", 3600)

    async def scene(writing):
        await writing.results(writing.submit(*range(100)))
        some = []
        while len(writing.executor.sets) == 1:
            some += writing.submit(f"further {len(some)}")
            await asyncio.sleep(0.001)
        await writing.results(some)
        assert len(writing.executor.sets[1]) < 100

    run(scene)


def test_they_are_not_waited_for_for_long():
    async def scene(writing):
        await writing.results(writing.submit(*range(4)))
        await writing.results(writing.submit("only one"))

    run(scene)


def test_a_key_is_in_a_set_once_and_its_requests_keep_their_order():
    async def scene(writing):
        await writing.hold()
        writing.submit(
            Wish(1, ("a",)), Wish(2, ("a", "b")), Wish(3, ("b",)), Wish(4, ("c",)), Wish(5, ("a",))
        )
        await writing.waiting(5)
        await writing.results()
        # 3 does not overtake 2, which would never get its turn else.
        assert writing.executor.sets[1:] == [[1, 4], [2], [3, 5]]

    run(scene)


def test_callers_take_turns():
    async def scene(writing):
        await writing.hold()
        writing.submit(*(Wish(f"flood {number}", caller="flood") for number in range(50)))
        await writing.waiting(50, "flood")
        writing.submit(Wish("ada", caller="ada"), Wish("bob", caller="bob"))
        await writing.waiting(1, "bob")
        await writing.results()
        assert writing.executor.sets[1] == ["flood 0", "ada", "bob", "flood 1"]
        assert writing.executor.committed.index("flood 49") == 52

    run(scene, requests=4)


def test_a_flood_for_one_key_delays_others_by_one_set_at_most():
    async def scene(writing):
        await writing.hold()
        writing.submit(*(Wish(number, ("k",), "flood") for number in range(20)))
        await writing.waiting(20, "flood")
        writing.submit(Wish("same", ("k",), "ada"), Wish("other", ("o",), "ada"))
        await writing.waiting(2, "ada")
        await writing.results()
        assert writing.executor.sets[1:4] == [[0, "other"], ["same"], [1]]

    run(scene)


def test_the_weight_of_a_set_is_bounded():
    async def scene(writing):
        await writing.hold()
        writing.submit(Wish(1, weight=6), Wish(2, weight=5), Wish(3, weight=4), Wish(4, weight=99))
        await writing.waiting(4)
        await writing.results()
        assert writing.executor.sets[1:] == [[1], [2, 3], [4]]

    run(scene, weight=10)


def test_a_set_is_of_one_kind_and_the_other_kind_is_next():
    async def scene(writing):
        await writing.hold()
        writing.writer._kind = lambda one: one.name > 10
        writing.submit(1, 11, 2, 12)
        await writing.waiting(4)
        await writing.results()
        assert writing.executor.sets[1:] == [[1, 2], [11, 12]]

    run(scene)
