"""Requests that end in time, whatever the server does: it says nothing, or one byte after the other, for example."""

import socket
import ssl
import threading
import time
from contextlib import ExitStack, closing

import httpcore
import pytest
from httpcore._backends.sync import SyncStream

from silo_client import Api, ServerUnavailableError, within
from silo_client.network import bounded
from silo_client.network.time_limit import TimeLimit, deadline, left, limited, until

SECONDS = 0.3
# On a busy machine.
LATEST = SECONDS + 1.0
ANSWER = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"items": [1]}'
)


@pytest.fixture
def server():
    """A server that answers each connection by a function, in a thread."""
    stopped = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def start(answer):
        def accept():
            while not stopped.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        def serve(connection):
            with connection:
                try:
                    connection.recv(65536)
                    answer(connection, stopped)
                except OSError:
                    pass

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    stopped.set()
    listener.close()


def say_nothing(connection, stopped):
    stopped.wait(60)


def trickle(text):
    """Send a text, and then for ever more, one byte after the other: no pause is long."""

    def answer(connection, stopped):
        for byte in text + b" " * 1000:
            connection.sendall(bytes([byte]))
            if stopped.wait(0.03):
                return

    return answer


@pytest.fixture
def make_api():
    """Make an `Api`, which is closed after the test: an idle connection would be found by a later one."""
    with ExitStack() as closing_all:
        yield lambda *args, **options: closing_all.enter_context(closing(Api(*args, **options)))


@pytest.fixture
def calls_end_in_time(monkeypatch):
    """Check that a call does not return, and ends in time."""

    def check(call):
        begun = time.monotonic()
        with within(SECONDS), pytest.raises(ServerUnavailableError):
            call()
        assert SECONDS - 0.05 < time.monotonic() - begun < LATEST

    return check


@pytest.mark.parametrize(
    "answer",
    [
        say_nothing,
        trickle(b"HTTP/1.1 200 OK\r\nX-Long: "),
        trickle(ANSWER.partition(b"Content-Length")[0] + b"Content-Length: 900\r\n\r\n"),
    ],
    ids=["nothing", "headers", "body"],
)
def test_a_slow_answer_ends_in_time(server, calls_end_in_time, answer, make_api):
    api = make_api(server(answer), "token")
    for _ in range(2):
        calls_end_in_time(api.items)


def test_a_connection_that_was_used_keeps_the_limit(server, calls_end_in_time, make_api):
    def answer_once(connection, stopped):
        connection.sendall(ANSWER)
        connection.recv(65536)
        stopped.wait(60)

    api = make_api(server(answer_once), "token")
    assert api.items() == [1]
    calls_end_in_time(api.items)


def test_the_patience_of_an_api_is_a_limit(server, make_api):
    api = make_api(server(say_nothing), "token", patience=SECONDS)
    begun = time.monotonic()
    with pytest.raises(ServerUnavailableError):
        api.items()
    assert time.monotonic() - begun < LATEST


def test_the_limit_of_a_call_may_be_longer_than_the_patience_of_an_api(server, make_api):
    def answer_late(connection, stopped):
        stopped.wait(2 * SECONDS)
        connection.sendall(ANSWER)

    url = server(answer_late)
    with within(20):
        assert make_api(url, "token", patience=SECONDS).items() == [1]
        answer = make_api(url, "token", patience=SECONDS).call("GET", "/")
    assert answer.json() == {"items": [1]}


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_a_proxy_that_says_nothing_keeps_the_limit(
    server, calls_end_in_time, monkeypatch, kind, make_api
):
    monkeypatch.setenv("ALL_PROXY", server(say_nothing).replace("http", kind))
    calls_end_in_time(make_api("http://silo.example.com", "token").items)
    calls_end_in_time(make_api("https://silo.example.com", "token").items)


def test_a_handshake_that_does_not_come_keeps_the_limit(server, calls_end_in_time, make_api):
    calls_end_in_time(make_api(server(say_nothing).replace("http", "https"), "token").items)


@pytest.mark.parametrize(
    "step",
    [
        lambda stream: stream.read(1),
        lambda stream: stream.write(b"x"),
        lambda stream: stream.start_tls(ssl.create_default_context()),
    ],
    ids=["read", "write", "tls"],
)
def test_a_connection_whose_next_step_comes_too_late_is_closed(step):
    here, there = socket.socketpair()
    with here, there, until(time.monotonic()):
        with pytest.raises(httpcore.TimeoutException):
            step(bounded.BoundedStream(SyncStream(here)))
        assert here.fileno() == -1


def test_a_name_that_is_not_resolved_keeps_the_limit(calls_end_in_time, monkeypatch, make_api):
    hanging = threading.Event()
    monkeypatch.setattr(bounded.socket, "getaddrinfo", lambda *_, **__: hanging.wait(60))
    calls_end_in_time(make_api("http://silo.example.com", "token").items)
    hanging.set()


def test_a_server_that_reads_nothing_keeps_the_limit(calls_end_in_time, make_api):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        calls_end_in_time(lambda: make_api(url, "token").call("POST", "/", "x" * 50_000_000))


def test_nothing_is_sent_once_the_time_is_over(server, make_api):
    asked = []
    api = make_api(server(lambda connection, _: asked.append(connection.sendall(ANSWER))), "token")
    limit = TimeLimit(time.monotonic() + 60)
    limit.end()
    with limited(limit), pytest.raises(ServerUnavailableError):
        api.items()
    assert not asked
    assert api.items() == [1]


def test_limits_lie_within_each_other():
    assert left(5) == 5
    with until(time.monotonic() + 100):
        outer = deadline()
        with within(1):
            assert left() <= 1
            with within(50):
                assert left() <= 1
        assert deadline() == outer
    assert left(5) == 5


# -- addresses --


class Network(httpcore.MockBackend):
    """A network in which only some addresses answer."""

    def __init__(self, *reachable):
        super().__init__([])
        self.reachable = reachable
        self.tried = []

    def connect_tcp(self, host, port, timeout=None, **options):
        self.tried.append((host, timeout))
        if host not in self.reachable:
            raise httpcore.ConnectError(f"{host} refuses")
        return super().connect_tcp(host, port)


@pytest.fixture
def resolved(monkeypatch):
    """Have the name of every host resolve to these."""

    def resolve(*addresses):
        found = [
            (family, socket.SOCK_STREAM, 6, "", address)
            for address in addresses
            for family in [socket.AF_INET6 if ":" in address[0] else socket.AF_INET]
        ]
        monkeypatch.setattr(bounded.socket, "getaddrinfo", lambda *_, **__: found)

    return resolve


def test_each_address_gets_a_share_of_the_time(resolved):
    resolved(("2001:db8::1", 80, 0, 0), ("fe80::1", 80, 0, 3), ("192.0.2.1", 80))
    network = Network("192.0.2.1")
    bounded.BoundedBackend(network).connect_tcp("silo", 80, timeout=6)
    assert [host for host, _ in network.tried] == ["2001:db8::1", "fe80::1%3", "192.0.2.1"]
    assert [round(timeout) for _, timeout in network.tried] == [2, 3, 6]


def test_the_last_failure_is_told(resolved):
    resolved(("192.0.2.1", 80), ("192.0.2.2", 80))
    with pytest.raises(httpcore.ConnectError, match=r"192\.0\.2\.2 refuses"):
        bounded.BoundedBackend(Network()).connect_tcp("silo", 80)


def test_a_literal_address_is_not_resolved(monkeypatch):
    monkeypatch.setattr(bounded.socket, "getaddrinfo", None)
    for host in ("192.0.2.1", "2001:db8::1", "fe80::1%eth0"):
        network = Network(host)
        bounded.BoundedBackend(network).connect_tcp(host, 80)
        assert network.tried == [(host, None)]


def test_no_new_thread_is_needed_at_the_end_of_a_program(resolved, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    resolved(("192.0.2.1", 80))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    bounded.BoundedBackend(Network("192.0.2.1")).connect_tcp("silo", 80)
