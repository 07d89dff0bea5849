"""A set writer: what becomes one set, whose turn it is, and what becomes of requests that fail, leave or wait."""

import asyncio
import threading
from dataclasses import dataclass

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, OperationalError

from events_app.database import set_writer
from events_app.database.set_queue import Bounds
from events_app.database.set_writer import Overloaded, SetWriter


@dataclass(frozen=True)
class Wish:
    """A request."""

    name: object
    keys: tuple = ()
    caller: str = ""
    weight: int = 1


class Refused(Exception):
    """An outcome that is a refusal."""


class Executor:
    """Carries out sets, and keeps them. It can be held in the middle of one, and fail."""

    def __init__(self):
        # Of the sets that were begun: names and threads.
        self.sets = []
        self.threads = set()
        self.committed = []
        self.go = threading.Event()
        self.go.set()
        self.refused = set()
        # Returns the error of a set, or None.
        self.error = lambda names: None

    def __call__(self, requests):
        names = [one.name for one in requests]
        self.sets.append(names)
        self.threads.add(threading.current_thread())
        assert self.go.wait(20)
        if error := self.error(names):
            raise error
        self.committed += names
        return [Refused(name) if name in self.refused else f"done {name}" for name in names]


class Writing:
    """A writer, with helpers."""

    def __init__(self, **bounds):
        self.executor = Executor()
        self.writer = SetWriter(
            self.executor,
            name="test",
            keys=lambda one: one.keys,
            caller=lambda one: one.caller,
            weight=lambda one: one.weight,
            bounds=Bounds(**bounds),
        )
        self.tasks = []

    def submit(self, *wishes, **options):
        """Submit these in tasks, which are returned."""
        wishes = [one if isinstance(one, Wish) else Wish(one) for one in wishes]
        tasks = [asyncio.create_task(self._submitted(one, **options)) for one in wishes]
        self.tasks += tasks
        return tasks

    async def _submitted(self, wish, **options):
        return await self.writer.submit(wish, **options)

    async def hold(self):
        """Have a set held in the thread, so that what comes now waits."""
        self.executor.go.clear()
        before = len(self.executor.sets)
        (task,) = self.submit("first")
        await until(lambda: len(self.executor.sets) > before)
        return task

    async def waiting(self, count, caller=""):
        await until(lambda: self.writer.waiting(caller) == count)

    async def results(self, tasks=None):
        """Let all run, and return the outcomes, or the errors."""
        self.executor.go.set()
        async with asyncio.timeout(20):
            return await asyncio.gather(*(tasks or self.tasks), return_exceptions=True)


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  (of another thread, too)
            await asyncio.sleep(0.001)


def run(scene, **bounds):
    """Run a scene with a writer."""

    async def main():
        writing = Writing(**bounds)
        try:
            await scene(writing)
        finally:
            writing.executor.go.set()
            async with asyncio.timeout(20):
                await writing.writer.close()
                # What still waited is refused.
                await asyncio.gather(*writing.tasks, return_exceptions=True)
        for thread in writing.executor.threads:
            thread.join(20)
            assert not thread.is_alive()

    asyncio.run(main())


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


def test_a_refusal_is_one_request_s():
    async def scene(writing):
        writing.executor.refused = {2}
        one, two, three = await writing.results(writing.submit(1, 2, 3))
        assert (one, three) == ("done 1", "done 3")
        assert isinstance(two, Refused)
        assert len(writing.executor.sets) == 1

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


def statement_error(cause=psycopg.errors.DeadlockDetected):
    error = OperationalError("refused")
    error.__cause__ = cause()
    return error


@pytest.mark.parametrize("error", [IntegrityError(), statement_error(), ValueError()])
@pytest.mark.parametrize("culprits", [{5}, {0, 9}, set(range(10))])
def test_a_set_that_fails_is_tried_in_halves(error, culprits):
    async def scene(writing):
        writing.executor.error = lambda names: error if culprits & set(names) else None
        outcomes = await writing.results(writing.submit(*range(10)))
        for number, outcome in enumerate(outcomes):
            assert outcome == (error if number in culprits else f"done {number}")
        assert writing.executor.committed == [one for one in range(10) if one not in culprits]
        # Each culprit was tried once alone.
        alone = [one[0] for one in writing.executor.sets if len(one) == 1]
        assert sorted(one for one in alone if one in culprits) == sorted(culprits)
        assert len(writing.executor.threads) == 1

    run(scene)


def test_a_set_that_fails_once_is_carried_out_whole_in_two_halves():
    async def scene(writing):
        writing.executor.error = lambda names: statement_error() if len(names) == 8 else None
        await writing.results(writing.submit(*range(8)))
        assert writing.executor.sets == [[*range(8)], [0, 1, 2, 3], [4, 5, 6, 7]]

    run(scene)


def test_who_waits_for_what_was_found_locked_gets_the_same_error_at_once():
    error = statement_error(psycopg.errors.LockNotAvailable)

    async def scene(writing):
        await writing.hold()
        writing.submit(Wish("locked", ("k",)), Wish("same", ("k", "l")), Wish("other", ("o",)))
        await writing.waiting(3)
        writing.executor.error = lambda names: error if "locked" in names else None
        outcomes = await writing.results()
        assert outcomes == ["done first", error, error, "done other"]
        assert writing.executor.sets[1:] == [["locked", "other"], ["locked"], ["other"]]

    run(scene)


def lost():
    error = OperationalError("server closed the connection unexpectedly")
    error.__cause__ = psycopg.OperationalError()
    return error


def test_an_unavailable_database_is_tried_once_and_everyone_of_the_set_gets_the_error():
    async def scene(writing):
        writing.executor.error = lambda names: lost()
        outcomes = await writing.results(writing.submit(*range(10)))
        assert {type(one) for one in outcomes} == {OperationalError}
        assert len(writing.executor.sets) == 1
        writing.executor.error = lambda names: None
        assert await writing.results(writing.submit("later")) == ["done later"]

    run(scene)


def test_a_connection_that_is_lost_between_two_halves_spoils_the_second_only():
    async def scene(writing):
        errors = {4: statement_error(), 2: None}

        def error(names):
            return lost() if names == [2, 3] else errors[len(names)]

        writing.executor.error = error
        outcomes = await writing.results(writing.submit(*range(4)))
        assert outcomes[:2] == ["done 0", "done 1"]
        assert all(isinstance(one, DatabaseError) for one in outcomes[2:])

    run(scene)


def test_the_connection_is_looked_at_after_an_error_and_ended_at_the_end(monkeypatch):
    seen = []
    monkeypatch.setattr(set_writer, "UNUSED_SECONDS", 3600)
    monkeypatch.setattr(set_writer, "look_at_connection", lambda: seen.append("looked at"))
    monkeypatch.setattr(set_writer, "give_connection_up", lambda: seen.append("ended"))

    async def scene(writing):
        await writing.results(writing.submit(1))
        seen.clear()
        await writing.results(writing.submit(2))
        assert seen == []
        writing.executor.error = lambda names: lost()
        await writing.results(writing.submit(3))
        assert seen == ["looked at"]

    run(scene)
    assert seen == ["looked at", "ended"]


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


def test_a_set_is_of_one_kind_and_the_other_kind_is_next():
    async def scene(writing):
        await writing.hold()
        writing.writer._kind = lambda one: one.name > 10
        writing.submit(1, 11, 2, 12)
        await writing.waiting(4)
        await writing.results()
        assert writing.executor.sets[1:] == [[1, 2], [11, 12]]

    run(scene)


def test_a_set_of_which_much_is_locked_is_not_tried_for_long(monkeypatch):
    monkeypatch.setattr(set_writer, "LOCKED_SECONDS", -1.0)
    error = statement_error(psycopg.errors.LockNotAvailable)

    async def scene(writing):
        await writing.hold()
        writing.executor.error = lambda names: error if "first" not in names else None
        writing.submit(*range(100))
        await writing.waiting(100)
        outcomes = await writing.results()
        assert outcomes == ["done first", *[error] * 100]
        assert len(writing.executor.sets) == 2

    run(scene)


def test_a_fault_in_the_thread_is_told_and_the_next_set_is_carried_out(monkeypatch):
    async def scene(writing):
        writing.executor.error = lambda names: statement_error()
        with monkeypatch.context() as patched:
            patched.setattr(set_writer, "look_at_connection", lambda: 1 / 0)
            (outcome,) = await writing.results(writing.submit(1))
            assert isinstance(outcome, RuntimeError)
        writing.executor.error = lambda names: None
        assert await writing.results(writing.submit(2)) == ["done 2"]

    run(scene)


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
