"""What happens to sessions when streams and servers come and go: real processes, real signals."""

import signal
from datetime import timedelta

import httpx
import pytest
from django.contrib.auth import get_user_model
from django.db.models import Max, Min

from events_app.models import Connection
from sessions_app.models import EditSession, EndedSession, Item
from sessions_app.steps import STEP_SESSIONS
from silo import __version__
from tests.waiting import eventually

RELEASED = "edit.session_released"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_end_of_a_streams_process_releases_at_once_and_tells_watchers(
    serve, client_of, part, number
):
    ada, bob = client_of(server := serve(), "ada"), client_of(server, "bob")
    watching = bob.stream(item=part)
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    session = ada.acquire(part, workstation).json()
    opened = Connection.objects.select_related("process").get(key=workstation)
    assert (opened.address, opened.process.port) == ("127.0.0.1", httpx.URL(server.url).port)
    assert opened.process.version == __version__
    watching.event("edit.session_acquired", session_id=session["id"])

    stream.signal(number)

    told = watching.event(RELEASED, session_id=session["id"])
    assert told["data"]["reason"] == "disconnected"
    assert ada.held(part) == []
    assert EndedSession.objects.get().reason == "disconnected"


def test_more_than_one_step_is_released_without_waiting_for_a_beat(serve, client_of, part):
    # A beat every 30 s.
    ada = client_of(serve(SILO_SERVER_DEAD_SECONDS="120", SILO_SESSION_TIMEOUT_MINUTES="15"))
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    count = 2 * STEP_SESSIONS + 500
    items = Item.objects.bulk_create(Item(part_number=f"N-{n}") for n in range(count))
    user = get_user_model().objects.get()
    EditSession.objects.bulk_create(
        EditSession(item=item, workstation_id=workstation, user=user, context_level="sketch")
        for item in items
    )

    stream.kill()

    eventually(lambda: not EditSession.objects.exists())
    ended = EndedSession.objects.aggregate(first=Min("released_at"), last=Max("released_at"))
    assert EndedSession.objects.values("released_at").distinct().count() == 3
    assert ended["last"] - ended["first"] < timedelta(seconds=10)


def test_another_stream_of_the_workstation_keeps_its_sessions(serve, client_of, part):
    ada = client_of(serve())
    workstation = ada.workstation()
    first, second = ada.stream(workstation_id=workstation), ada.stream(workstation_id=workstation)
    ada.acquire(part, workstation)

    first.kill()
    eventually(lambda: ada.server.sse_clients() == 1)
    beats = len(second.named("heartbeat"))
    eventually(lambda: len(second.named("heartbeat")) > beats)
    assert len(ada.held(part)) == 1

    second.kill()
    eventually(lambda: ada.held(part) == [])


def test_the_newest_stream_gone_first_still_leaves_the_older_one_holding(serve, client_of, part):
    ada = client_of(serve())
    workstation = ada.workstation()
    older, newer = ada.stream(workstation_id=workstation), ada.stream(workstation_id=workstation)
    ada.acquire(part, workstation)
    newer.kill()
    eventually(lambda: ada.server.sse_clients() == 1)
    assert len(ada.held(part)) == 1
    older.kill()
    eventually(lambda: ada.held(part) == [])


def test_the_heartbeat_touches_and_is_then_told(serve, client_of, part):
    ada = client_of(serve())
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    before = ada.acquire(part, workstation).json()["last_heartbeat"]
    beats = len(stream.named("heartbeat"))
    eventually(lambda: len(stream.named("heartbeat")) >= beats + 2)
    assert ada.held(part)[0]["last_heartbeat"] > before


def test_a_stopped_server_releases_nothing_and_ends_at_once(serve, client_of, part):
    ada = client_of(server := serve())
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    ada.acquire(part, workstation)

    server.signal(signal.SIGTERM)

    assert server.wait(within=2) == 0
    stream.line("closed")
    assert EditSession.objects.count() == 1
    assert not EndedSession.objects.exists()
    assert "Traceback" not in server.output


def test_a_killed_server_releases_nothing_and_its_clients_go_on_elsewhere(serve, client_of, part):
    ada = client_of(first := serve())
    second = serve()
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    ada.acquire(part, workstation)

    first.kill()
    ada.server = second
    back = ada.stream(workstation_id=workstation, last_event_id=stream.last_event_id)

    opening = back.event("stream-open")
    assert [session["part_number"] for session in opening["data"]["sessions"]] == [part]
    back.kill()
    # As soon as the killed server is known to be dead, long before the time-out.
    eventually(lambda: ada.held(part) == [])
    assert EndedSession.objects.get().reason == "disconnected"


def test_two_servers_see_the_same_departures(serve, client_of, part):
    ada, other = client_of(serve()), serve()
    bob = client_of(other, "bob")
    watching = bob.stream(item=part)
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    ada.acquire(part, workstation)
    stream.kill()
    assert watching.event(RELEASED)["data"]["reason"] == "disconnected"


def test_a_server_that_was_stopped_registers_its_streams_again(serve, client_of, part):
    ada = client_of(frozen := serve())
    other = serve()
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    ada.acquire(part, workstation)
    frozen.signal(signal.SIGSTOP)
    bob = client_of(other, "bob")
    from events_app.models import ServerProcess

    eventually(lambda: ServerProcess.objects.count() == 1)
    assert len(bob.held(part)) == 1

    frozen.signal(signal.SIGCONT)
    eventually(lambda: ServerProcess.objects.count() == 2)
    assert len(ada.held(part)) == 1
    stream.kill()
    eventually(lambda: ada.held(part) == [])
