"""Every pair of what can happen at the same moment around a line, in every interleaving."""

import pytest

from tests.integration.line_interleavings import ACTORS, interleave_with_every_other

pytestmark = [pytest.mark.usefixtures("quickly_committed_db"), pytest.mark.timeout(600)]

# Forces and sweeps end as a release does; each of these is tried beside the others, and is not held itself.
ONLY_BESIDE = {"force_release", "first_is_deleted", "holder_is_idle", "heartbeat", "new_epoch"}


@pytest.mark.parametrize(
    "first", [name for name in ACTORS if name not in {"release", *ONLY_BESIDE}]
)
def test_every_other_at_every_statement_of(first, subtests):
    interleave_with_every_other(first, subtests)
