"""The checker's rules of the line, hand-offs, batches, interference and idleness find what contradicts them."""

import re
from collections.abc import Callable

import pytest

from tests import history_idle, history_line, history_together
from tests.history import History
from tests.history_checker import check
from tests.unit import forged_line, forged_together
from tests.unit.true_line import GOOD

FORGERIES = [*forged_line.FORGERIES, *forged_together.FORGERIES]
POSSIBLE = forged_line.POSSIBLE | forged_together.POSSIBLE
RULES = (*history_together.RULES, *history_line.RULES, *history_idle.RULES)


def test_a_true_history_is_accepted() -> None:
    assert check(GOOD) == []


@pytest.mark.parametrize(("make", "rule", "found"), FORGERIES)
def test_a_forgery_is_found(make: Callable[[], History], rule: str, found: str) -> None:
    told = [violation.what for violation in check(make()) if violation.rule == rule]
    assert any(re.search(found, what) for what in told), check(make())


def test_every_rule_has_its_forgery() -> None:
    assert {rule.__name__ for rule in RULES} <= {forged.values[1] for forged in FORGERIES}


@pytest.mark.parametrize("make", POSSIBLE, ids=lambda make: make.__name__)
def test_possible_histories_are_accepted(make: Callable[[], History]) -> None:
    assert not [str(v) for v in check(make()) if v.rule in POSSIBLE[make]]
