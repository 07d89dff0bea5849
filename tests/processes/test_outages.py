"""The outage rule: nothing is ended for what nobody could observe."""

import signal
from datetime import timedelta

import pytest
from django.db.models import Value
from django.db.models.functions import Now

from events_app.models import Observation
from sessions_app.models import EditSession, EndedSession
from tests.factories import acquire, make_item, make_user, make_workstation
from tests.waiting import eventually

# Shorter than a test's patience, longer than three heartbeats.
SHORT = {"SILO_SESSION_TIMEOUT_MINUTES": "0.04"}


@pytest.fixture
def stale_session(committed_db):
    acquire(make_workstation(make_user("sue")), make_item("S-1"))
    EditSession.objects.update(last_heartbeat=Now() - Value(timedelta(hours=1)))


def kept(sweeper) -> str:
    line = sweeper.line("stale sessions are kept")
    assert " WARNING " in line
    assert "kept=1" in line
    return line


@pytest.mark.usefixtures("stale_session")
def test_while_every_known_server_is_silent_nothing_expires(serve, runsweeper):
    server = serve(**SHORT)
    server.kill()
    eventually(
        lambda: Observation.objects.filter(last_beat__lt=Now() - Value(timedelta(seconds=2)))
    )
    sweeper = runsweeper("--once", **SHORT)
    assert sweeper.wait() == 0
    kept(sweeper)
    assert not EndedSession.objects.exists()


@pytest.mark.usefixtures("stale_session")
def test_a_server_that_comes_back_starts_the_clock_anew(serve, runsweeper):
    Observation.objects.update(
        last_beat=Now() - Value(timedelta(hours=2)), since=Now() - Value(timedelta(hours=9))
    )
    sweeper = runsweeper(**SHORT)
    kept(sweeper)
    begun = Now()
    serve(**SHORT)
    ended = eventually(EndedSession.objects.first)
    observation = Observation.objects.get()
    assert ended.reason == "expired"
    assert ended.released_at - observation.since >= timedelta(minutes=0.04)
    assert begun is not None


@pytest.mark.usefixtures("stale_session")
def test_a_clean_stop_keeps_the_history(serve, runsweeper):
    # A slow machine takes seconds to start one again.
    configured = SHORT | {"SILO_SERVER_DEAD_SECONDS": "10"}
    server = serve(**configured)
    since = Observation.objects.get().since
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert Observation.objects.get().since == since
    serve(**configured)
    assert Observation.objects.get().since == since, (
        "a restart within server_dead_seconds is no outage"
    )


@pytest.mark.usefixtures("stale_session")
def test_ignore_outage_overrides(serve, runsweeper):
    serve(**SHORT).kill()
    assert runsweeper("--once", "--ignore-outage", **SHORT).wait() == 0
    assert EndedSession.objects.get().reason == "expired"


@pytest.mark.usefixtures("stale_session")
def test_where_there_never_was_a_server_the_time_out_alone_decides(runsweeper):
    assert runsweeper("--once", **SHORT).wait() == 0
    assert EndedSession.objects.get().reason == "expired"
