"""How many things a step does follows from how long the steps before took."""

import pytest

from sessions_app import steps
from sessions_app.steps import Pace


@pytest.fixture
def take(monkeypatch):
    """Have a step of so many things take so many seconds."""
    now = [0.0]
    monkeypatch.setattr(steps.time, "perf_counter", lambda: now[0])

    def take(pace, count, seconds):
        with pace.step(count):
            now[0] += seconds

    return take


def test_a_step_that_was_slow_makes_the_next_one_smaller(take):
    pace = Pace()
    take(pace, 200, 2 * steps.PACE_SECONDS)
    assert pace.size == 100


def test_a_full_step_that_was_fast_makes_the_next_one_at_most_twice_as_large(take):
    pace = Pace()
    take(pace, 200, steps.PACE_SECONDS / 10)
    assert pace.size == 400


def test_the_rest_of_what_was_found_makes_no_step_larger(take):
    pace = Pace()
    take(pace, 3, 0.001)
    assert pace.size == 200


def test_there_are_bounds(take):
    pace = Pace()
    take(pace, 200, 100)
    assert pace.size == steps.PACE_LEAST
    for _ in range(10):
        take(pace, pace.size, 0)
    assert pace.size == steps.STEP_SESSIONS


def test_a_step_that_failed_says_nothing(take):
    pace = Pace()
    with pytest.raises(ValueError, match="poisoned"), pace.step(200):
        raise ValueError("poisoned")
    assert pace.size == 200
