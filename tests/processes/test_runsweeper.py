"""`manage.py runsweeper` as a process."""

import json
import os
import signal
import socket
from datetime import timedelta

import pytest
from django.db.models import Value
from django.db.models.functions import Now

from sessions_app.models import EditSession, EndedSession, SweeperProcess
from tests.factories import acquire, make_item, make_user, make_workstation
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.cold


def make_stale_sessions(count: int) -> None:
    ada = make_user("sue")
    workstation, item = make_workstation(ada, "old cad"), make_item("S-1")
    for number in range(count):
        acquire(workstation, item, f"Sketch{number}")
    EditSession.objects.update(last_heartbeat=Now() - Value(timedelta(hours=1)))


def test_what_never_had_a_stream_is_expired_logged_and_told(serve, client_of, runsweeper):
    short = {"SILO_SESSION_TIMEOUT_MINUTES": "0.03"}
    watching = client_of(serve(**short)).stream(all="true")
    make_stale_sessions(1)
    sweeper = runsweeper(**short)

    assert watching.event("edit.session_released")["data"]["reason"] == "expired"
    line = sweeper.line("auto-released stale session")
    ended = EndedSession.objects.get()
    assert " INFO " in line
    assert f'session={ended.session_id} user=sue item=S-1 workstation="old cad"' in line
    assert sweeper.line("sweep expired=1")


def test_a_fresh_session_is_left_alone(runsweeper, committed_db):
    acquire(make_workstation(make_user()), make_item())
    sweeper = runsweeper("--once", SILO_LOG_FORMAT="json", SILO_SWEEP_SECONDS="7")
    assert sweeper.wait() == 0
    assert EditSession.objects.count() == 1
    # And what it says, in JSON: with which configuration, and that it started.
    said = {line["message"]: line for line in map(json.loads, sweeper.lines)}
    assert said["configuration"]["sweep_seconds"] == 7
    assert said["configuration"]["log_format"] == "json"
    assert "secret_key" not in said["configuration"]
    assert said["sweeper started"]["every_seconds"] == 7


def test_two_sweepers_release_each_session_once(runsweeper, committed_db):
    make_stale_sessions(200)
    sweepers = [runsweeper(), runsweeper()]
    eventually(lambda: not EditSession.objects.exists())
    for sweeper in sweepers:
        # The other one may have released all before this one has begun.
        sweeper.line("sweeper started")
        sweeper.signal(signal.SIGTERM)
        assert sweeper.wait() == 0
    lines = [line for s in sweepers for line in s.lines if "auto-released" in line]
    assert len(lines) == len(set(lines)) == EndedSession.objects.count() == 200


def test_it_shows_its_sweeps_in_a_row_that_goes_when_it_stops(runsweeper, committed_db):
    make_stale_sessions(1)
    sweeper = runsweeper()
    eventually(lambda: SweeperProcess.objects.filter(sweep_ended__isnull=False).exists())
    assert SweeperProcess.objects.get().every_seconds == 0.3
    sweeper.signal(signal.SIGTERM)
    assert sweeper.wait() == 0
    assert not SweeperProcess.objects.exists()


@pytest.fixture
def service_manager():
    """What systemd is for a service: a socket, at an abstract address, to which it says that it has begun."""
    name = f"silo-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.settimeout(PATIENCE_SECONDS)
        yield listening, {"NOTIFY_SOCKET": f"@{name}"}


def test_systemd_is_told_that_it_has_begun_once_its_row_is_there(
    runsweeper, committed_db, service_manager
):
    told, env = service_manager
    runsweeper(**env)
    assert told.recv(100) == b"READY=1"
    assert SweeperProcess.objects.exists()


def test_systemd_waits_for_no_database(runsweeper, service_manager):
    told, env = service_manager
    sweeper = runsweeper(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", **env)
    assert told.recv(100) == b"READY=1"
    sweeper.line("sweeper waits for the database")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_a_second(runsweeper, number):
    sweeper = runsweeper(SILO_SWEEP_SECONDS="600")
    sweeper.line("sweeper started")
    sweeper.signal(number)
    assert sweeper.wait(within=1) == 0
    assert "stopped" in sweeper.output


@pytest.fixture
def silent_database():
    """Accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"postgresql://nobody@127.0.0.1:{listening.getsockname()[1]}/none"


def test_a_database_that_does_not_answer_does_not_keep_it(runsweeper, silent_database):
    sweeper = runsweeper(DATABASE_URL=silent_database)
    sweeper.line("sweeper started")
    sweeper.signal(signal.SIGTERM)
    assert sweeper.wait(within=1.5) == 0


def test_the_absence_of_the_database_is_survived(runsweeper):
    sweeper = runsweeper(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    sweeper.line("retry_in_seconds=0.4")
    assert sweeper.running
    sweeper.signal(signal.SIGTERM)
    assert sweeper.wait() == 0
    assert "Traceback" not in sweeper.output
