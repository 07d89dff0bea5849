"""The proxies in front of a service below a path, as the comments in deploy/proxies configure them."""

import re
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from silo.doctor import public_url
from silo.doctor.findings import Level
from tests.proxies.checks import CHECKS
from tests.proxies.conftest import BELOW, DOCS_PAGE
from tests.proxies.kinds import APACHE, CADDY, HAPROXY, NGINX
from tests.proxies.proxy import BASE, NAME

KINDS = [kind.program for kind in (HAPROXY, NGINX, APACHE, CADDY)]
pytestmark = pytest.mark.parametrize("kind", KINDS, indirect=True)


@pytest.fixture
def top(world, kind, monkeypatch):
    """The address under which the proxy is reached by the service's name, without the path."""
    find = socket.getaddrinfo

    def found(host, *more, **options):
        return find("127.0.0.1" if host == NAME else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    return f"https://{NAME}:{urlsplit(world.proxy(kind, BELOW).url).port}"


@pytest.fixture
def browser(top):
    """It keeps cookies, and follows no redirect by itself."""
    with httpx.Client(base_url=top) as client:
        yield client


@pytest.mark.parametrize("check", CHECKS)
def test_it_holds_below_a_path(behind, check):
    CHECKS[check](behind(BELOW))


def test_heartbeats_come(behind):
    scene = behind(BELOW)
    stream = scene.user.stream(workstation_id=scene.workstation)
    stream.event("heartbeat", 6)
    stream.kill()


def test_one_logs_in_at_the_board_and_finds_what_it_links(browser, top):
    first = browser.get(BASE, follow_redirects=True)
    assert (first.status_code, first.url.path) == (200, f"{BASE}/board/log-in")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', first.text)
    form = {"username": "ada", "password": "correct horse", "csrfmiddlewaretoken": token[1]}
    origin = {"Origin": top}
    entered = browser.post(f"{BASE}/board/log-in?next={BASE}/", data=form, headers=origin)
    assert (entered.status_code, entered.headers["Location"]) == (302, f"{BASE}/")
    assert {cookie.name for cookie in browser.cookies.jar} == {"csrftoken", "sessionid"}
    assert {(cookie.path, cookie.secure) for cookie in browser.cookies.jar} == {(BASE, True)}
    board = browser.get(f"{BASE}/")
    for page in (first, board):
        assert page.status_code == 200
        policy = page.headers["Content-Security-Policy"]
        assert "'self'" in policy
        assert "unsafe" not in policy
        links = re.findall(r'(?:href|src|action|data-[a-z]+)="(/[^"]*)"', page.text)
        assert [link for link in links if not f"{link}/".startswith(f"{BASE}/")] == []
        files = [link for link in links if "/static/" in link]
        assert files
        for file in files:
            assert browser.get(file).status_code == 200
    [events] = set(re.findall(r'"(/[^"]*/api/events[^"]*)"', board.text))
    with browser.stream("GET", events.replace("&amp;", "&")) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert "event: stream-open" in stream.iter_lines()


def test_documents_and_the_client_are_there(browser, top):
    docs = browser.get(f"{BASE}/docs", follow_redirects=True)
    assert (docs.text, docs.url.path) == (DOCS_PAGE, f"{BASE}/docs/")
    page = browser.get(f"{BASE}/client", headers={"Accept": "text/html"}, follow_redirects=True)
    assert f"pip install {top}{BASE}/client/silo_client-" in page.text
    assert f"silo login {top}{BASE}\n" in page.text
    package = browser.get(f"{BASE}/client", follow_redirects=True)
    assert package.headers["Content-Type"] == "application/gzip"


@pytest.mark.parametrize("path", ["/ready", "/board/log-in", f"{BASE}x/ready", f"{BASE}x"])
def test_what_is_not_below_it_is_another_services(browser, path):
    assert "X-Request-ID" in browser.get(f"{BASE}/ready").headers
    assert "X-Request-ID" not in browser.get(path).headers


def test_doctor_finds_nothing_wrong_with_the_way(world, top):
    service = public_url.Service(f"{top}{BASE}", world.token, watch_seconds=1)
    found = list(public_url.findings(service, token_is_good=True, https=True))
    assert [one for one in found if one.level is not Level.OK] == []
    assert {one.subject for one in found} == {
        *("url", "https", "slashes", "bodies", "authorization", "streams", "Last-Event-ID")
    }
