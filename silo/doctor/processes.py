"""The servers and sweepers that run on the database, by their rows."""

from collections.abc import Iterator
from typing import Final

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Now

from events_app import timings
from events_app.models import EventLog, ServerProcess
from events_app.presence.outages import observed_for
from sessions_app.models import SweeperProcess
from sessions_app.text import duration
from silo import __version__
from silo.doctor.findings import Finding, ok, problem, warning

# A timer that starts runsweeper --once does so more often.
SINGLE_SWEEP_SECONDS: Final = 3600.0
START: Final = "Start manage.py {}; see its log for why it ended."


def findings() -> Iterator[Finding]:
    """Yield them."""
    yield from _of_servers()
    yield from _of_sweepers()
    observed = observed_for(settings.EVENTS_SESSION_TIMEOUT)
    if not EventLog.objects.values_list(observed).get()[0]:
        yield warning(
            "outage rule",
            "Stale sessions are kept: no server was there for a part of the last session_timeout_minutes.",
            "Wait, if servers were down: the rule ends by itself. Otherwise look in their logs why none beats.",
        )


def _of_servers() -> Iterator[Finding]:
    dead = timings.configured().server_dead_time
    beats = Q(last_beat__gte=Now() - dead, given_up=False)
    rows = list(
        ServerProcess.objects.annotate(beats=beats, silence=Now() - F("last_beat")).order_by(
            "hostname", "pid"
        )
    )
    alive = [one for one in rows if one.beats]
    if not alive:
        yield problem("servers", "No server beats.", START.format("serve"))
    for one in rows:
        if not one.beats:
            yield warning(
                "servers",
                f"{one} has not beaten for {duration(one.silence)}.",
                "Another server removes it; where there is none, start one.",
            )
        elif one.unready:
            yield warning("servers", f"{one} is not ready: {one.unready}.", "See its log.")
        else:
            yield ok("servers", f"{one} beats.")
        if one.beats and one.version not in {"", __version__}:
            yield warning(
                "servers", f"{one} runs version {one.version}, not {__version__}.", "Restart it."
            )


def _of_sweepers() -> Iterator[Finding]:
    rows = list(
        SweeperProcess.objects.annotate(
            silent=Now() - F("last_sign"), ago=Now() - F("sweep_ended")
        ).order_by("hostname", "pid")
    )
    alive = [
        one
        for one in rows
        if one.silent.total_seconds() <= min(one.silent_after, SINGLE_SWEEP_SECONDS)
    ]
    for one in rows:
        swept = (
            f"its last sweep ended {duration(one.ago)} ago" if one.ago else "no sweep has ended yet"
        )
        if one in alive:
            yield ok("sweepers", f"{one}: {swept}, and released {one.released}.")
        else:
            yield warning(
                "sweepers",
                f"{one} has given no sign for {duration(one.silent)}.",
                "It was killed or hangs. Another sweeper removes its row after an hour.",
            )
        if one.version != __version__:
            yield warning(
                "sweepers", f"{one} runs version {one.version}, not {__version__}.", "Restart it."
            )
    if not alive:
        yield problem(
            "sweepers",
            "No sweeper runs: nothing expires, and the event log grows.",
            START.format("runsweeper"),
        )
