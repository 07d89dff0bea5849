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


def test_without_a_stream_nothing_is_sure():
    assert Lease().valid_until == lease.NEVER


def test_it_is_sure_for_four_fifths_of_what_the_server_promises(sure):
    made = sure()
    assert made.valid_until == 112.0
    made.stamped(105.0)
    assert made.valid_until == 117.0


def test_older_evidence_takes_nothing_away(sure):
    made = sure()
    made.stamped(105.0)
    made.stamped(104.0)
    made.opened(103.0, Timings.from_payload(WITH_GRACE))
    assert made.valid_until == 117.0


def test_an_acknowledgement_is_evidence_of_its_sending_with_a_grace(sure):
    made = sure()
    made.acknowledged(106.0)
    assert made.valid_until == 118.0


def test_and_none_without_one(sure):
    made = sure(**DEFAULTS)
    made.acknowledged(106.0)
    assert made.valid_until == 118.0  # of the opening, at 100


def test_who_cannot_acknowledge_departs_whatever_the_lines_say(sure):
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


def test_without_heartbeats_the_session_times_out_whatever_the_lines_say(sure):
    made = sure()
    made.stamped(5000.0)
    assert made.valid_until == 100.0 + 0.8 * 900.0


def test_the_end_of_the_stream_ends_all_certainty_without_a_grace(sure):
    made = sure(**DEFAULTS)
    made.ended()
    assert made.valid_until == lease.NEVER


def test_and_none_with_one(sure):
    made = sure()
    made.ended()
    assert made.valid_until == 112.0
