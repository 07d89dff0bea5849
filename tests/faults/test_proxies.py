"""HAProxy and nginx in front of two servers, with the configurations that docs/operations.md prints."""

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from sessions_app.models import EndedSession, Workstation
from tests.factories import make_user
from tests.faults.network import stream_inside
from tests.faults.services import passes
from tests.processes.service import ROOT, Process
from tests.waiting import eventually

RELEASED = "edit.session_released"
DOCUMENT = ROOT / "docs" / "operations.md"
NAME = "silo.example.com"
SECURE = {"SILO_HTTPS": "true", "SILO_ALLOWED_HOSTS": f"127.0.0.1,{NAME}"}
GRACE = {"SILO_DISCONNECT_GRACE_SECONDS": "15"}

# Of its own: a loopback connection on a shared machine, and two processes that have to run.
AT_ONCE = 1.5
# A restarted server is known to be there again: HAProxy asks every 2 s, nginx sends it a request again after 1 s.
PROXY_LOOKS_WITHIN = 6


def printed(language: str) -> str:
    """Return the one block of the documentation in this language."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S)
    return block


def changed(text: str, changes: dict[str, str]) -> str:
    """Return the text with what is different here; all of it has to be there."""
    for old, new in changes.items():
        assert old in text, f"the documentation no longer prints {old!r}"
        text = text.replace(old, new)
    return text


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for any address that a test may use, trusted by the clients of the test."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")

    def make(*hosts: str) -> Path:
        folder = tmp_path_factory.mktemp("certificate")
        names = ",".join([f"DNS:{NAME}", *(f"IP:{host}" for host in hosts)])
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        command += ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName={names}"]
        command += ["-keyout", "silo.key", "-out", "silo.crt"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        both = (folder / "silo.crt").read_text() + (folder / "silo.key").read_text()
        (folder / "silo.pem").write_text(both)
        return folder

    return make


class Proxy(Process):
    """A proxy process, on one address of ours."""

    def __init__(self, *command: str, host: str, ports: tuple[int, int]) -> None:
        super().__init__(*command, env=dict(os.environ))
        self.host, (self.plain, self.port) = host, ports
        self.url = f"https://{host}:{self.port}"


def haproxy(folder: Path, servers, host: str, more: dict[str, str]) -> Proxy:
    ports = free_port(host), free_port(host)
    changes = {
        "bind :80": f"bind {host}:{ports[0]}",
        "bind :443": f"bind {host}:{ports[1]}",
        "/etc/haproxy/silo.pem": str(folder / "silo.pem"),
        "maxconn 50000": "maxconn 500",
        "127.0.0.1:8001": servers[0].url.removeprefix("http://"),
        "127.0.0.1:8002": servers[1].url.removeprefix("http://"),
    } | more
    configuration = folder / "haproxy.cfg"
    configuration.write_text(changed(printed("haproxy"), changes))
    return Proxy("haproxy", "-db", "-f", str(configuration), host=host, ports=ports)


def nginx(folder: Path, servers, host: str, more: dict[str, str]) -> Proxy:
    ports = free_port(host), free_port(host)
    changes = {
        "listen 80": f"listen {host}:{ports[0]}",
        "listen 443": f"listen {host}:{ports[1]}",
        "/etc/nginx/silo.crt": str(folder / "silo.crt"),
        "/etc/nginx/silo.key": str(folder / "silo.key"),
        "127.0.0.1:8001": servers[0].url.removeprefix("http://"),
        "127.0.0.1:8002": servers[1].url.removeprefix("http://"),
    } | more
    site, main = folder / "silo.conf", folder / "nginx.conf"
    site.write_text(changed(printed("nginx"), changes))
    temporary = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr info;\n"
        "events { worker_connections 500; }\n"
        f"http {{\n    access_log off;\n{temporary}    include {site};\n}}\n"
    )
    return Proxy("nginx", "-c", str(main), "-p", str(folder), host=host, ports=ports)


PROXIES = {"haproxy": haproxy, "nginx": nginx}


@pytest.fixture(params=PROXIES)
def kind(request):
    return request.param


@pytest.fixture
def start_proxy(kind, processes, certificate, monkeypatch):
    """Start one of the proxies in front of two servers, and wait until it serves."""
    if not shutil.which(kind):
        pytest.skip(f"{kind} is not installed")

    def start(servers, host="127.0.0.1", changes=None) -> Proxy:
        folder = certificate(host)
        # The account that a proxy's workers run as, if it is not ours.
        for place in (folder, *folder.parents[:2]):
            place.chmod(0o755)
        monkeypatch.setenv("SSL_CERT_FILE", str(folder / "silo.crt"))
        proxy = PROXIES[kind](folder, servers, host, changes or {})
        processes.callback(proxy.close)

        def serves() -> bool:
            assert proxy.running, proxy.output
            return is_ready_through(proxy)

        eventually(serves)
        return proxy

    return start


def is_ready_through(proxy) -> bool:
    try:
        return httpx.get(f"{proxy.url}/ready", timeout=3).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def scene(serve, client_of, start_proxy):
    """Two servers behind a proxy, and a user's client of it."""

    def make(name="ada", **env):
        servers = [serve(**SECURE, **env), serve(**SECURE, **env)]
        proxy = start_proxy(servers)
        return servers, proxy, client_of(proxy)

    return make


def test_streams_pass_at_once_and_a_client_that_dies_is_released_at_once(
    scene, client_of, part, measured, kind
):
    servers, _, ada = scene()
    # One that watches without a proxy, to see what the proxy costs.
    watching = client_of(servers[0], "bob").stream(item=part)
    workstation = ada.workstation()
    stream = ada.stream(workstation_id=workstation)
    for number in range(5):
        session = ada.acquire(part, workstation, object_id=f"{number}").json()
        with measured(f"{kind}: from the answer to an acquire until its event is there", AT_ONCE):
            stream.event("edit.session_acquired", session_id=session["id"])
    with measured(f"{kind}: client killed until a watcher is told", AT_ONCE):
        stream.kill()
        watching.event(RELEASED, session_id=session["id"], reason="disconnected")
    assert ada.held(part) == []


def test_streams_of_one_http2_connection_pass_and_end_with_it(
    scene, client_of, part, processes, measured, kind
):
    """As a browser opens them; curl can, where it was built so."""
    if not shutil.which("curl") or "HTTP2" not in output_of("curl", "--version"):
        pytest.skip("needs curl with HTTP/2")
    servers, proxy, ada = scene()
    watching = client_of(servers[0], "bob").stream(item=part)
    workstations = [ada.workstation(name) for name in ("cad-1", "cad-2")]
    urls = [f"{proxy.url}/api/events?workstation_id={pk}" for pk in workstations]
    command = ["curl", "--http2", "--no-buffer", "--no-progress-meter", "--parallel", "--cacert"]
    command += [os.environ["SSL_CERT_FILE"], "--header", f"Authorization: Bearer {ada.token}"]
    browser = Process(*command, *urls, env=dict(os.environ))
    processes.callback(browser.close)
    eventually(lambda: browser.output.count("event: stream-open") == 2)
    sessions = [ada.acquire(part, pk, object_id=pk).json()["id"] for pk in workstations]
    for session in sessions:
        eventually(lambda session=session: any(session in line for line in browser.lines))
    with measured(
        f"{kind}: HTTP/2 client with two streams killed until a watcher is told", AT_ONCE
    ):
        browser.kill()
        for session in sessions:
            watching.event(RELEASED, session_id=session, reason="disconnected")


def output_of(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_a_silent_stream_stays_open_longer_than_the_proxys_time_outs(
    start_proxy, serve, client_of, kind
):
    """A line every second against time-outs of three."""
    env = SECURE | {"SILO_DEAD_PEER_SECONDS": "5", "SILO_HEARTBEAT_SECONDS": "4"}
    servers = [serve(**env), serve(**env)]
    shorter = {
        "haproxy": {
            "timeout client 60s": "timeout client 3s",
            "timeout server 60s": "timeout server 3s",
        },
        "nginx": {"proxy_read_timeout 20s": "proxy_read_timeout 3s"},
    }
    proxy = start_proxy(servers, changes=shorter[kind])
    ada = client_of(proxy)
    stream = ada.stream(workstation_id=ada.workstation())
    eventually(lambda: len(stream.named("heartbeat")) >= 3)
    assert len(stream.named("comment")) >= 4
    assert stream.running


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
    servers = [serve_at(free_port("127.0.0.1"), **SECURE) for _ in range(2)]
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


def test_who_logs_in_through_it_may_write(scene, kind):
    """Its scheme and the host that it passes on are what cookies and the protection of writes are judged by."""
    _, proxy, _ = scene()
    make_user("admin", is_staff=True, is_superuser=True)
    login = f"{proxy.url}/admin/login/"
    with httpx.Client(headers={"X-Forwarded-Proto": "http"}) as browser:
        assert " Secure" in browser.get(login).headers["set-cookie"]
        form = {
            "username": "admin",
            "password": "correct horse",
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        assert browser.post(login, data=form, headers={"Referer": login}).status_code == 302
        assert "sessionid" in browser.cookies
        foreign = {"Referer": "https://elsewhere.example.com/"}
        assert browser.post(login, data=form, headers=foreign).status_code == 403
    insecure = httpx.get(f"http://{proxy.host}:{proxy.plain}/api/docs")
    assert insecure.is_redirect
    assert insecure.headers["location"].startswith("https://")


def test_a_body_that_is_too_large_is_refused_by_the_server_itself(scene, kind):
    _, _, ada = scene()
    headers = {"Authorization": f"Bearer {ada.token}", "Content-Type": "application/json"}
    body = b'"' + b"x" * (8 * 1024 * 1024) + b'"'
    answer = httpx.post(f"{ada.server.url}/api/items", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (413, "body_too_large")


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
