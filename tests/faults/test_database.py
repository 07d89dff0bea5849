"""The database is restarted, killed, or stopped and continued: a PostgreSQL of the tests' own, real processes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest

from events_app import sql
from events_app.timings import PROBE_SECONDS
from silo.database import IDLE_IN_TRANSACTION_MS
from tests.faults.services import is_ready, passes
from tests.processes.service import FAST, Client, Process, Serve, SseClient, Sweeper
from tests.waiting import eventually

RELEASED = "edit.session_released"
HEARTBEAT = float(FAST["SILO_HEARTBEAT_SECONDS"])
# Streams stay open over an outage of some seconds.
PATIENT = {"SILO_HEARTBEAT_SECONDS": "15"}
PART = "A01-0001"

# How the database goes away, and how it comes back. On the way back from `kill` it recovers from the crash.
AWAY = {"stopped": ("stop", "start"), "killed": ("kill", "start"), "frozen": ("freeze", "thaw")}
however_it_goes = pytest.mark.parametrize("how", AWAY)
# What a shared, busy machine may take on top of what is promised; and the relay's longest pause.
SLACK = 2.0
BACK_WITHIN = 5.0


class Scene:
    """A database, servers and a sweeper on it, and users."""

    def __init__(self, database, stack):
        self.database = database
        self._stack = stack
        self._processes: list[Process] = []
        self._tokens: dict[str, str] = {}

    def _kept(self, process):
        self._stack.callback(process.close)
        return process

    def serve(self, **env):
        return self._kept(Serve(DATABASE_URL=self.database.url, **env))

    def sweeper(self, **env):
        return self._kept(Sweeper(DATABASE_URL=self.database.url, **env))

    def client(self, server, name="ada"):
        """Return a user's client; the first one makes the item known."""
        if name not in self._tokens:
            create = ("createtoken", name, "--role", "editor", "--create-user")
            self._tokens[name] = self.database.manage(*create)
        client = Client(server, self._tokens[name])
        self._stack.callback(lambda: [stream.close() for stream in client.streams])
        client.call("POST", "/api/items", {"part_number": PART})
        return client

    def go_away(self, how):
        getattr(self.database, AWAY[how][0])()

    def come_back(self, how):
        getattr(self.database, AWAY[how][1])()

    def ended(self):
        """The record: workstation and reason of each end."""
        return self.database.query(
            "SELECT workstation_name, reason FROM sessions_app_endedsession ORDER BY released_at"
        )


@pytest.fixture
def scene(own_postgres, processes_without_a_database):
    return Scene(own_postgres, processes_without_a_database)


def unavailable(server) -> bool:
    """Whether it runs, and says that it is not ready (or cannot say so, as the database hangs)."""
    assert httpx.get(f"{server.url}/health").status_code == 200
    return not is_ready(server)


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
    with measured(f"ready again after the database was {how}", BACK_WITHIN + SLACK):
        scene.come_back(how)
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
    with measured(
        f"client died while the database was {how}, from its return", BACK_WITHIN + SLACK
    ):
        scene.come_back(how)
        watching.event(RELEASED, object_id="dies", reason="disconnected")
    assert [session["object_id"] for session in ada.held(PART)] == ["lives"]
    assert scene.ended() == [("dies", "disconnected")]


@however_it_goes
def test_the_outage_rule_keeps_what_nobody_could_hear_of(scene, how):
    timeout = 3.0
    short = {"SILO_SESSION_TIMEOUT_MINUTES": str(timeout / 60)}
    ada = scene.client(scene.serve(**short).ready())
    sweeper = scene.sweeper(**short)
    ada.acquire(PART, ada.workstation("no stream"))
    scene.go_away(how)
    passes(2 * timeout)
    scene.come_back(how)

    assert " WARNING " in sweeper.line("stale sessions are kept")
    eventually(scene.ended)
    assert scene.ended() == [("no stream", "expired")]
    ((after,),) = scene.database.query(
        "SELECT extract(epoch FROM released_at - since)::float"
        " FROM sessions_app_endedsession, events_app_observation"
    )
    assert after >= timeout


def test_what_was_answered_survives_a_crash(scene):
    ada = scene.client(scene.serve(**PATIENT).ready())
    workstation = ada.workstation()
    ada.stream(workstation_id=workstation)
    answered, over = [], threading.Event()

    def acquire_for_ever() -> None:
        number = 0
        while not over.is_set():
            answer = ada.acquire(PART, workstation, object_id=f"{number}")
            if answer.status_code == 200:
                answered.append((answer.json()["id"], answer.json()["fencing_token"]))
            number += 1

    thread = threading.Thread(target=acquire_for_ever)
    thread.start()
    try:
        for _ in range(3):
            before = len(answered)
            eventually(lambda before=before: len(answered) > before + 20)
            scene.database.kill()
            scene.database.start()
    finally:
        over.set()
        thread.join()
    eventually(lambda: is_ready(ada.server))
    held = {(session["id"], session["fencing_token"]) for session in ada.held(PART)}
    assert set(answered) <= held
    tokens = [token for _, token in answered]
    assert tokens == sorted(set(tokens)), "they strictly grow, over crashes too"
    logged = "SELECT count(*) FROM events_app_logentry WHERE type = 'edit.session_acquired'"
    assert scene.database.query(logged) == [(len(held),)], (
        "session and event together or not at all"
    )


class Follower:
    """A client that comes back with its Last-Event-ID whenever its stream ends."""

    def __init__(self, client, **query):
        self._client, self._query = client, query
        self.streams = [client.stream(**query)]
        self._last = self.streams[0].last_event_id

    def follow(self) -> list[str]:
        """Come back if the stream has ended; return the ids of all events so far."""
        stream = self.streams[-1]
        ended = not stream.running
        ids = [event["id"] for event in stream.events if event["id"]]
        self._last = ids[-1] if ids else self._last
        if ended:
            url = f"{self._client.server.url}/api/events?all=true"
            self.streams.append(SseClient(url, self._client.token, self._last))
            self._client.streams.append(self.streams[-1])
        return [
            event["id"]
            for stream in self.streams
            for event in stream.events
            if event["event"].startswith("edit.")
        ]

    def named(self, name):
        return [event for stream in self.streams for event in stream.named(name)]


@however_it_goes
@pytest.mark.parametrize("env", [PATIENT, {}], ids=["streams stay open", "streams are closed"])
def test_no_stream_loses_or_doubles_an_event(scene, how, env):
    servers = [scene.serve(**env).ready(), scene.serve(**env).ready()]
    ada = scene.client(servers[0])
    followers = [Follower(scene.client(server), all="true") for server in servers]
    workstation, over = ada.workstation(), threading.Event()

    def publish_for_ever() -> None:
        number = 0
        while not over.is_set():
            ada.acquire(PART, workstation, object_id=f"{number}")
            number += 1

    def told(count: int) -> bool:
        return all(len(follower.follow()) >= count for follower in followers)

    thread = threading.Thread(target=publish_for_ever)
    thread.start()
    try:
        for _ in range(3):
            count = max(len(follower.follow()) for follower in followers)
            eventually(lambda count=count: told(count + 20))
            scene.go_away(how)
            if env:
                passes(1)
            else:
                closed = [len(follower.streams) for follower in followers]
                eventually(
                    lambda c=closed: (
                        told(0)
                        and all(
                            len(follower.streams) > n
                            for follower, n in zip(followers, c, strict=True)
                        )
                    )
                )
            scene.come_back(how)
    finally:
        over.set()
        thread.join(60)
    log = (
        "SELECT log.epoch || '-' || entry.id"
        " FROM events_app_logentry entry, events_app_eventlog log ORDER BY entry.id"
    )
    published = [cursor for (cursor,) in scene.database.query(log)]
    eventually(lambda: told(len(published)))
    for follower in followers:
        assert follower.follow() == published
        assert not follower.named("stream-reset")


@however_it_goes
def test_a_request_in_flight_is_answered_truly(scene, how):
    """A workstation that was told 200 holds the session; one that was told 503 may ask again."""
    ada = scene.client(scene.serve(**PATIENT).ready())
    workstation = ada.workstation()
    ada.stream(workstation_id=workstation)
    answers = []

    def acquire() -> None:
        for number in range(100):
            answers.append((f"{number}", ada.acquire(PART, workstation, object_id=f"{number}")))

    thread = threading.Thread(target=acquire)
    thread.start()
    eventually(lambda: len(answers) > 10)
    scene.go_away(how)
    passes(0.5)
    scene.come_back(how)
    thread.join(60)
    assert len(answers) == 100
    assert {answer.status_code for _, answer in answers} <= {200, 503}
    eventually(lambda: is_ready(ada.server))
    held = {session["object_id"] for session in ada.held(PART)}
    assert {object_id for object_id, answer in answers if answer.status_code == 200} <= held
    again = [ada.acquire(PART, workstation, object_id=object_id) for object_id, _ in answers]
    assert {answer.status_code for answer in again} == {200}


def test_who_asks_a_server_with_a_frozen_database_is_answered_and_costs_no_thread(scene):
    server = scene.serve(**PATIENT).ready()
    scene.go_away("frozen")
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
    assert {answer.json()["database"] for answer in answers} == {"unavailable"}
    assert max(answer.elapsed.total_seconds() for answer in answers) < PROBE_SECONDS + SLACK
    assert most <= before + 5, "one for the database, one for the answers, and what else goes on"
    scene.come_back("frozen")
    eventually(lambda: is_ready(server))


def test_servers_and_sweepers_that_start_while_it_is_away_wait_for_it(scene):
    scene.go_away("stopped")
    server, sweeper = scene.serve(), scene.sweeper()
    eventually(lambda: server.url)
    sweeper.line("no sweep")
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
