"""What fails by itself is set aside, and all others are done."""

from contextlib import nullcontext

import pytest
from django.db import OperationalError

from sessions_app import quarantine
from sessions_app.quarantine import Candidate, QuarantiningSteps
from sessions_app.steps import Pace

THINGS = 1000


class Work:
    """Things of groups of ten, some of which fail whatever they are done with."""

    def __init__(self, bad, error=None, quarantine_seconds=None, pace=None):
        self.bad = set(bad)
        self.error = error or ValueError("poisoned")
        self.waiting = list(range(THINGS))
        self.done = []
        self.tries = self.looks = 0
        self.careful = QuarantiningSteps(
            "the test",
            self.find,
            lambda number: {"thing": number},
            self.act,
            pace=pace,
            quarantine_seconds=quarantine_seconds,
        )

    def find(self, but_not, but_not_of):
        self.looks += 1
        return [
            Candidate(number, number // 10)
            for number in self.waiting
            if number not in but_not and number // 10 not in but_not_of
        ]

    def act(self, candidates):
        ids = [one.id for one in candidates]
        self.tries += 1
        if self.bad.intersection(ids):
            raise self.error
        self.done += ids
        self.waiting = [number for number in self.waiting if number not in ids]
        return len(ids)

    def run(self):
        while self.careful.step()[0]:
            pass


@pytest.mark.parametrize("bad", [{0}, {555}, {THINGS - 1}, {3, 500, 998}])
def test_all_others_are_done_once(bad, caplog):
    work = Work(bad)
    work.run()
    assert sorted(work.done) == sorted(set(range(THINGS)) - bad)
    told = [record for record in caplog.records if record.levelname == "ERROR"]
    assert {record.thing for record in told} == bad


def test_one_is_found_by_four_failures():
    work = Work({555})
    work.run()
    assert work.tries == 1 + 10 + 10 + 10


def test_two_of_a_group_have_the_whole_group_left_alone():
    work = Work(range(550, 560))
    work.run()
    assert sorted(work.done) == sorted(set(range(THINGS)) - set(range(550, 560)))
    assert work.tries == 1 + 10 + 10 + 2


def test_it_is_tried_again_after_a_while(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(quarantine.time, "monotonic", lambda: now[0])
    work = Work({5}, quarantine_seconds=60)
    work.run()
    work.bad.clear()
    work.run()
    assert 5 not in work.done
    now[0] += 61
    work.run()
    assert 5 in work.done


def test_a_database_that_is_away_is_nobodys_fault(monkeypatch):
    monkeypatch.setattr(quarantine, "_database_answers", lambda: False)
    work = Work({5}, OperationalError("gone"))
    with pytest.raises(OperationalError):
        work.run()
    assert work.tries == 1


def test_where_everything_fails_it_ends(monkeypatch):
    monkeypatch.setattr(quarantine, "MAX_QUARANTINED", 7)
    work = Work(range(THINGS))
    with pytest.raises(ValueError, match="poisoned"):
        work.run()
    assert work.done == []


class SteadyPace(Pace):
    def __init__(self, size):
        super().__init__()
        self.size = size

    def step(self, count):
        assert count <= self.size
        return nullcontext()


def test_candidates_are_looked_for_once_and_done_in_steps():
    work = Work(set(), pace=SteadyPace(30))
    work.run()
    assert sorted(work.done) == list(range(THINGS))
    assert work.tries == -(-THINGS // 30)
    assert work.looks == 2, "the second look finds nothing"


def test_a_group_that_fails_is_left_out_of_the_steps_after():
    work = Work(range(20, 40), pace=SteadyPace(25))
    work.run()
    assert sorted(work.done) == sorted(set(range(THINGS)) - set(range(20, 40)))
    assert work.bad.isdisjoint(work.done)
    assert work.looks == 2


def test_quarantine_is_forgotten_while_the_database_is_away(monkeypatch):
    monkeypatch.setattr(quarantine, "_database_answers", lambda: False)
    work = Work({5}, OperationalError("gone"), pace=SteadyPace(30))
    with pytest.raises(OperationalError):
        work.run()
    assert not work.careful.waiting
