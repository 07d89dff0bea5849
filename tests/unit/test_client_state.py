"""When a program is told that its workstation is connected, and its sessions are certain."""

import pytest

from silo_client import state as module
from silo_client.common import clock
from silo_client.state import State, StateWatch
from tests.waiting import eventually

GOOD, UNSURE, AWAY = State(True, True), State(True, False), State(False, False)


class Told:
    """A workstation whose state can be set, and what its program is told."""

    def __init__(self):
        self.state = AWAY
        self.until = clock.now() + 3600
        self.refuses = False
        self.refused = 0
        # Calls that wait for the program's thread.
        self.waiting = None
        self.calls = []
        self.watch = StateWatch(lambda: (self.state, self.until), self.call)

    def call(self, name, function):
        assert name == "on_state"
        if self.refuses:
            self.refused += 1
            return False
        if self.waiting is None:
            function()
        else:
            self.waiting.append(function)
        return True

    def hear(self, connected, valid):
        self.calls.append(State(connected, valid))

    def change(self, state, *, message=True):
        self.state = state
        if message:
            self.watch.look()

    def hears(self, *calls):
        eventually(lambda: self.calls == list(calls), f"{calls} in {self.calls}")


@pytest.fixture
def told():
    told = Told()
    told.watch.tell(told.hear)
    yield told
    told.watch.close()


def test_each_change_is_told_once(told):
    told.change(GOOD)
    told.hears(GOOD)
    told.change(UNSURE)
    told.hears(GOOD, UNSURE)
    told.watch.look()
    told.change(AWAY)
    told.hears(GOOD, UNSURE, AWAY)
    # No message tells that it is certain again.
    told.change(GOOD, message=False)
    told.hears(GOOD, UNSURE, AWAY, GOOD)


def test_the_end_of_the_lease_is_told_without_a_message(told, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 60.0)
    told.until = clock.now() + 0.3
    told.change(GOOD)
    told.hears(GOOD)
    told.change(AWAY, message=False)
    told.hears(GOOD, AWAY)


def test_a_change_without_any_message_is_told(told, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    told.change(GOOD)
    told.hears(GOOD)
    told.change(UNSURE, message=False)
    told.hears(GOOD, UNSURE)


def test_calls_that_are_late_or_in_another_order_tell_the_last_state(told):
    told.waiting = []
    for number, state in enumerate([GOOD, UNSURE, GOOD, AWAY]):
        told.change(state)
        eventually(lambda: len(told.waiting) == number + 1)  # noqa: B023
    for call in reversed(told.waiting):
        call()
    assert told.calls == []
    told.change(UNSURE)
    eventually(lambda: len(told.waiting) == 5)
    for call in reversed(told.waiting):
        call()
    assert told.calls == [UNSURE]


def test_a_state_that_was_refused_is_told_later(told, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    told.refuses = True
    told.change(GOOD)
    eventually(lambda: told.refused)
    told.refuses = False
    told.hears(GOOD)


def test_refusals_are_asked_again_after_longer_and_longer_pauses(told, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 3600.0)
    told.refuses = True
    told.change(GOOD)
    eventually(lambda: told.refused == 1)
    # A message is no reason to wait less.
    told.watch.look()
    told.change(AWAY)
    eventually(lambda: told.watch._state == AWAY)
    assert told.refused == 1


def test_nothing_is_told_after_the_end(told):
    told.waiting = []
    told.change(GOOD)
    eventually(lambda: told.waiting)
    told.watch.close()
    told.waiting[0]()
    assert told.calls == []


def test_a_callback_that_is_set_later_is_told_the_present_state(told):
    told.change(GOOD)
    told.hears(GOOD)
    later = []
    told.watch.tell(lambda *state: later.append(state))
    eventually(lambda: later == [GOOD])
    told.change(UNSURE)
    eventually(lambda: later == [GOOD, UNSURE])
    told.hears(GOOD)


def test_a_callback_that_is_set_during_a_refused_call_is_told_the_state(told, monkeypatch):
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    later = []
    call = told.watch._call

    def set_another(*arguments):
        told.watch._call = call
        told.watch.tell(lambda *state: later.append(state))
        return False

    told.watch._call = set_another
    told.change(GOOD)
    eventually(lambda: later == [GOOD])


def test_none_is_told_nothing(told):
    told.waiting = []
    told.change(GOOD)
    eventually(lambda: told.waiting)
    told.watch.tell(None)
    told.waiting[0]()
    assert told.calls == []
