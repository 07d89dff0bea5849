"""System checks: the ratios between the timings of sessions."""

from typing import Any

from django.conf import settings
from django.core import checks


@checks.register("timings")
def check_timings(**_: Any) -> list[checks.CheckMessage]:
    """Refuse time-outs that would end a live session."""
    heartbeat = settings.EVENTS_HEARTBEAT_SECONDS
    timeout = settings.EVENTS_SESSION_TIMEOUT.total_seconds()
    idle_timeout = settings.SESSIONS_IDLE_TIMEOUT.total_seconds()
    faults: list[checks.CheckMessage] = []
    if timeout < 3 * heartbeat:
        faults.append(
            checks.Error(
                f"session_timeout_minutes is {timeout / 60:g}, shorter than three heartbeats: "
                "a live session could expire.",
                hint="Make session_timeout_minutes longer or heartbeat_seconds shorter.",
                id="sessions_app.E001",
            )
        )
    if 0 < idle_timeout < heartbeat:
        faults.append(
            checks.Error(
                f"idle_timeout_minutes is {idle_timeout / 60:g}, shorter than a heartbeat, with which a client says "
                "that somebody is there: who is at work could be taken for idle.",
                hint="Make idle_timeout_minutes longer, or 0 for never.",
                id="sessions_app.E002",
            )
        )
    return faults
