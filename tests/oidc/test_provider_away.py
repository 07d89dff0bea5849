"""A provider that is away, slow or says something wrong: a page and a line of the log say so, and passwords work."""

import json
import threading
import time
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.management import call_command
from django.test import Client

from board_app.openid import calls
from board_app.openid.provider import PROVIDER
from tests.factories import make_user
from tests.integration.admin_site import text_of
from tests.oidc.conftest import BEGIN, configure
from tests.ports import reserved

pytestmark = pytest.mark.django_db
# The first byte of an answer comes before, also on a busy machine.
SOON = 1.0


def check_away(answer):
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "Company cannot be reached at the moment" in text_of(answer)
    assert 'type="password"' in text_of(answer)


def why(caplog):
    return [one.why for one in caplog.records if one.name == "board_app.pages.openid"]


def doctor():
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("doctor", json=True, stdout=out)
    said = json.loads(out.getvalue())
    [found] = [one for one in said["findings"] if one["subject"] == "OpenID Connect"]
    return found["level"], found["text"]


@pytest.fixture
def imitation(settings):
    """Starts a server with a discovery document; returns how often it was asked."""
    with ExitStack() as ending:

        def start(*, status=200, body=None, token=b"", pause=0.0, **changed):
            asked = []
            stopped = threading.Event()

            class Handler(BaseHTTPRequestHandler):
                def do_GET(self):
                    asked.append(self.path)
                    content = body if body is not None else json.dumps(whole).encode()
                    self.send_response(status)
                    if status == 302:
                        self.send_header("Location", "/elsewhere")
                    self.end_headers()
                    with suppress(OSError):
                        for byte in content if pause else [content]:
                            self.wfile.write(bytes([byte]) if pause else byte)
                            if stopped.wait(pause):
                                return

                def do_POST(self):
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(token)

                def log_message(self, *_):
                    pass

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            issuer = f"http://127.0.0.1:{server.server_port}"
            whole = {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/auth",
                "token_endpoint": f"{issuer}/token",
                "jwks_uri": f"{issuer}/keys",
            } | changed
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            ending.callback(thread.join)
            ending.callback(server.server_close)
            ending.callback(server.shutdown)
            ending.callback(stopped.set)
            configure(settings, issuer)
            return asked

        yield start


def test_a_provider_that_is_not_there_is_not_called_for_some_seconds_and_passwords_work(
    settings, caplog
):
    configure(settings, f"http://127.0.0.1:{reserved()}")
    make_user("boss")
    client = Client()
    check_away(client.get(BEGIN))
    check_away(client.get(BEGIN))
    # One line for all.
    assert why(caplog) == ["ConnectionError"]
    answer = client.post("/board/log-in", {"username": "boss", "password": "correct horse"})
    assert answer.status_code == 302
    level, text = doctor()
    assert level == "problem"
    assert text.endswith("cannot be used: ConnectionError.")


def test_a_provider_that_goes_during_a_log_in(provider, browser, settings, caplog):
    address = browser.at_provider(browser.begin("/items/A"), "1")
    # Its keys and addresses are known by now; those of the token are nobody's.
    PROVIDER._client().server_metadata["token_endpoint"] = f"http://127.0.0.1:{reserved()}/token"
    answer = browser.back(address)
    check_away(answer)
    assert 'name="next" value="/items/A"' in text_of(answer)
    assert why(caplog) == ["ConnectionError"]


def test_a_slow_provider_is_given_up(imitation, monkeypatch, caplog):
    """Also one that sends something every moment."""
    monkeypatch.setattr(calls, "CALL_SECONDS", SOON)
    asked = imitation(pause=SOON / 10)
    begun = time.monotonic()
    check_away(Client().get(BEGIN))
    assert time.monotonic() - begun < SOON * 15
    check_away(Client().get(BEGIN))
    assert len(asked) == 1
    assert why(caplog) == [f"an answer takes longer than {SOON:g} s"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"status": 500}, "status 500"),
        ({"status": 404}, "status 404"),
        ({"status": 302}, "status 302"),
        ({"body": b"<html>"}, "not JSON"),
        ({"body": b"[]"}, "another issuer"),
        ({"issuer": "https://evil.example"}, "another issuer"),
        ({"token_endpoint": None}, "no usable token_endpoint"),
        ({"jwks_uri": "file:///etc/passwd"}, "no usable jwks_uri"),
        ({"userinfo_endpoint": "ftp://login.example.com/me"}, "no usable userinfo_endpoint"),
        ({"authorization_endpoint": "javascript:x"}, "no usable authorization_endpoint"),
        ({"id_token_signing_alg_values_supported": ["none", "HS256"]}, "no algorithm"),
        ({"id_token_signing_alg_values_supported": None}, "no algorithm"),
        ({"id_token_signing_alg_values_supported": [{}, 5]}, "no algorithm"),
        ({"body": b"x" * (calls.MAX_BYTES + 1)}, "more than"),
    ],
)
def test_a_document_that_is_wrong_is_not_used(imitation, caplog, answer, said):
    asked = imitation(**answer)
    check_away(Client().get(BEGIN))
    assert said in why(caplog)[0]
    assert asked == ["/.well-known/openid-configuration"]
    level, text = doctor()
    assert level == "problem"
    assert said in text


@pytest.mark.parametrize("methods", [["client_secret_post"], 5, None])
def test_how_the_client_shows_its_secret_is_the_providers_choice(imitation, methods):
    imitation(token_endpoint_auth_methods_supported=methods)
    assert Client().get(BEGIN).status_code == 302
    client = PROVIDER._client()
    assert client.client_kwargs["token_endpoint_auth_method"] == "client_secret_post"


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (b"<html>", "cannot be read"),
        (b"[]", "cannot be read"),
        (b'"x"', "cannot be read"),
        (b"5", "cannot be read"),
        (b"null", "cannot be read"),
        (b"{}", "no ID token"),
        (b'{"id_token": 5, "access_token": "x"}', "cannot be read"),
    ],
)
def test_a_token_of_another_shape_is_not_used(imitation, caplog, token, said):
    imitation(token=token)
    client = Client()
    state = parse_qs(urlsplit(client.get(BEGIN)["Location"]).query)["state"][0]
    answer = client.get(f"{BEGIN}/answer", {"code": "x", "state": state})
    assert (answer.status_code, "Retry-After" in answer) == (503, False)
    assert "cannot be used here" in text_of(answer)
    assert said in why(caplog)[0]


def test_the_document_is_read_once(imitation):
    asked = imitation()
    for _ in range(3):
        assert Client().get(BEGIN).status_code == 302
    assert len(asked) == 1


def test_after_a_rest_it_is_asked_again():
    now = 100.0
    rest = calls.Rest(lambda: now)
    with pytest.raises(calls.Unavailable, match="Timeout"):
        rest.run(_timeout)
    with pytest.raises(calls.Unavailable, match="Timeout"):
        rest.run(lambda: "answer")
    now += calls.REST_SECONDS
    assert rest.run(lambda: "answer") == "answer"


def _timeout():
    from requests import Timeout

    raise Timeout


def test_doctor_reads_the_document(provider):
    assert doctor() == ("ok", f"The discovery document of {provider.issuer} can be read.")


def test_without_a_provider_there_is_nothing():
    client = Client()
    assert "Log in with" not in text_of(client.get("/board/log-in"))
    assert "Log in with" not in text_of(client.get("/admin/login/"))
    for path in (BEGIN, f"{BEGIN}/answer"):
        assert client.get(path).status_code == 404
