"""A cable is pulled, and neither FIN nor RST ever comes. Real servers, clients in a network namespace."""

from typing import Any

import pytest

from events_app.models import Connection
from sessions_app.models import EndedSession
from tests.faults.network import stream_inside
from tests.waiting import eventually

RELEASED = "edit.session_released"

# A connection that is silent but for its keep-alive lines, and one that is written to all the time.
IDLE, BUSY = "idle", "busy"


def timings(dead_peer: float, heartbeat: float) -> dict[str, str]:
    return {
        "SILO_DEAD_PEER_SECONDS": str(dead_peer),
        "SILO_HEARTBEAT_SECONDS": str(heartbeat),
        "SILO_SESSION_TIMEOUT_MINUTES": "15",
    }


@pytest.fixture
def scene(network, network_serve, client_of, part):
    """A workstation at the other end of the cable that holds a session, and a watcher at this one."""

    def make(dead_peer, heartbeat):
        server = network_serve(**timings(dead_peer, heartbeat))
        ada, bob = client_of(server), client_of(server, "bob")
        watching = bob.stream(item=part)
        workstation = ada.workstation()
        stream = stream_inside(network, ada, workstation_id=workstation)
        session = ada.acquire(part, workstation).json()
        stream.event("edit.session_acquired", session_id=session["id"])
        return ada, watching, workstation, stream, session

    return make


@pytest.mark.parametrize(
    ("dead_peer", "heartbeat", "kind"),
    [(2, 1.2, IDLE), (5, 4, IDLE), (5, 0.2, BUSY), (10, 8, IDLE), (10, 0.5, BUSY)],
)
def test_is_noticed_in_time(scene, network, part, measured, dead_peer, heartbeat, kind):
    ada, watching, _, _, session = scene(dead_peer, heartbeat)
    with measured(f"cable pulled, dead_peer_seconds {dead_peer}, {kind} stream", dead_peer):
        network.pull()
        told = watching.event(RELEASED, session_id=session["id"])
    assert told["data"]["reason"] == "disconnected"
    assert ada.held(part) == []
    assert EndedSession.objects.get().reason == "disconnected"


@pytest.mark.timeout(180)
def test_is_noticed_in_time_with_the_defaults(scene, network, measured):
    _, watching, _, _, session = scene(45, 30)
    with measured("cable pulled, the defaults (45 s, heartbeat 30 s)", 45):
        network.pull()
        watching.event(RELEASED, session_id=session["id"], within=60)


def test_is_noticed_while_events_are_sent_to_it(scene, network, part, measured):
    ada, watching, _, _, session = scene(5, 4)
    second = ada.workstation("cad-2")

    def told_while_there_is_traffic() -> bool:
        other = ada.acquire(part, second, object_id="another").json()
        ada.call("DELETE", f"/api/items/{other['item_id']}/edit-sessions/{other['id']}")
        return any(e["data"]["session_id"] == session["id"] for e in watching.named(RELEASED))

    with measured("cable pulled, dead_peer_seconds 5, events all the time", 5):
        network.pull()
        eventually(told_while_there_is_traffic)
    assert EndedSession.objects.get(session_id=session["id"]).reason == "disconnected"


def test_a_short_outage_of_the_cable_releases_nothing_and_loses_no_event(scene, network, part):
    ada, watching, _, stream, _ = scene(20, 0.5)
    second = ada.workstation("cad-2")
    network.pull()
    beats = len(watching.named("heartbeat"))
    for number in range(20):
        assert ada.acquire(part, second, object_id=f"{number}").status_code == 200
    eventually(lambda: len(watching.named("heartbeat")) >= beats + 4)
    assert len(stream.named("edit.session_acquired")) == 1

    network.plug_in()

    eventually(lambda: len(stream.named("edit.session_acquired")) >= 21)
    ids = [event["id"] for event in stream.named("edit.session_acquired")]
    assert ids == [event["id"] for event in watching.named("edit.session_acquired")]
    assert len(ids) == len(set(ids)) == 21
    assert len(stream.named("stream-open")) == 1, "it is still the same connection"
    assert not EndedSession.objects.exists()


@pytest.mark.parametrize("elsewhere", ["the same server", "another server"])
def test_who_reconnects_from_elsewhere_keeps_all_though_the_old_connection_is_believed_in(
    scene, network, network_serve, client_of, part, elsewhere
):
    ada, watching, workstation, _, _ = scene(4, 0.5)
    old = ada.server
    if elsewhere == "another server":
        ada.server = network_serve(**timings(4, 0.5))
    before = old.sse_clients()
    network.pull()

    back = ada.stream(workstation_id=workstation)

    assert len(back.event("stream-open")["data"]["sessions"]) == 1
    gone = 1 if ada.server is not old else 0
    assert old.sse_clients() == before + 1 - gone, "the server still believes in the old connection"
    eventually(lambda: old.sse_clients() == before - gone, "the old connection dies")
    beats = len(watching.named("heartbeat"))
    eventually(lambda: len(watching.named("heartbeat")) >= beats + 2)
    assert len(ada.held(part)) == 1
    assert not EndedSession.objects.exists()

    back.kill()
    watching.event(RELEASED, reason="disconnected")


@pytest.fixture
def proxied(network, network_serve, client_of, tcp_proxy, part):
    """A server, and the address of a proxy in front of it that hides a dead peer."""

    def make(dead_peer, heartbeat):
        server = network_serve(**timings(dead_peer, heartbeat))
        proxy = tcp_proxy(server.url.removeprefix("http://"), network.host)
        ada, bob = client_of(server), client_of(server, "bob")
        return ada, bob.stream(item=part), ada.workstation(), proxy

    return make


@pytest.mark.parametrize(("dead_peer", "heartbeat"), [(4, 1), (8, 5)])
def test_behind_a_proxy_that_hides_it_who_acknowledges_is_noticed(
    proxied, network, run_program, part, measured, dead_peer, heartbeat
):
    ada, watching, _, ada.server = proxied(dead_peer, heartbeat)
    program = run_program(ada, before=network.command())
    program.edit(part)

    def acknowledged() -> Any:
        return Connection.objects.get(key=program.workstation_id).acked_at

    before = acknowledged()
    eventually(lambda: acknowledged() != before)

    with measured(
        f"cable pulled behind a proxy, ack=true, dead_peer_seconds {dead_peer}", dead_peer
    ):
        network.pull()
        watching.event(RELEASED, reason="disconnected")


def test_behind_a_proxy_that_hides_it_who_does_not_acknowledge_stays(proxied, network, part):
    dead_peer, heartbeat = 2, 0.5
    ada, watching, workstation, proxy = proxied(dead_peer, heartbeat)
    stream = stream_inside(network, ada, proxy.url, workstation_id=workstation)
    ada.acquire(part, workstation)
    network.pull()
    beats = len(watching.named("heartbeat"))
    eventually(lambda: len(watching.named("heartbeat")) >= beats + 4 * dead_peer / heartbeat)
    assert len(ada.held(part)) == 1
    assert not EndedSession.objects.exists()

    network.plug_in()
    beats = len(stream.named("heartbeat"))
    eventually(lambda: len(stream.named("heartbeat")) > beats)
    stream.kill()
    watching.event(RELEASED, reason="disconnected")
