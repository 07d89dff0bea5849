"""How often something may be tried that has failed."""

import threading

import pytest

from sessions_app.brake import Brake
from tests.unit.clock import Clock

BURST, INTERVAL = 5, 60.0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def brake(clock):
    return Brake(BURST, INTERVAL, max_keys=3, clock=clock)


def exhaust(brake, key="ada"):
    assert [brake.take(key) for _ in range(BURST)] == [0.0] * BURST


def test_so_many_at_once_then_one_in_each_interval(brake, clock):
    exhaust(brake)
    assert brake.take("ada") == INTERVAL
    clock.now += 20
    assert brake.take("ada") == 40
    clock.now += 40
    assert brake.take("ada") == 0
    assert brake.take("ada") == INTERVAL


def test_a_key_that_waits_long_enough_has_all_attempts_again(brake, clock):
    exhaust(brake)
    clock.now += BURST * INTERVAL
    exhaust(brake)


def test_a_key_waits_for_no_other(brake):
    exhaust(brake, "ada")
    exhaust(brake, "bob")


def test_successful_attempts_are_not_counted(brake):
    for _ in range(3 * BURST):
        assert brake.take("ada") == 0
        brake.give_back("ada")
    exhaust(brake)
    brake.forget("ada")
    exhaust(brake)


def test_it_remembers_those_that_were_used_last(brake):
    for key in ("first", "second", "third"):
        exhaust(brake, key)
    brake.take("fourth")
    assert brake.take("first") == 0
    assert brake.take("third") > 0


def test_simultaneous_attempts_are_counted_before_they_fail():
    brake, granted = Brake(BURST, INTERVAL), []
    begin = threading.Barrier(40)

    def attempt():
        begin.wait()
        granted.append(brake.take("ada") == 0)

    threads = [threading.Thread(target=attempt) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert granted.count(True) == BURST
