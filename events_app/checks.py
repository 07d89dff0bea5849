"""System checks of the ratios between timings on which presence depends."""

from typing import Any

from django.conf import settings
from django.core import checks

from events_app import timings


@checks.register("timings")
def check_timings(**_: Any) -> list[checks.CheckMessage]:
    """Refuse timings by which a live client, process or reader would be taken for dead."""
    configured = timings.configured()
    faults: list[checks.CheckMessage] = []
    if configured.acknowledgement < configured.beat:
        faults.append(
            checks.Error(
                f"dead_peer_seconds is {configured.dead_peer:g} and heartbeat_seconds "
                f"{configured.heartbeat:g}: what is between them is the time in which a client has to "
                f"acknowledge a heartbeat, and must be at least a beat of {configured.beat:g} s.",
                id="events_app.E001",
            )
        )
    if settings.EVENTS_EVENT_RETENTION.total_seconds() < 3 * configured.heartbeat:
        faults.append(
            checks.Error(
                "event_retention_hours is shorter than three heartbeats: "
                "a client that reconnects could not resume.",
                id="events_app.E002",
            )
        )
    return faults
