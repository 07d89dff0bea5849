"""The database is restarted, killed, or stopped and continued: a PostgreSQL of the tests' own, real processes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest

from events_app.database import sql
from events_app.database.unavailable import RETRY_LAST_SECONDS
from events_app.timings import PROBE_KEPT_SECONDS, PROBE_SECONDS
from silo.database import IDLE_IN_TRANSACTION_MS
from tests.faults.database_scene import (
    BACK_WITHIN,
    PART,
    PATIENT,
    SLACK,
    however_it_goes,
    unavailable,
)
from tests.faults.services import is_ready, passes
from tests.processes.service import FAST
from tests.waiting import eventually

RELEASED = "edit.session_released"
HEARTBEAT = float(FAST["SILO_HEARTBEAT_SECONDS"])


def threads(server) -> int:
    """How many threads a process has."""
    return len(list(Path(f"/proc/{server.pid}/task").iterdir()))


@however_it_goes
def test_servers_and_sweeper_survive_and_live_sessions_stay(scene, how, measured):
    servers = [scene.serve(**PATIENT).ready(), scene.serve(**PATIENT).ready()]
    sweeper = scene.sweeper()
    ada, bob = scene.client(servers[0]), scene.client(servers[1], "bob")
    watching = bob.stream(item=PART)
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    ada.acquire(PART, workstation)
    registered = "SELECT id FROM events_app_serverprocess ORDER BY id"
    processes = scene.database.query(registered)

    scene.go_away(how)
    eventually(lambda: all(unavailable(server) for server in servers))
    # Longer than it would take to find each other dead.
    passes(3)
    # Its own recovery after a kill is no server's time; on a busy disk that takes seconds.
    scene.come_back(how)
    with measured(f"ready again after the database was {how}", BACK_WITHIN + SLACK):
        eventually(lambda: all(is_ready(server) for server in servers))

    assert len(ada.held(PART)) == 1
    ada.acquire(PART, workstation, object_id="later")
    watching.event("edit.session_acquired", object_id="later")
    stream.event("edit.session_acquired", object_id="later")
    assert len(stream.named("stream-open")) == len(watching.named("stream-open")) == 1
    eventually(lambda: scene.database.query(registered) == processes)
    assert scene.ended() == []
    assert sweeper.running
    stream.kill()
    watching.event(RELEASED, object_id="later", reason="disconnected")
    for process in (*servers, sweeper):
        assert "Traceback" not in process.output


@however_it_goes
def test_streams_that_cannot_be_kept_alive_are_closed_and_go_on_later(scene, how, measured):
    server = scene.serve().ready()
    ada = scene.client(server)
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    ada.acquire(PART, workstation)
    with measured(f"streams closed while the database was {how}", 4 * HEARTBEAT + SLACK):
        scene.go_away(how)
        stream.line("closed")
    assert unavailable(server)

    scene.come_back(how)
    eventually(lambda: is_ready(server))
    back = ada.stream(stream.last_event_id, workstation_id=workstation)
    held = back.event("stream-open")["data"]["sessions"]
    assert [session["part_number"] for session in held] == [PART]
    departed = "SELECT count(departed_at) FROM sessions_app_workstation"
    assert scene.database.query(departed) == [(0,)]
    assert scene.ended() == []


@however_it_goes
def test_who_died_meanwhile_is_released_afterwards_and_who_lives_is_not(scene, how, measured):
    server = scene.serve(**PATIENT).ready()
    ada, bob = scene.client(server), scene.client(server, "bob")
    watching = bob.stream(item=PART)
    streams = {}
    for name in ("dies", "lives"):
        workstation = ada.workstation(name)
        streams[name] = ada.stream(workstation_id=workstation)
        ada.acquire(PART, workstation, object_id=name)
    scene.go_away(how)
    eventually(lambda: unavailable(server))
    streams["dies"].kill()
    passes(1)
    scene.come_back(how)
    with measured(
        f"client died while the database was {how}, from its return", BACK_WITHIN + SLACK
    ):
        watching.event(RELEASED, object_id="dies", reason="disconnected")
    assert [session["object_id"] for session in ada.held(PART)] == ["lives"]
    assert scene.ended() == [("dies", "disconnected")]


@however_it_goes
def test_the_outage_rule_keeps_what_nobody_could_hear_of(scene, how):
    # A sweeper comes back in time to say that it keeps something, whenever it has tried last.
    timeout = RETRY_LAST_SECONDS + SLACK
    short = {"SILO_SESSION_TIMEOUT_MINUTES": str(timeout / 60)}
    ada = scene.client(scene.serve(**short).ready())
    sweeper = scene.sweeper(**short)
    ada.acquire(PART, ada.workstation("no stream"))
    scene.go_away(how)
    passes(timeout + 1)
    scene.come_back(how)

    assert " WARNING " in sweeper.line("stale sessions are kept")
    eventually(scene.ended)
    assert scene.ended() == [("no stream", "expired")]
    ((after,),) = scene.database.query(
        "SELECT extract(epoch FROM released_at - since)::float"
        " FROM sessions_app_endedsession, events_app_observation"
    )
    assert after >= timeout


def test_who_asks_a_server_with_a_frozen_database_is_answered_and_costs_no_thread(scene):
    server = scene.serve(**PATIENT).ready()
    scene.go_away("frozen")
    passes(PROBE_KEPT_SECONDS)
    before, most = threads(server), 0
    with ThreadPoolExecutor(50) as askers:
        asked = [askers.submit(httpx.get, f"{server.url}/ready", timeout=5) for _ in range(50)]

        def all_answered() -> bool:
            nonlocal most
            most = max(most, threads(server))
            return all(answer.done() for answer in asked)

        eventually(all_answered, step=0.001)
    answers = [answer.result() for answer in asked]
    assert {answer.status_code for answer in answers} == {503}
    said = {(answer.json()["database"], answer.json()["relay"]) for answer in answers}
    # On a busy machine the last answers come after the relay has noticed it, too.
    assert ("unavailable", "ok") in said
    assert said <= {("unavailable", "ok"), ("not asked", "unavailable")}
    assert max(answer.elapsed.total_seconds() for answer in answers) < PROBE_SECONDS + SLACK
    assert most <= before + 5, "one for the database, one for the answers, and what else goes on"
    scene.come_back("frozen")
    eventually(lambda: is_ready(server))


def test_servers_and_sweepers_that_start_while_it_is_away_wait_for_it(scene):
    scene.go_away("stopped")
    server, sweeper = scene.serve(), scene.sweeper()
    eventually(lambda: server.url)
    sweeper.line("sweeper waits for the database")
    server.line("server waits for the database")
    assert unavailable(server)
    scene.come_back("stopped")
    eventually(lambda: is_ready(server))
    ada = scene.client(server)
    ada.stream(workstation_id=ada.workstation())
    assert sweeper.running


def test_who_stops_while_holding_the_logs_lock_delays_others_by_so_much_only(
    serve, client_of, part, measured
):
    """As a process does that is stopped, or cut off, in the middle of its transaction."""
    ada = client_of(serve(**PATIENT))
    watching = ada.stream(item=part)
    workstations = [ada.workstation(name) for name in ("acquires", "departs")]
    stream = ada.stream(workstation_id=workstations[1])
    departing = ada.acquire(part, workstations[1], object_id="departs").json()
    with psycopg.connect(**sql.listen_parameters()) as stopped:
        stopped.execute("SELECT pg_advisory_xact_lock(%s)", [sql.LOG_LOCK_ID])
        bound = IDLE_IN_TRANSACTION_MS / 1000 + SLACK
        with measured("a stopped process holds the log's lock", bound):
            stream.kill()
            assert ada.acquire(part, workstations[0]).status_code == 200
        with measured("a departure meanwhile, in addition", bound):
            watching.event(RELEASED, session_id=departing["id"])
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            stopped.execute("SELECT 1")
