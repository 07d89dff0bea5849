"""Log-ins by OpenID Connect at a real server."""

import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from tests.factories import make_user
from tests.oidc.conftest import ANSWER, BEGIN, SECRET
from tests.processes.conftest import processes  # noqa: F401
from tests.processes.service import Serve
from tests.waiting import PATIENCE_SECONDS

BASE = "/silo"
PASSWORD = "correct horse"


class Unhurried(Serve):
    """It gives no call of its provider up while a test runs."""

    def start_command(self, *command):
        python, *options, _, serve, port, number = command
        return [python, *options, "-m", "tests.oidc.unhurried", serve, port, number]


@pytest.fixture
def serve(processes):  # noqa: F811
    def start(issuer, kind=Serve, **env):
        server = kind(
            SILO_OPENID_ISSUER=issuer,
            SILO_OPENID_CLIENT_ID="silo",
            SILO_OPENID_CLIENT_SECRET=SECRET,
            SILO_OPENID_EDITOR_GROUPS="silo-editors",
            **env,
        )
        processes.callback(server.close)
        return server.ready()

    return start


def cookies_of(answer):
    """The cookies as a browser would send them back, whose server is behind HTTPS."""
    given = (line.partition(";")[0] for line in answer.headers.get_list("Set-Cookie"))
    return "; ".join(given)


def test_the_way_back_is_below_the_path_and_by_https(provider, browser, serve):
    server = serve(
        provider.issuer,
        SILO_BASE_PATH=BASE,
        SILO_HTTPS="true",
        SILO_ALLOWED_HOSTS="127.0.0.1,silo.example.com",
    )
    headers = {"Host": "silo.example.com", "X-Forwarded-Proto": "https"}
    with httpx.Client(headers=headers, timeout=PATIENCE_SECONDS) as at:
        begun = at.get(f"{server.url}{BEGIN}", params={"next": f"{BASE}/board/tokens"})
        [kept] = begun.headers.get_list("Set-Cookie")
        assert {"HttpOnly", f"Path={BASE}", "SameSite=Lax", "Secure"} < set(kept.split("; "))
        address = urlsplit(browser.at_provider(begun.headers["Location"], "1"))
        assert (address.scheme, address.netloc) == ("https", "silo.example.com")
        assert address.path == f"{BASE}{ANSWER}"
        cookies = {"Cookie": cookies_of(begun)}
        back = at.get(f"{server.url}{ANSWER}?{address.query}", headers=cookies)
        assert (back.status_code, back.headers["Location"]) == (302, f"{BASE}/board/tokens")
        me = at.get(f"{server.url}/api/me", headers={"Cookie": cookies_of(back)})
        assert (me.json()["user"], me.json()["role"]) == ("ada", "editor")
    assert SECRET not in server.output
    assert "openid_client_id=silo" in server.line("configuration")


def test_a_provider_that_does_not_answer_delays_no_other_log_in(serve):
    make_user("boss")
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor() as pool:
        server = serve(f"http://127.0.0.1:{silent.getsockname()[1]}", Unhurried)
        # Two: one waits for the provider, the other one for the first.
        waiting = [pool.submit(httpx.get, f"{server.url}{BEGIN}", timeout=60) for _ in range(2)]
        called, _ = silent.accept()
        with called, httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as at:
            token = at.get("/board/log-in").cookies["csrftoken"]
            sent = {"username": "boss", "password": PASSWORD, "csrfmiddlewaretoken": token}
            assert at.post("/board/log-in", data=sent).status_code == 302
            assert at.get("/").status_code == 200
            assert not any(one.done() for one in waiting)
        # Its connection is cut by now.
        assert [one.result().status_code for one in waiting] == [503, 503]
