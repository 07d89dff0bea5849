"""What passes HAProxy and nginx, with the configurations that docs/operations.md prints."""

import os
import shutil
import subprocess

import httpx
import pytest

from tests.factories import make_user
from tests.faults.proxies import SECURE
from tests.processes.service import Process
from tests.waiting import eventually

RELEASED = "edit.session_released"
# Of its own: a loopback connection on a shared machine, and two processes that have to run.
AT_ONCE = 1.5


@pytest.fixture
def behind_proxy(serve, client_of, start_proxy):
    """Two servers, a proxy before them, and a user's client of it."""

    def make(name="ada", **env):
        servers = [serve(**SECURE, **env), serve(**SECURE, **env)]
        proxy = start_proxy(servers)
        return servers, proxy, client_of(proxy)

    return make


def test_streams_pass_at_once_and_a_client_that_dies_is_released_at_once(
    behind_proxy, client_of, part, measured, kind
):
    servers, _, ada = behind_proxy()
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
    behind_proxy, client_of, part, processes, measured, kind
):
    """As a browser opens them; curl can, where it was built so."""
    if not shutil.which("curl") or "HTTP2" not in output_of("curl", "--version"):
        pytest.skip("needs curl with HTTP/2")
    servers, proxy, ada = behind_proxy()
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


def test_who_logs_in_through_it_may_write(behind_proxy, kind):
    """Its scheme and the host that it passes on are what cookies and the protection of writes are judged by."""
    _, proxy, _ = behind_proxy()
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


def test_a_body_that_is_too_large_is_refused_by_the_server_itself(behind_proxy, kind):
    _, _, ada = behind_proxy()
    headers = {"Authorization": f"Bearer {ada.token}", "Content-Type": "application/json"}
    body = b'"' + b"x" * (8 * 1024 * 1024) + b'"'
    answer = httpx.post(f"{ada.server.url}/api/items", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (413, "body_too_large")
