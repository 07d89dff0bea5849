"""Servers and their clients come, go, and lose sight of each other or of the database."""

import signal
import threading

import pytest
from django.contrib.auth import get_user_model
from django.db.models.functions import Now

from events_app.models import Connection, Observation, ServerProcess
from sessions_app.models import ApiToken, EditSession, EndedSession, Workstation
from tests.faults.services import database_address, database_url_by, is_ready
from tests.processes.service import FAST
from tests.waiting import eventually

RELEASED = "edit.session_released"
HEARTBEAT = float(FAST["SILO_HEARTBEAT_SECONDS"])
SERVER_DEAD = float(FAST["SILO_SERVER_DEAD_SECONDS"])
BEAT = SERVER_DEAD / 4

# Long enough to be cut off for a while without being of no use yet: a stream then stays open.
PATIENT = {"SILO_HEARTBEAT_SECONDS": "10", "SILO_SERVER_DEAD_SECONDS": "2"}
# Long enough to be cut off for a while without being taken for dead.
TOLERANT = {"SILO_HEARTBEAT_SECONDS": "10", "SILO_SERVER_DEAD_SECONDS": "12"}

# What an answer of a shared, busy machine may take on top of what is promised.
SLACK = 1.0


def test_the_last_two_streams_end_at_the_same_moment_on_two_processes(
    serve, client_of, part, measured
):
    here, there = client_of(serve()), serve()
    watching = here.stream(item=part)
    for attempt in range(20):
        workstation = here.workstation(f"cad-{attempt}")
        first = here.stream(workstation_id=workstation)
        own, here.server = here.server, there
        second = here.stream(workstation_id=workstation)
        here.server = own
        session = here.acquire(part, workstation).json()
        together = threading.Barrier(2)

        def end(stream, together=together) -> None:
            together.wait()
            stream.signal(signal.SIGKILL)

        threads = [threading.Thread(target=end, args=[stream]) for stream in (first, second)]
        with measured("last two streams killed at once on two processes", 1 + SLACK):
            for thread in threads:
                thread.start()
            told = watching.event(RELEASED, session_id=session["id"])
        for thread in threads:
            thread.join()
        assert told["data"]["reason"] == "disconnected"
        assert here.held(part) == []
    ended = [event["data"]["session_id"] for event in watching.named(RELEASED)]
    assert len(ended) == len(set(ended)) == EndedSession.objects.count() == 20


@pytest.fixture
def cut_off(serve, client_of, tcp_proxy, part):
    """A server that reaches the database by a proxy, another that does not, and a session held by the first."""

    def make(env):
        proxy = tcp_proxy(database_address())
        server, other = serve(DATABASE_URL=database_url_by(proxy), **env), serve(**env)
        ada, bob = client_of(server), client_of(other, "bob")
        watching = bob.stream(item=part)
        workstation = ada.workstation()
        stream = ada.stream(workstation_id=workstation)
        ada.acquire(part, workstation)
        return proxy, ada, bob, watching, workstation, stream

    return make


FAULTS = {"cut": ("cut", "mend"), "frozen": ("freeze", "thaw")}
however_cut_off = pytest.mark.parametrize("fault", FAULTS)


def begin(proxy, fault):
    getattr(proxy, FAULTS[fault][0])()


def end(proxy, fault):
    getattr(proxy, FAULTS[fault][1])()


@however_cut_off
def test_a_server_cut_off_comes_back_before_it_was_taken_for_dead(cut_off, part, fault):
    proxy, ada, bob, watching, _, stream = cut_off(TOLERANT)
    before = set(ServerProcess.objects.values_list("pk", flat=True))
    last = ServerProcess.objects.order_by("last_beat").values_list("last_beat", flat=True)
    cut_off_one = last.filter(pid=ada.server.pid)
    begin(proxy, fault)

    def is_silent_for_two_beats_of_the_other() -> bool:
        return (last.reverse()[0] - cut_off_one.get()).total_seconds() > 5

    eventually(is_silent_for_two_beats_of_the_other)
    assert len(bob.held(part)) == 1
    end(proxy, fault)

    eventually(lambda: (last.reverse()[0] - last[0]).total_seconds() < 4)
    assert set(ServerProcess.objects.values_list("pk", flat=True)) == before
    eventually(lambda: is_ready(ada.server))
    assert stream.running
    assert len(ada.held(part)) == 1
    assert not EndedSession.objects.exists()
    stream.kill()
    watching.event(RELEASED, reason="disconnected")


@however_cut_off
def test_a_server_cut_off_comes_back_after_it_was_taken_for_dead(cut_off, part, fault):
    proxy, _, bob, watching, _, stream = cut_off(PATIENT)
    begin(proxy, fault)
    eventually(lambda: ServerProcess.objects.count() == 1)
    assert not Connection.objects.exists()
    assert len(bob.held(part)) == 1, "its clients are waited for"

    end(proxy, fault)

    eventually(lambda: Connection.objects.count() == 1)
    assert ServerProcess.objects.count() == 2
    assert stream.running
    assert len(stream.named("stream-open")) == 1
    opened = stream.event("stream-open")["data"]["connection_id"]
    assert str(Connection.objects.get().pk) == opened, "the same stream, registered again"
    assert not EndedSession.objects.exists()
    stream.kill()
    watching.event(RELEASED, reason="disconnected")


@however_cut_off
def test_who_leaves_a_server_that_is_cut_off_is_released_when_it_is_back(
    cut_off, part, fault, measured
):
    proxy, _, _, watching, _, stream = cut_off(PATIENT)
    begin(proxy, fault)
    eventually(lambda: ServerProcess.objects.count() == 1)
    stream.kill()
    with measured(
        f"client died on a server whose database was {fault}, after its return", 5 + SLACK
    ):
        end(proxy, fault)
        watching.event(RELEASED, reason="disconnected")


@however_cut_off
def test_a_server_that_cannot_touch_for_three_heartbeats_closes_its_streams(
    cut_off, part, fault, measured
):
    proxy, ada, bob, watching, workstation, stream = cut_off({})
    with measured(f"streams closed by a server whose database is {fault}", 4 * HEARTBEAT + SLACK):
        begin(proxy, fault)
        stream.line("closed")
    assert not is_ready(ada.server)
    assert is_ready(bob.server)
    assert len(bob.held(part)) == 1

    elsewhere, ada.server = ada.server, bob.server
    back = ada.stream(workstation_id=workstation, last_event_id=stream.last_event_id)
    assert len(back.event("stream-open")["data"]["sessions"]) == 1
    end(proxy, fault)
    with measured(f"ready again after the database was {fault}", 5 + SLACK):
        eventually(lambda: is_ready(elsewhere))
    # What that server closed was no departure, also now that it can write of it.
    eventually(lambda: ServerProcess.objects.count() == 2)
    eventually(lambda: Connection.objects.count() == 1)
    assert Workstation.objects.get(pk=workstation).departed_at is None
    assert len(ada.held(part)) == 1
    back.kill()
    watching.event(RELEASED, reason="disconnected")
    assert EndedSession.objects.count() == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_client_of_a_stopped_server_moves_and_keeps_all(serve, client_of, part, when):
    """It moves before or after the stopped server was taken for dead, which then comes back and sees it gone."""
    ada = client_of(stopped := serve())
    other = serve()
    bob = client_of(other, "bob")
    watching = bob.stream(item=part)
    workstation = ada.workstation()
    old = ada.stream(workstation_id=workstation)
    ada.acquire(part, workstation)

    stopped.signal(signal.SIGSTOP)
    if when == "after":
        eventually(lambda: ServerProcess.objects.count() == 1)
    ada.server = other
    new = ada.stream(workstation_id=workstation, last_event_id=old.last_event_id)
    old.kill()
    assert len(new.event("stream-open")["data"]["sessions"]) == 1
    eventually(lambda: ServerProcess.objects.count() == 1)

    stopped.signal(signal.SIGCONT)

    eventually(lambda: ServerProcess.objects.count() == 2)
    eventually(lambda: is_ready(stopped))
    eventually(lambda: stopped.sse_clients() == 0)
    eventually(lambda: Connection.objects.count() == 1)
    assert len(ada.held(part)) == 1
    assert not EndedSession.objects.exists()
    new.kill()
    watching.event(RELEASED, reason="disconnected")


def test_a_client_that_moved_from_a_killed_server_and_dies_is_released_when_that_is_known_dead(
    serve, client_of, part, measured
):
    ada = client_of(killed := serve())
    other = serve()
    workstation = ada.workstation()
    ada.stream(workstation_id=workstation)
    ada.acquire(part, workstation)
    watching = client_of(other, "bob").stream(item=part)
    # The other one judges only after it has beaten for as long itself.
    since = ServerProcess.objects.order_by("started_at").last().started_at
    eventually(
        lambda: (
            (ServerProcess.objects.latest("last_beat").last_beat - since).total_seconds()
            > SERVER_DEAD
        )
    )
    killed.kill()
    ada.server = other
    new = ada.stream(workstation_id=workstation)
    with measured("killed server, client moved and died there", SERVER_DEAD + 2 * BEAT + SLACK):
        new.kill()
        watching.event(RELEASED, reason="disconnected")


@pytest.mark.parametrize("change", ["revoked_at", "expires_at"])
def test_a_token_that_is_no_longer_good_closes_its_streams_everywhere_and_nobody_departs(
    serve, client_of, part, measured, change
):
    ada = client_of(here := serve())
    there = serve()
    workstation = ada.workstation()
    streams = [ada.stream(workstation_id=workstation)]
    ada.server = there
    streams += [ada.stream(workstation_id=workstation), ada.stream(item=part)]
    ada.acquire(part, workstation)
    bob = client_of(here, "bob")
    bobs = bob.stream(item=part)

    with measured(
        f"token {change.removesuffix('_at')}, its streams on two processes", HEARTBEAT + SLACK
    ):
        ApiToken.objects.filter(user__username="ada").update(**{change: Now()})
        for stream in streams:
            stream.line("closed")

    eventually(lambda: not Connection.objects.exists())
    assert Workstation.objects.get(pk=workstation).departed_at is None
    assert len(bob.held(part)) == 1
    assert not EndedSession.objects.exists()
    assert bobs.running
    assert ada.call("GET", "/api/workstations").status_code == 401


def test_a_deactivated_users_sessions_are_released_and_its_streams_closed_everywhere(
    serve, client_of, part, measured
):
    ada = client_of(here := serve())
    there = serve()
    watching = client_of(here, "bob").stream(item=part)
    first, second = ada.workstation("cad-1"), ada.workstation("cad-2")
    streams = [ada.stream(workstation_id=first)]
    ada.server = there
    streams += [ada.stream(workstation_id=second)]
    sessions = [
        ada.acquire(part, workstation, object_id=workstation).json()["id"]
        for workstation in (first, second)
    ]

    user = get_user_model().objects.get(username="ada")
    user.is_active = False
    with measured("user deactivated, its streams on two processes", HEARTBEAT + SLACK):
        user.save()
        for stream in streams:
            stream.line("closed")
    for session in sessions:
        watching.event(RELEASED, session_id=session, reason="force_released")
    assert not EditSession.objects.exists()
    assert {ended.reason for ended in EndedSession.objects.all()} == {"force_released"}
    assert len(watching.named(RELEASED)) == EndedSession.objects.count() == 2


def test_a_user_deactivated_behind_djangos_back_is_found_by_the_sweeper(
    serve, runsweeper, client_of, part
):
    ada = client_of(serve())
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    ada.acquire(part, workstation)
    runsweeper()
    get_user_model().objects.filter(username="ada").update(is_active=False)
    stream.line("closed")
    assert eventually(EndedSession.objects.first).reason == "force_released"


def test_no_grace_runs_out_while_no_server_observes(serve, client_of, part):
    grace = 3.0
    env = {"SILO_DISCONNECT_GRACE_SECONDS": str(grace)}
    ada = client_of(server := serve(**env))
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    ada.acquire(part, workstation)
    stream.kill()
    departed = eventually(lambda: Workstation.objects.get(pk=workstation).departed_at)
    server.kill()
    now = Workstation.objects.annotate(now=Now()).values_list("now", flat=True)
    eventually(lambda: (now.get(pk=workstation) - departed).total_seconds() > 2 * grace)
    assert EditSession.objects.count() == 1

    serve(**env)
    ended = eventually(EndedSession.objects.first)
    assert ended.reason == "disconnected"
    assert (ended.released_at - Observation.objects.get().since).total_seconds() >= grace
