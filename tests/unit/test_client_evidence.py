"""Until when a client is sure."""

import pytest

from silo_client.helper import lease
from silo_client.helper.lease import Lease, Timings

DEFAULTS = {
    "heartbeat_seconds": 30.0,
    "keepalive_seconds": 8.0,
    "acknowledge_seconds": 13.75,
    "grace_seconds": 0.0,
    "safe_seconds": 22.5,
    "timeout_seconds": 900.0,
}
WITH_GRACE = DEFAULTS | {"grace_seconds": 15.0, "safe_seconds": 15.0, "keepalive_seconds": 5.0}


@pytest.fixture
def sure():
    """Lease of a stream whose request was sent at 100, and whose first heartbeat is acknowledged."""

    def make(**changes):
        made = Lease()
        made.opened(100.0, Timings.from_payload(WITH_GRACE | changes))
        made.heartbeat(100.0)
        made.acknowledged(100.0)
        return made

    return make


def test_lease_is_invalid_without_a_stream():
    assert Lease().valid_until == lease.NEVER


def test_lease_is_four_fifths_of_the_servers_promise(sure):
    made = sure()
    assert made.valid_until == 112.0
    made.stamped(105.0)
    assert made.valid_until == 117.0


def test_older_proof_does_not_shorten_the_lease(sure):
    made = sure()
    made.stamped(105.0)
    made.stamped(104.0)
    made.opened(103.0, Timings.from_payload(WITH_GRACE))
    assert made.valid_until == 117.0


def test_acknowledgement_renews_the_lease_with_a_grace(sure):
    made = sure()
    made.acknowledged(106.0)
    assert made.valid_until == 118.0


def test_acknowledgement_does_not_renew_the_lease_without_a_grace(sure):
    made = sure(**DEFAULTS)
    made.acknowledged(106.0)
    assert made.valid_until == 118.0  # of the opening, at 100


def test_missing_acknowledgement_ends_the_lease(sure):
    made = sure(**DEFAULTS)
    made.stamped(130.0)
    made.heartbeat(130.0)
    made.stamped(140.0)
    assert made.valid_until == 130.0 + 0.8 * 13.75
    made.heartbeat(160.0)
    assert made.valid_until == 130.0 + 0.8 * 13.75, "the oldest one counts"
    made.acknowledged(161.0)
    made.stamped(162.0)
    assert made.valid_until == 180.0


def test_a_grace_is_added_to_the_time_for_acknowledging(sure):
    made = sure()
    made.heartbeat(130.0)
    made.stamped(200.0)
    assert made.valid_until == 130.0 + 0.8 * (13.75 + 15.0)


def test_missing_heartbeats_end_the_lease(sure):
    made = sure()
    made.stamped(5000.0)
    assert made.valid_until == 100.0 + 0.8 * 900.0


def test_end_of_the_stream_ends_the_lease_without_a_grace(sure):
    made = sure(**DEFAULTS)
    made.ended()
    assert made.valid_until == lease.NEVER


def test_end_of_the_stream_does_not_end_the_lease_with_a_grace(sure):
    made = sure()
    made.ended()
    assert made.valid_until == 112.0
