"""What can happen while a departure ends what it holds in steps, in every interleaving."""

import pytest

from sessions_app.models import edit_session_manager
from tests.factories import make_user
from tests.integration.step_interleavings import ACTORS, STEP, interleave

pytestmark = [pytest.mark.usefixtures("quickly_committed_db"), pytest.mark.timeout(600)]

# Arrivals and departures: `tests/integration/test_interleavings.py`.
PAIRS = [("rest", second) for second in ACTORS if second not in {"rest", "departure"}]
PAIRS += [("departure", "their_release")]
# What takes several steps is not held: the one transaction of who is held would keep the locks between them.
PAIRS += [(second, "rest") for second in ("arrival", "rest_elsewhere", "their_release")]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_another_at_every_statement_of(first, second, monkeypatch):
    monkeypatch.setattr(edit_session_manager, "STEP_SESSIONS", STEP)
    interleave(first, second, [make_user(name) for name in ("ada", "bob")])
