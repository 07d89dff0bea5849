"""The checker of histories finds every kind of forgery, and nothing in a history that is true."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests import history_idle, history_line, history_together
from tests.history import History, Limits
from tests.history_checker import RULES, check
from tests.unit import forged_line, forged_sessions, forged_streams, forged_together
from tests.unit.true_history import GOOD, change, is_found, parameters
from tests.unit.true_line import GOOD as GOOD_LINE

# Of locks and sessions; of the line, hand-offs, batches, interference and idleness.
FORGERIES = parameters(forged_sessions.FORGERIES, forged_streams.FORGERIES)
FORGERIES_OF_LINES = parameters(forged_line.FORGERIES, forged_together.FORGERIES)
RULES_OF_LINES = (*history_together.RULES, *history_line.RULES, *history_idle.RULES)
POSSIBLE = forged_line.POSSIBLE | forged_together.POSSIBLE


@pytest.mark.parametrize("history", [GOOD, GOOD_LINE], ids=["sessions", "line"])
def test_a_true_history_is_accepted(history: History) -> None:
    assert check(history) == []


@pytest.mark.parametrize(("rule", "words", "forged"), [*FORGERIES, *FORGERIES_OF_LINES])
def test_a_forgery_is_found(rule: str, words: str, forged: History) -> None:
    assert is_found(forged, rule, words), check(forged)


def test_every_rule_has_its_forgery() -> None:
    assert {forged.values[0] for forged in FORGERIES} == {rule.__name__ for rule in RULES}
    of_lines = {forged.values[0] for forged in FORGERIES_OF_LINES}
    assert {rule.__name__ for rule in RULES_OF_LINES} <= of_lines


@pytest.mark.parametrize("make", POSSIBLE, ids=lambda make: make.__name__)
def test_possible_histories_are_accepted(make: Callable[[], History]) -> None:
    assert not [str(v) for v in check(make()) if v.rule in POSSIBLE[make]]


def test_a_fault_gives_a_departure_more_time() -> None:
    late = change("log", 7, at=44.0)
    assert check(late)
    assert check(replace(late, faults=((38.0, 41.0),))) == []


def test_a_time_out_begins_anew_after_every_outage() -> None:
    left = replace(GOOD, limits=Limits(timeout=60.0, settle=55.0))
    assert check(left)
    assert check(replace(left, outages=((30.0, 31.0),))) == []
