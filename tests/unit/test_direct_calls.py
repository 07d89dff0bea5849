"""Direct calls of the lane: answered without a task, and as an application answers them."""

import asyncio
import logging
import uuid
from types import SimpleNamespace

import pytest
from channels.routing import URLRouter
from django.urls import re_path
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from events_app.fairness import callers, request_gate
from events_app.http import peers
from events_app.http.connection_clock import Phase
from events_app.presence.backend import StreamRefused
from events_app.serving import alive, runtime
from silo.asgi import ALIVE
from silo.stream_answers import as_djangos, completed
from tests.unit.lane_channels import TURNS, Connection, Echo, run, turns

WORKSTATION = str(uuid.uuid4())
LINE = f"POST /api/workstations/{WORKSTATION}/alive HTTP/1.1\r\n".encode()
HOST = b"Host: localhost\r\n"
BEARER = b"Authorization: Bearer silo_x\r\n"
REFUSED = StreamRefused(409, "not_connected", "This event stream has ended.", further=1)


def post(fields=HOST + BEARER, body=b"{}", line=LINE):
    return line + fields + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


class Direct:
    """Direct calls that take what they are given and answer when the test says so."""

    def __init__(self, takes=True):
        self.takes = takes
        self.asked = []
        self.left = []

    def __call__(self, read, request):
        self.asked.append((read.target, read.body, request))
        request.when_left(lambda: self.left.append(request))
        return self.takes

    def answer(self, body=b"ok"):
        headers = ((b"content-length", b"%d" % len(body)),)
        self.asked[-1][-1].answer(200, headers, body)


async def asked(direct, *pieces):
    connection = Connection(True)
    connection.server.direct_calls = direct
    await connection.send(pieces or (post(),))
    return connection


def test_a_direct_call_is_answered_without_an_application():
    async def send():
        direct = Direct()
        connection = await asked(direct)
        assert connection.channel._phase is Phase.ANSWERED
        assert len(connection.server.connections) == 1
        direct.answer()
        assert connection.answers == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        assert connection.channel._phase is Phase.IDLE
        assert connection.server.connections == {}
        await connection.send([post(body=b'{"idle_seconds": 1}')])
        direct.answer()
        assert connection.answers.count(b"200 OK") == 2
        assert [body for _, body, _ in direct.asked] == [b"{}", b'{"idle_seconds": 1}']
        assert connection.application.asked == []
        assert direct.left == []

    run(send)


def test_what_direct_calls_do_not_take_is_the_applications():
    async def send():
        connection = await asked(Direct(takes=False))
        assert [body for _, body in connection.application.asked] == [b"{}"]
        assert b"422" in connection.answers
        assert connection.server.connections == {}

    run(send)


def test_a_direct_call_that_is_handed_on_is_the_applications():
    async def send():
        direct = Direct()
        before = request_gate.in_flight
        connection = await asked(direct)
        assert request_gate.in_flight == before + 1
        direct.asked[-1][-1].hand_on()
        await turns(TURNS)
        assert [body for _, body in connection.application.asked] == [b"{}"]
        assert b"422" in connection.answers
        assert connection.server.connections == {}
        assert direct.left == []
        assert request_gate.in_flight == before

    run(send)


def test_a_direct_call_whose_client_has_left_is_not_handed_on():
    async def send():
        direct = Direct()
        connection = await asked(direct)
        connection.channel.connectionLost(Failure(ConnectionDone()))
        direct.asked[-1][-1].hand_on()
        await turns(TURNS)
        assert connection.application.asked == []

    run(send)


def test_the_next_request_waits_for_the_answer():
    async def send():
        direct = Direct()
        connection = await asked(direct, post(), post(body=b""))
        assert len(direct.asked) == 1
        direct.answer()
        await turns(TURNS)
        assert [body for _, body, _ in direct.asked] == [b"{}", b""]
        direct.answer()
        assert connection.answers.count(b"200 OK") == 2

    run(send)


def test_a_direct_call_learns_that_its_client_has_left():
    async def send():
        direct = Direct()
        connection = await asked(direct)
        connection.channel.connectionLost(Failure(ConnectionDone()))
        assert direct.left == [direct.asked[0][-1]]
        assert connection.server.connections == {}
        direct.answer()
        assert connection.answers == b""

    run(send)


def test_a_client_that_ends_its_side_gets_the_answer_of_a_direct_call(monkeypatch):
    monkeypatch.setattr(peers, "failed", lambda transport: False)
    monkeypatch.setattr(peers, "unacknowledged", lambda transport: 0)

    async def send():
        direct = Direct()
        connection = await asked(direct)
        connection.channel.readConnectionLost()
        direct.answer()
        assert b"\r\nConnection: close\r\n" in connection.answers
        assert connection.answers.endswith(b"\r\n\r\nok")

    run(send)


def test_a_server_that_stops_ends_the_connection_with_the_answer_of_a_direct_call():
    async def send():
        direct = Direct()
        connection = await asked(direct)
        connection.server._ports = []
        connection.server.drain()
        direct.answer()
        assert b"\r\nConnection: close\r\n" in connection.answers
        assert connection.transport.disconnecting

    run(send)


def test_a_direct_call_that_fails_is_answered_for(caplog):
    def fails(read, request):
        raise ValueError("a bug")

    async def send():
        with caplog.at_level(logging.ERROR):
            connection = await asked(fails)
        assert connection.answers.startswith(b"HTTP/1.1 500 ")
        assert connection.server.connections == {}
        assert "a bug" in caplog.text

    run(send)


# -- alive --


class Presence:
    """Takes alive requests; each has this verdict, a moment later."""

    def __init__(self, verdict):
        self.verdict = verdict
        self.taken = []

    @property
    def alive_requests(self):
        return self

    def take(self, request):
        said = request.key, request.connection_id, request.said
        self.taken.append((*said, request.http.headers["Authorization"]))
        answer = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(self._decide, answer)
        return answer

    def _decide(self, answer):
        if self.verdict != "never" and not answer.done():
            answer.set_result(self.verdict)


@pytest.fixture
def presence_with(monkeypatch):
    def use(verdict):
        presence = Presence(verdict)
        monkeypatch.setattr(runtime, "current", lambda: SimpleNamespace(presence=presence))
        return presence

    return use


async def called(request, directly):
    """Send a request, and return its connection and the direct calls that were taken."""
    signs_of_life = request_gate.counted(alive.application(as_djangos, otherwise=Echo()))
    connection = Connection(True, URLRouter([re_path(ALIVE, signs_of_life), re_path("", Echo())]))
    took = []
    if directly:
        calls = alive.direct_calls(ALIVE, completed)

        def take(*call):
            took.append(calls(*call))
            return took[-1]

        connection.server.direct_calls = take
    await connection.send([request])
    return connection, took


USUAL = {
    "empty object": post(),
    "no body": LINE + HOST + BEARER + b"\r\n",
    "a stream": post(body=b'{"connection_id": "%s"}' % WORKSTATION.encode()),
    "idle": post(body=b'{"idle_seconds": 3.5, "connection_id": null}'),
    "bearer in other letters": post(HOST + b"authorization: bEARER  silo_x\r\n"),
    "another host that is allowed": post(b"Host: 127.0.0.1:80\r\n" + BEARER),
    "through a proxy": post(HOST + BEARER + b"X-Forwarded-For: 10.0.0.1\r\nAccept: */*\r\n"),
}
UNUSUAL = {
    "a host that is not allowed": post(b"Host: evil.example\r\n" + BEARER),
    "a cookie": post(HOST + BEARER + b"Cookie: a=b\r\n"),
    "no credentials": post(HOST),
    "no token in it": post(HOST + b"Authorization: Bearer\r\n"),
    "other credentials": post(HOST + b"Authorization: Basic YTpi\r\n"),
    "no JSON": post(body=b"{"),
    "unknown member": post(body=b'{"idle": 1}'),
    "no object": post(body=b"null"),
    "negative": post(body=b'{"idle_seconds": -1}'),
    "no workstation": post(line=LINE.replace(WORKSTATION.encode(), b"5")),
    "another call": post(line=b"POST /api/edit-sessions/batch HTTP/1.1\r\n"),
}


@pytest.mark.parametrize("verdict", [None, REFUSED], ids=["done", "refused"])
@pytest.mark.parametrize(
    ("request_", "is_usual"),
    [(one, some is USUAL) for some in (USUAL, UNUSUAL) for one in some.values()],
    ids=[*USUAL, *UNUSUAL],
)
def test_alive_is_answered_as_by_its_application(presence_with, request_, is_usual, verdict):
    async def send():
        outcomes = []
        for directly in (True, False):
            presence = presence_with(verdict)
            in_flight = request_gate.in_flight
            connection, took = await called(request_, directly)
            assert took == ([is_usual] if directly else [])
            assert connection.answers
            assert request_gate.in_flight == in_flight
            outcomes.append((connection.answers, presence.taken))
        assert outcomes[0] == outcomes[1]

    run(send)


def test_a_page_of_another_origin_is_answered_alike(presence_with):
    request = post(HOST + BEARER + b"Origin: http://other.example\r\n")

    async def send():
        answers = set()
        for directly in (True, False):
            presence_with(None)
            connection, _ = await called(request, directly)
            answers.add(connection.answers)
        assert len(answers) == 1

    run(send)


def test_a_waiting_direct_call_is_in_flight_until_its_client_leaves(presence_with):
    async def send():
        presence_with("never")
        before = request_gate.in_flight
        connection, took = await called(post(), directly=True)
        assert took == [True]
        assert request_gate.in_flight == before + 1
        connection.channel.connectionLost(Failure(ConnectionDone()))
        assert request_gate.in_flight == before

    run(send)


def test_an_accepted_direct_call_renews_known_credentials(presence_with, monkeypatch):
    renewed = []
    monkeypatch.setattr(callers.known_credentials, "renew", renewed.append)

    async def send():
        for verdict in (None, REFUSED):
            presence_with(verdict)
            await called(post(), directly=True)

    run(send)
    scope = {"headers": [(b"authorization", b"Bearer silo_x")]}
    assert renewed == [callers.credentials(scope)]
