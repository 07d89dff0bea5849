"""What becomes of a request of the lane, compared with one that Daphne has."""

import asyncio
import errno
import logging
from types import SimpleNamespace
from typing import Any

import daphne.server
import pytest
from daphne.http_protocol import HTTPFactory
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from events_app.fairness.request_gate import ABORT
from events_app.http import peers
from events_app.http.connection_clock import Phase
from events_app.http.daphne_server import EventServer
from events_app.http.sending import send_now
from silo.hot_calls import HOT_CALLS
from tests.unit.lane_channels import TURNS, Connection, run, turns
from tests.unit.transport import Transport

HEAD = b"POST /api/items/P-1/edit-sessions HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
REQUEST = HEAD + b"{}"
OK = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY = {"type": "http.response.body", "body": b"ok"}

ways = pytest.mark.parametrize("with_lane", [True, False], ids=["lane", "daphne"])


class Slow:
    """An application that answers when the test says so, and keeps the messages that it received."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.cancelled = False
        self.may_answer = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.messages.append(await receive())
        leaving = asyncio.create_task(receive())
        try:
            answering = asyncio.create_task(self.may_answer.wait())
            await asyncio.wait({leaving, answering}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                self.messages.append(leaving.result())
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            leaving.cancel()
            answering.cancel()
        await send(OK)
        await send(BODY)
        self.messages.append(await receive())


async def connected(application: Any, with_lane: bool, *pieces: bytes) -> Connection:
    connection = Connection(with_lane, application)
    await connection.send(pieces or (REQUEST,))
    return connection


@ways
def test_the_connection_is_being_answered_until_it_is(with_lane):
    async def send():
        application = Slow()
        connection = await connected(application, with_lane)
        assert connection.channel._phase is Phase.ANSWERED
        assert len(connection.server.connections) == 1
        application.may_answer.set()
        await turns(TURNS)
        assert connection.answers.endswith(b"\r\n\r\nok")
        assert connection.channel._phase is Phase.IDLE
        assert [message["type"] for message in application.messages] == [
            "http.request",
            "http.disconnect",
        ]

    run(send)


@ways
def test_a_client_that_leaves_is_told_to_the_application(with_lane, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(daphne.server, "reactor", clock)
    now = [1000.0]
    monkeypatch.setattr(daphne.server.time, "time", lambda: now[0])

    async def send():
        application = Slow()
        connection = await connected(application, with_lane)
        connection.channel.connectionLost(Failure(ConnectionDone()))
        await turns(TURNS)
        assert application.messages[-1] == {"type": "http.disconnect"}
        connection.server.application_checker()
        await turns(TURNS)
        assert not application.cancelled, "it has some seconds to end"
        now[0] += 11
        connection.server.application_checker()
        await turns(TURNS)
        assert application.cancelled
        clock.advance(1)
        assert connection.server.connections == {}
        assert connection.answers == b""

    run(send)


@ways
def test_an_application_that_answers_a_client_that_has_left_answers_nobody(with_lane):
    async def send():
        application = Slow()
        connection = await connected(application, with_lane)
        connection.channel.connectionLost(Failure(ConnectionDone()))
        application.may_answer.set()
        await turns(TURNS)
        assert connection.answers == b""

    run(send)


@ways
def test_a_client_that_ends_its_side_still_gets_its_answer(with_lane, monkeypatch):
    monkeypatch.setattr(peers, "failed", lambda transport: False)
    monkeypatch.setattr(peers, "unacknowledged", lambda transport: 0)

    async def send():
        application = Slow()
        connection = await connected(application, with_lane)
        connection.channel.readConnectionLost()
        assert connection.answers == b"HTTP/1.1 102 Processing\r\n\r\n"
        assert not connection.transport.disconnecting
        application.may_answer.set()
        await turns(TURNS)
        assert b"HTTP/1.1 200 OK\r\nConnection: close\r\n" in connection.answers
        assert connection.transport.disconnecting

    run(send)


@ways
@pytest.mark.parametrize("sent", [b"", HEAD[:20], HEAD, HEAD + b"{"])
def test_a_client_that_ends_its_side_before_its_request_is_here_is_closed(with_lane, sent):
    async def send():
        connection = Connection(with_lane)
        if sent:
            connection.receive(sent)
        connection.channel.readConnectionLost()
        assert connection.transport.disconnecting
        assert connection.application.asked == []

    run(send)


@ways
def test_an_application_may_cut_the_connection(with_lane):
    async def cutting(scope, receive, send):
        await send({"type": ABORT})

    async def send():
        connection = await connected(cutting, with_lane)
        assert connection.transport.aborted

    run(send)


@ways
def test_an_application_that_fails_is_answered_for(with_lane, monkeypatch, caplog):
    monkeypatch.setattr(daphne.server, "reactor", Clock())

    async def failing(scope, receive, send):
        await receive()
        raise RuntimeError("no")

    async def send():
        connection = await connected(failing, with_lane)
        connection.server.application_checker()
        head, _, body = connection.answers.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert body == b'{"error": "internal_error", "message": "Exception inside application."}'
        return head

    with caplog.at_level(logging.ERROR):
        run(send)
    assert "Exception inside application: no" in caplog.text


@pytest.mark.parametrize("begun", [False, True])
def test_an_application_that_ends_without_an_answer_is_answered_for(begun, caplog):
    """Daphne would leave the client without any."""

    async def silent(scope, receive, send):
        if begun:
            await send(OK)

    async def send():
        connection = await connected(silent, True)
        assert connection.answers.startswith(b"HTTP/1.1 500 ")
        assert connection.answers.count(b"HTTP/1.1") == 1

    run(send)
    assert "ended without an answer" in caplog.text


@pytest.mark.parametrize(
    "messages", [[BODY], [OK, OK], [{"type": "what"}], [{**OK, "headers": [("a", "b")]}]]
)
def test_an_answer_that_is_none_is_an_error(messages, caplog):
    async def wrong(scope, receive, send):
        for message in messages:
            await send(message)

    async def send():
        connection = await connected(wrong, True)
        assert connection.answers.startswith(b"HTTP/1.1 500 ")

    run(send)


@ways
@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_server_that_stops_ends_each_connection_with_its_answer(with_lane, meanwhile):
    async def send():
        application = Slow()
        connection = Connection(with_lane, application)
        if meanwhile:
            await connection.send([REQUEST])
        connection.server._ports = []
        connection.server.drain()
        if not meanwhile:
            await connection.send([HEAD])
            await connection.send([b"{}"])
        application.may_answer.set()
        await turns(TURNS)
        assert connection.answers.startswith(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
        assert connection.transport.disconnecting

    run(send)


@ways
def test_a_server_that_stops_does_not_leave_applications_behind(with_lane):
    async def send():
        application = Slow()
        connection = await connected(application, with_lane)
        await connection.server.kill_all_applications().asFuture(asyncio.get_running_loop())
        assert application.cancelled
        assert connection.answers == b""

    run(send)


@ways
def test_a_body_that_never_comes_is_refused_in_time(with_lane):
    async def send():
        connection = Connection(with_lane)
        connection.receive(HEAD)
        assert connection.channel._phase is Phase.BODY
        await turns(TURNS)
        connection.channel.timeoutConnection()
        return connection.answers

    assert run(send, keep=0).startswith(b"HTTP/1.1 408 ")


def test_what_was_kept_goes_with_its_connection():
    async def send():
        connection = Connection(True)
        connection.receive(HEAD)
        connection.channel.connectionLost(Failure(ConnectionDone()))
        await asyncio.sleep(0.01)
        assert connection.channel._kept is None
        assert connection.channel.requests == []

    run(send, keep=0.001)


@ways
def test_a_client_that_has_not_read_its_answer_is_not_asked_for_more(with_lane):
    """While the last answer waits to be sent, Twisted decides what is read."""

    async def send():
        connection = Connection(with_lane)
        connection.channel.pauseProducing()
        await connection.send([REQUEST])
        assert connection.application.asked
        assert connection.transport.producerState == "paused"

    run(send)


@pytest.mark.parametrize(("setting", "hot_calls"), [(True, HOT_CALLS), (False, None)])
def test_a_setting_switches_the_lane_off(setting, hot_calls, settings):
    settings.EVENTS_HTTP_LANE = setting
    listening: Any = SimpleNamespace(detach=lambda: 0)
    server = EventServer(listening)
    server.http_factory = HTTPFactory(server)
    server.listen_success(SimpleNamespace())
    channel: Any = server.http_factory.buildProtocol(None)
    assert channel.hot_calls is hot_calls


class Socket:
    """One whose kernel has so much room."""

    def __init__(self, room: int, fault: OSError | None = None) -> None:
        self.room = room
        self.sent = b""
        self.fault = fault

    def send(self, data: bytes) -> int:
        if self.fault or not self.room:
            raise self.fault or BlockingIOError(errno.EAGAIN, "")
        taken, self.room = min(self.room, len(data)), max(0, self.room - len(data))
        self.sent += data[:taken]
        return taken


@pytest.mark.parametrize(("room", "at_once"), [(100, b"answer"), (2, b"an"), (0, b"")])
def test_what_the_kernel_does_not_take_is_twisteds_to_send(room, at_once):
    transport: Any = Transport()
    transport.socket = Socket(room)
    send_now(transport, b"answer")
    assert transport.socket.sent == at_once
    assert transport.value() == b"answer".removeprefix(at_once)


def test_an_answer_never_overtakes_what_waits_to_be_sent():
    transport: Any = Transport()
    transport.socket = Socket(100)
    transport.dataBuffer = b"before"
    send_now(transport, b"answer")
    assert transport.socket.sent == b""
    assert transport.value() == b"answer"


def test_a_broken_connection_is_twisteds_to_notice():
    transport: Any = Transport()
    transport.socket = Socket(100, BrokenPipeError())
    send_now(transport, b"answer")
    assert transport.value() == b"answer"
