"""The timings that follow from the configuration, and the system checks that hold their ratios."""

from datetime import timedelta

import pytest
from django.core import checks
from django.test import override_settings

from events_app import timings


def faults(**settings):
    with override_settings(**settings):
        return {fault.id for fault in checks.run_checks(tags=["timings"])}


@pytest.mark.parametrize(
    ("settings", "ids"),
    [
        ({}, set()),
        ({"EVENTS_SESSION_TIMEOUT": timedelta(seconds=89)}, {"sessions_app.E001"}),
        ({"EVENTS_SESSION_TIMEOUT": timedelta(seconds=90)}, set()),
        (
            {"EVENTS_HEARTBEAT_SECONDS": 301, "EVENTS_DEAD_PEER_SECONDS": 400},
            {"sessions_app.E001"},
        ),
        ({"SESSIONS_IDLE_TIMEOUT": timedelta(seconds=29)}, {"sessions_app.E002"}),
        ({"SESSIONS_IDLE_TIMEOUT": timedelta(seconds=30)}, set()),
        ({"EVENTS_DEAD_PEER_SECONDS": 30}, {"events_app.E001"}),
        ({"EVENTS_DEAD_PEER_SECONDS": 32.4}, {"events_app.E001"}),
        ({"EVENTS_DEAD_PEER_SECONDS": 32.5}, set()),
        ({"EVENTS_EVENT_RETENTION": timedelta(seconds=89)}, {"events_app.E002"}),
        (
            {"EVENTS_HEARTBEAT_SECONDS": 90_000, "EVENTS_DEAD_PEER_SECONDS": 1},
            {"sessions_app.E001", "events_app.E001", "events_app.E002"},
        ),
    ],
)
def test_intervals_that_would_end_what_lives_fail_the_system_check(settings, ids):
    assert faults(**settings) == ids


@pytest.mark.parametrize(
    ("settings", "keepalive", "grace", "safe", "vouched"),
    [
        ({}, 8, 0, 22.5, 0),
        ({"EVENTS_DEAD_PEER_SECONDS": 35}, 7, 0, 17.5, 0),
        ({"EVENTS_DISCONNECT_GRACE": timedelta(seconds=15)}, 5, 15, 15, 0),
        ({"EVENTS_DISCONNECT_GRACE": timedelta(seconds=60)}, 8, 60, 60, 0),
        ({"EVENTS_DISCONNECT_GRACE": timedelta(seconds=0.75)}, 0.25, 0.75, 0.75, 9.25),
    ],
)
def test_clients_get_the_configured_lease(settings, keepalive, grace, safe, vouched):
    with override_settings(**settings):
        configured = timings.configured()
    assert configured.vouched == vouched
    assert configured.as_payload() == {
        "heartbeat_seconds": 30,
        "keepalive_seconds": pytest.approx(keepalive),
        "acknowledge_seconds": configured.acknowledge,
        "grace_seconds": grace,
        "safe_seconds": safe,
        "timeout_seconds": 900,
    }
