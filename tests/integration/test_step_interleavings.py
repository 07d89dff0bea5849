"""What ends a departure's second step, or goes with it, at every statement of it. The others: `tests/slow`."""

import pytest

from sessions_app.models import edit_session_manager
from tests.factories import make_user
from tests.integration.step_interleavings import STEP, interleave


@pytest.mark.parametrize("second", ["arrival", "alive", "rest_elsewhere"])
@pytest.mark.usefixtures("quickly_committed_db")
def test_another_at_every_statement_of_a_step(second, monkeypatch):
    monkeypatch.setattr(edit_session_manager, "STEP_SESSIONS", STEP)
    interleave("rest", second, [make_user(name) for name in ("ada", "bob")])
