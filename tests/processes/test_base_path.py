"""A server that is shown below `/silo/`, by a proxy that leaves the path in the address or one that takes it away."""

import re
from urllib.parse import urlsplit

import httpx
import pytest
from django.contrib.auth.models import User

from tests.processes.service import Serve

BASE = "/silo"


@pytest.fixture
def server(processes):
    server = Serve(SILO_BASE_PATH=f"{BASE}/")
    processes.callback(server.close)
    return server.ready()


@pytest.fixture
def at(server):
    """Asks the server; the address begins with the base path, as for a browser."""
    top = server.url.removesuffix(BASE)
    assert top != server.url
    with httpx.Client(base_url=top) as client:
        yield client


def ways(path):
    """The address as each kind of proxy sends it."""
    return [f"{BASE}{path}", path]


def test_a_client_lives_below_the_path(server, client_of, connect, part):
    ada = client_of(server)
    stream = ada.stream(all="true")
    with connect(client_of(server, "bob")) as workstation, workstation.edit(part, level="sketch"):
        stream.event("edit.session_acquired")
    stream.event("edit.session_released")


def test_the_command_line_and_its_package_are_below_the_path(server, at, cli_user_of, part):
    ada = cli_user_of(server)
    assert ada.run("edit", part, "--", "true").returncode == 0
    assert ada.run("history", part).stdout.startswith(f"{part}\t")
    elsewhere = ada.run("who", SILO_URL=f"{server.url}/api")
    assert elsewhere.returncode == 8
    assert f"has no API below {BASE}/api" in elsewhere.stderr
    for address in ways("/client"):
        page = at.get(address, headers={"Accept": "text/html"}, follow_redirects=True)
        assert f"pip install {server.url}/client/silo_client-" in page.text
        assert f"silo login {server.url}\n" in page.text
        package = at.get(address, follow_redirects=True)
        assert package.headers["Content-Type"] == "application/gzip"


def test_either_kind_of_proxy_gets_the_same_answers(at, client_of, server, part):
    ada = client_of(server)
    headers = {"Authorization": f"Bearer {ada.token}"}
    workstation = ada.workstation()
    for address in ways("/ready"):
        assert at.get(address).status_code == 200
    for address in ways(f"/api/workstations/{workstation}/alive"):
        assert at.post(address, headers=headers).status_code == 204
    body = {"workstation_id": workstation, "context_level": "sketch"}
    # By the lane, and by Twisted, whose body has no announced length.
    for address in ways(f"/api/items/{part}/edit-sessions"):
        assert at.post(address, headers=headers, json=body).status_code == 200
        chunked = {**headers, "Content-Type": "application/json"}
        sent = iter([httpx.Request("POST", "http://x", json=body).content])
        assert at.post(address, headers=chunked, content=sent).status_code == 200
    for address in ways("/api/events?all=true"):
        with at.stream("GET", address, headers=headers) as stream:
            assert "event: stream-open" in stream.iter_lines()
    # The same limit counts, too.
    large = b"x" * 2_000_000
    for address in ways("/api/edit-sessions/release"):
        assert at.post(address, headers=headers, content=large).status_code == 413
    for address in ("/silox/ready", "/silo/silo/ready", "/silo//ready", "/%73ilo/ready"):
        assert at.get(address).status_code == 404


def test_pages_keep_below_the_path(at, committed_db):
    User.objects.create_superuser("root", password="for-this-test-only")
    for address in (BASE, *ways("/")):
        sent = at.get(address)
        assert sent.status_code == 302
        assert urlsplit(sent.headers["Location"]).path == f"{BASE}/board/log-in"
    form = at.get(f"{BASE}/admin/login/")
    assert [cookie.path for cookie in at.cookies.jar] == [BASE]
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)
    data = {"username": "root", "password": "for-this-test-only", "csrfmiddlewaretoken": token[1]}
    logged_in = at.post(f"{BASE}/admin/login/?next={BASE}/", data=data)
    assert (logged_in.status_code, logged_in.headers["Location"]) == (302, f"{BASE}/")
    assert {cookie.path for cookie in at.cookies.jar} == {BASE}
    for address in (f"{BASE}/", f"{BASE}/admin/", f"{BASE}/api/docs", f"{BASE}/users/root"):
        page = at.get(address)
        assert page.status_code == 200
        links = re.findall(r'(?:href|src|action|data-[a-z]+)="(/[^"]*)"', page.text)
        assert links
        assert [link for link in links if not f"{link}/".startswith(f"{BASE}/")] == []
        for link in links:
            if "/static/" in link:
                assert at.get(link).status_code == 200
                assert at.get(link.removeprefix(BASE)).status_code == 200


def test_the_description_says_where_the_api_is(at):
    described = at.get(f"{BASE}/api/openapi.json").json()
    assert [one["url"] for one in described["servers"]] == [BASE]
    assert {"/api/events", "/ready"} <= described["paths"].keys()
