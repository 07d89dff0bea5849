"""A proxy restarts, servers behind it do or hang, its clients' cable is pulled."""

import signal

import httpx
import pytest

from sessions_app.models import EndedSession, Workstation
from tests.faults.network import stream_inside
from tests.faults.proxies import is_ready_through
from tests.faults.services import passes
from tests.ports import reserved
from tests.proxies.proxy import NAME, SECURE
from tests.waiting import eventually

RELEASED = "edit.session_released"
GRACE = {"SILO_DISCONNECT_GRACE_SECONDS": "15"}
# A restarted server is known to be there again: HAProxy asks every 2 s, nginx sends it a request again after 1 s.
PROXY_LOOKS_WITHIN = 6


def test_a_restart_of_the_proxy_costs_nobody_a_session_with_grace(
    serve, client_of, start_proxy, part, measured, kind
):
    servers = [serve(**SECURE, **GRACE), serve(**SECURE, **GRACE)]
    proxy = start_proxy(servers)
    ada, watching = client_of(proxy), client_of(servers[0], "bob").stream(item=part)
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    session = ada.acquire(part, workstation).json()

    proxy.signal(signal.SIGTERM)
    stream.line("closed")
    proxy.close()
    watching.event("edit.session_away", session_id=session["id"])
    ada.server = start_proxy(servers)
    back = ada.stream(stream.last_event_id, workstation_id=workstation)

    held = back.event("stream-open")["data"]["sessions"]
    assert [one["id"] for one in held] == [session["id"]]
    watching.event("edit.session_back", session_id=session["id"])
    assert not EndedSession.objects.exists()


def test_servers_restart_one_after_the_other_and_nobody_loses_anything(
    serve_at, client_of, start_proxy, part
):
    servers = [serve_at(reserved(), **SECURE) for _ in range(2)]
    proxy = start_proxy(servers)
    ada = client_of(proxy)
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    session = ada.acquire(part, workstation).json()
    for server in servers:
        serving = server.sse_clients() == 1
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        if serving:
            stream.line("closed")
            # Whichever server the proxy asks first, the other one answers.
            stream = ada.stream(stream.last_event_id, workstation_id=workstation)
        assert [one["id"] for one in ada.held(part)] == [session["id"]]
        serve_at(int(server.url.rpartition(":")[2]), **SECURE)
        passes(PROXY_LOOKS_WITHIN)
        assert is_ready_through(proxy)
    assert Workstation.objects.get(pk=workstation).departed_at is None
    assert not EndedSession.objects.exists()


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_who_asks_while_a_server_is_gone_is_answered_by_the_other(
    serve, start_proxy, client_of, part, measured, kind, fault
):
    servers = [serve(**SECURE), serve(**SECURE)]
    # What nginx learns of a server that hangs it learns from a request.
    shorter = {"nginx": {"proxy_read_timeout 20s": "proxy_read_timeout 2s"}, "haproxy": {}}
    proxy = start_proxy(servers, changes=shorter[kind])
    ada = client_of(proxy)
    workstation = ada.workstation()
    servers[0].signal(fault)

    def stream_opens() -> bool:
        try:
            query = {"workstation_id": workstation}
            url, headers = f"{proxy.url}/api/events", {"Authorization": f"Bearer {ada.token}"}
            with httpx.stream("GET", url, params=query, headers=headers, timeout=3) as stream:
                return stream.status_code == 200
        except httpx.TransportError:
            return False

    with measured(f"{kind}: server got {fault.name}, until streams and requests are served", 15):
        eventually(lambda: all(stream_opens() for _ in range(4)))
    for _ in range(4):
        assert ada.acquire(part, workstation).status_code == 200


@pytest.mark.parametrize("kind", ["haproxy"])
def test_haproxy_notices_a_pulled_cable(
    network, network_serve, client_of, start_proxy, part, measured
):
    env = {"SILO_DEAD_PEER_SECONDS": "5", "SILO_HEARTBEAT_SECONDS": "4", "SILO_HTTPS": "true"}
    servers = [network_serve(**env) for _ in range(2)]
    shorter = {"tcp-ut 20s": "tcp-ut 2s", f"hdr Host {NAME}": f"hdr Host {network.host}"}
    proxy = start_proxy(servers, network.host, changes=shorter)
    ada = client_of(proxy)
    watching = client_of(servers[0], "bob").stream(item=part)
    workstation = ada.workstation()
    stream_inside(network, ada, workstation_id=workstation)
    ada.acquire(part, workstation)
    with measured("cable pulled before HAProxy, tcp-ut 2 s, dead_peer_seconds 5", 5):
        network.pull()
        watching.event(RELEASED, reason="disconnected")
