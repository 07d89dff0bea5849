"""A set writer: what becomes of requests whose set fails, and of its connection."""

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, OperationalError

from events_app.database import set_writer
from tests.unit.set_writing import Refused, Wish, lost, run, statement_error


def test_a_refusal_is_one_request_s():
    async def scene(writing):
        writing.executor.refused = {2}
        one, two, three = await writing.results(writing.submit(1, 2, 3))
        assert (one, three) == ("done 1", "done 3")
        assert isinstance(two, Refused)
        assert len(writing.executor.sets) == 1

    run(scene)


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
