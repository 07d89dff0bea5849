"""System checks: the ratios between the timings of sessions."""

from typing import Any

from django.conf import settings
from django.core import checks


@checks.register("timings")
def check_timings(**_: Any) -> list[checks.CheckMessage]:
    """Refuse a time-out that would end a live session."""
    timeout = settings.SESSIONS_TIMEOUT.total_seconds()
    if timeout < 3 * settings.EVENTS_HEARTBEAT_SECONDS:
        return [
            checks.Error(
                f"session_timeout_minutes is {timeout / 60:g}, shorter than three heartbeats: "
                "a live session could expire.",
                hint="Make session_timeout_minutes longer or heartbeat_seconds shorter.",
                id="sessions_app.E001",
            )
        ]
    return []
