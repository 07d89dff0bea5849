"""The checker of histories finds every kind of forgery, and nothing in a history that is true."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.history import History, Limits
from tests.history_checker import RULES, check
from tests.unit import forged_sessions, forged_streams
from tests.unit.true_history import GOOD, change

FORGERIES = [*forged_sessions.FORGERIES, *forged_streams.FORGERIES]


def test_a_true_history_is_accepted() -> None:
    assert check(GOOD) == []


@pytest.mark.parametrize(("make", "rule", "found"), FORGERIES)
def test_a_forgery_is_found(make: Callable[[], History], rule: str, found: str) -> None:
    told = [violation.what for violation in check(make()) if violation.rule == rule]
    assert any(re.search(found, what) for what in told), check(make())


def test_every_rule_has_its_forgery() -> None:
    assert {forged.values[1] for forged in FORGERIES} == {rule.__name__ for rule in RULES}


def test_a_fault_gives_a_departure_more_time() -> None:
    late = change("log", 7, at=44.0)
    assert check(late)
    assert check(replace(late, faults=((38.0, 41.0),))) == []


def test_a_time_out_begins_anew_after_every_outage() -> None:
    left = replace(GOOD, limits=Limits(timeout=60.0, settle=55.0))
    assert check(left)
    assert check(replace(left, outages=((30.0, 31.0),))) == []
