"""`ack=true`: clients behind a proxy that hides a dead peer answer every heartbeat."""

import signal
import time
from datetime import UTC, datetime, timedelta

from events_app.models import ServerProcess
from sessions_app.models import EndedSession
from tests.waiting import eventually

# A heartbeat has to be answered within a second and a half.
FAST = {"SILO_DEAD_PEER_SECONDS": "2", "SILO_HEARTBEAT_SECONDS": "0.5"}


def alive(client, workstation, **body):
    return client.call("POST", f"/api/workstations/{workstation}/alive", body)


def test_who_does_not_answer_has_departed(serve, client_of, part):
    ada = client_of(serve(**FAST))
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation, ack="true")
    ada.acquire(part, workstation)
    stream.line("closed")
    eventually(lambda: ada.held(part) == [])
    assert EndedSession.objects.get().reason == "disconnected"


def test_who_answers_stays_whichever_process_hears_it(serve, client_of, part):
    # So slow that this test's own requests are in time on a machine with much other work.
    slower = FAST | {"SILO_DEAD_PEER_SECONDS": "4"}
    ada, other = client_of(serve(**slower)), serve(**slower)
    bob = client_of(other, "bob")
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation, ack="true")
    connection_id = stream.event("stream-open")["data"]["connection_id"]
    ada.acquire(part, workstation)
    here, ada.server = ada.server, other
    # Four times as long as it may be silent.
    answered = 0
    while len(stream.named("heartbeat")) < 28:
        if len(stream.named("heartbeat")) > answered:
            answered = len(stream.named("heartbeat"))
            assert alive(ada, workstation, connection_id=connection_id).status_code == 204
    assert stream.running
    assert len(bob.held(part)) == 1
    assert here.running


def test_a_stopped_client_that_should_answer_is_gone_and_one_that_need_not_stays(
    serve, client_of, part
):
    ada = client_of(serve(**FAST))
    first, second = ada.workstation("cad-1"), ada.workstation("cad-2")
    # Before the streams: the one that should answer does not, and ends soon on a slow machine.
    ada.acquire(part, first, object_id="a")
    ada.acquire(part, second, object_id="b")
    plain = ada.stream(workstation_id=second)
    answering = ada.stream(workstation_id=first, ack="true")
    for client in (answering, plain):
        client.signal(signal.SIGSTOP)
    eventually(lambda: [s["object_id"] for s in ada.held(part)] == ["b"])


def test_while_another_server_is_behind_who_seems_silent_is_judged_later(serve, client_of, part):
    """The other one is only a row, which beats: a real one would catch up."""
    ada = client_of(serve(**FAST))
    workstation = ada.workstation()
    ServerProcess.objects.create(
        hostname="other",
        pid=1,
        last_beat=datetime.now(UTC) + timedelta(hours=1),
        behind_seconds=60,
    )
    asked = time.monotonic()
    stream = ada.stream(workstation_id=workstation, ack="true")
    opening = stream.event("stream-open")["data"]
    ada.acquire(part, workstation)
    stream.line("closed")
    # The time that it always has, and `dead_peer_seconds`; for ever nobody is waited for.
    seconds = time.monotonic() - asked
    assert seconds > opening["timings"]["acknowledge_seconds"] + 2
    eventually(lambda: ada.held(part) == [])


def test_a_late_answer_of_an_ended_stream_keeps_nothing_alive(serve, client_of):
    ada = client_of(serve(**FAST))
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation, ack="true")
    connection_id = stream.event("stream-open")["data"]["connection_id"]
    stream.line("closed")
    answer = alive(ada, workstation, connection_id=connection_id)
    assert (answer.status_code, answer.json()["error"]) == (409, "not_connected")


def test_a_client_without_any_stream_lives_by_alive_alone(serve, client_of, runsweeper, part):
    short = FAST | {"SILO_SESSION_TIMEOUT_MINUTES": "0.1"}
    ada = client_of(serve(**short))
    runsweeper(**short)
    workstation = ada.workstation()
    ada.acquire(part, workstation)

    def lives_on() -> bool:
        assert alive(ada, workstation).status_code == 204
        (session,) = ada.held(part)
        return seconds(session) > 10  # nearly twice the time-out

    eventually(lives_on, within=40)
    eventually(lambda: ada.held(part) == [])


def seconds(session) -> float:
    """Between its acquire and its last heartbeat."""
    parse = datetime.fromisoformat
    return (parse(session["last_heartbeat"]) - parse(session["acquired_at"])).total_seconds()


def test_a_server_that_was_stopped_gives_its_clients_their_time_again(serve, client_of, part):
    """It is taken for dead meanwhile and registers again; who had answered is not silent for that."""
    ada = client_of(frozen := serve(SILO_DEAD_PEER_SECONDS="5", SILO_HEARTBEAT_SECONDS="1"))
    other = serve(SILO_DEAD_PEER_SECONDS="5", SILO_HEARTBEAT_SECONDS="1")
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation, ack="true")
    ada.acquire(part, workstation)
    ada.server = other
    assert alive(ada, workstation).status_code == 204
    frozen.signal(signal.SIGSTOP)
    eventually(lambda: ServerProcess.objects.count() == 1)
    frozen.signal(signal.SIGCONT)
    eventually(lambda: ServerProcess.objects.count() == 2)
    beats = len(stream.named("heartbeat"))

    def answers() -> bool:
        assert alive(ada, workstation).status_code == 204
        return len(stream.named("heartbeat")) >= beats + 6

    eventually(answers, step=0.3)
    assert stream.running
    assert len(ada.held(part)) == 1
    # And who falls silent afterwards is still noticed.
    stream.line("closed")
    eventually(lambda: ada.held(part) == [])
