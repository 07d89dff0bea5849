"""Everything that can happen around a line, at every statement of a release. The others: `tests/slow`."""

import pytest

from tests.integration.line_interleavings import interleave_with_every_other

# Four hundred interleavings, perhaps beside tests that compute.
pytestmark = [pytest.mark.usefixtures("quickly_committed_db"), pytest.mark.timeout(400)]


def test_every_other_at_every_statement_of_a_release(subtests):
    interleave_with_every_other("release", subtests)
