"""`manage.py doctor` on proxies that do what they should not, and on settings."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from silo import __version__
from silo.config import ServerConfig, SessionsConfig
from silo.doctor import configuration, findings, public_url
from silo.doctor.findings import Level

TOKEN = "silo_good"


class Fake(ThreadingHTTPServer):
    """A service behind a proxy with faults, each named by a word."""

    def __init__(self, faults):
        super().__init__(("127.0.0.1", 0), Answers)
        self.faults = set(faults)
        self.over = threading.Event()


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, kind="application/json", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    @property
    def faults(self):
        return self.server.faults

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if "small bodies" in self.faults:
            return self.answer(413, b"<html>", "text/html")
        self.answer(422, b'{"error": "invalid"}')

    def do_GET(self):
        if "redirects" in self.faults:
            return self.answer(301, b"", Location="https://elsewhere.example.com/")
        if "hosts" in self.faults:
            return self.answer(400, b'{"error": "bad_request"}')
        if self.path == "/health":
            if "other" in self.faults:
                return self.answer(200, b"<html>", "text/html")
            version = "0.1" if "old" in self.faults else __version__
            return self.answer(200, json.dumps({"version": version}).encode())
        if "%2F" in self.path:
            if "slashes" in self.faults:
                return self.answer(404, b"<html>", "text/html")
            return self.answer(404, b'{"error": "not_found"}')
        dropped = "authorization" in self.faults
        if dropped or self.headers["Authorization"] != f"Bearer {TOKEN}":
            return self.answer(401, b'{"error": "not_authenticated"}')
        if self.path.startswith("/api/events"):
            return self.stream()
        self.answer(200, b'{"workstations": []}')

    def stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        if "compresses" in self.faults:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.close_connection = True
        if "buffers" not in self.faults:
            self.wfile.write(b"retry: 1000\nevent: stream-open\ndata: {}\n\n")
            if "Last-Event-ID" not in self.faults and self.headers["Last-Event-ID"]:
                self.wfile.write(b"event: stream-reset\ndata: {}\n\n")
        if "cuts" not in self.faults:
            self.server.over.wait(20)


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(public_url, "FIRST_EVENT_SECONDS", 0.4)
    made = []

    def make(*faults, token=TOKEN):
        fake = Fake(faults)
        made.append(fake)
        threading.Thread(target=fake.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{fake.server_port}"
        return public_url.Service(url, token, watch_seconds=0.4)

    yield make
    for fake in made:
        fake.over.set()
        fake.shutdown()
        fake.server_close()


def found(service, good=True):
    return list(public_url.findings(service, token_is_good=good, https=False))


def bad(found_ones):
    return {one.subject for one in found_ones if one.level in {Level.PROBLEM, Level.WARNING}}


def test_a_good_way_has_no_fault_but_that_it_is_http(service):
    ones = found(service())
    assert bad(ones) == {"https"}
    assert {one.subject for one in ones} == {
        "url",
        "https",
        "slashes",
        "bodies",
        "authorization",
        "streams",
        "Last-Event-ID",
    }


@pytest.mark.parametrize(
    ("fault", "subject", "word"),
    [
        ("redirects", "url", "elsewhere.example.com"),
        ("hosts", "hosts", "allowed_hosts"),
        ("other", "url", "not by Silo Sessions"),
        ("old", "url", "0.1"),
        ("slashes", "slashes", "%2F"),
        ("small bodies", "bodies", "client_max_body_size"),
        ("authorization", "authorization", "drops"),
        ("compresses", "streams", "gzip"),
        ("buffers", "streams", "buffers"),
        ("cuts", "streams", "cut"),
        ("Last-Event-ID", "Last-Event-ID", "does not pass"),
    ],
)
def test_each_fault_is_found(service, fault, subject, word):
    ones = [one for one in found(service(fault)) if one.subject == subject and one.advice]
    assert word in f"{ones[0].text} {ones[0].advice}"


def test_without_a_token_streams_are_not_looked_at(service):
    ones = found(service(token=""), good=False)
    [stream] = [one for one in ones if one.subject == "streams"]
    assert stream.level == Level.SKIPPED
    assert "SILO_TOKEN" in stream.advice


def test_nobody_there_is_a_finding():
    [only] = found(public_url.Service("http://127.0.0.1:1", TOKEN))
    assert only.level == Level.PROBLEM


@pytest.mark.parametrize("url", ["", "silo.example.com", "ftp://a", "https://"])
def test_what_is_no_url(url):
    with pytest.raises(public_url.NoUrl, match=r"silo\.example\.com"):
        public_url.Service(url)


def test_settings_say_where_they_came_from_and_hide_secrets(settings, monkeypatch):
    secret = "s" * 40
    monkeypatch.setenv("SILO_SECRET_KEY", secret)
    monkeypatch.setenv("SILO_HEARTBEAT_SECONDS", "20")
    settings.SERVER = ServerConfig(https=True)
    settings.SESSIONS = SessionsConfig()
    monkeypatch.setenv("DATABASE_URL", "postgresql://silo:hunter2@db/silo")
    parts = {"USER": "silo", "PASSWORD": "hunter2", "HOST": "db", "PORT": "5432", "NAME": "silo"}
    monkeypatch.setitem(settings.DATABASES, "default", settings.DATABASES["default"] | parts)
    values = {one.key: one for one in configuration.values()}
    assert values["server.secret_key"][1:] == (configuration.HIDDEN, "SILO_SECRET_KEY")
    assert values["modules.sessions.heartbeat_seconds"][1:] == ("20.0", "SILO_HEARTBEAT_SECONDS")
    assert values["server.https"][1:] == ("True", "silo.yaml")
    assert values["server.http_lane"].source == "default"
    assert values["database"].shown == "postgresql://silo:(hidden)@db:5432/silo"
    assert not any(text in str(values) for text in (secret, "hunter2"))


def test_a_proxy_without_a_grace_is_warned_of(settings):
    settings.SERVER = ServerConfig(https=True)
    settings.SESSIONS = SessionsConfig()
    assert {"grace", "proxy"} <= bad(configuration.findings())
    settings.SERVER = ServerConfig(https=True, trusted_proxies=["10.0.0.1"])
    settings.SESSIONS = SessionsConfig(disconnect_grace_seconds=15)
    assert not {"grace", "proxy"} & bad(configuration.findings())


def test_findings_are_lines_with_what_to_do():
    ones = [findings.ok("a", "Good."), findings.problem("b", "Bad.", "Mend it.")]
    assert list(findings.lines(ones)) == [
        "ok       a                Good.",
        "PROBLEM  b                Bad.",
        "                          -> Mend it.",
    ]
    assert findings.summary(ones) == "1 problem, no warnings."
    assert ones[1].as_json()["level"] == "problem"
