"""`manage.py serve` as a process: its start, its stop, its signals."""

import functools
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pytest
from django.db import transaction

from events_app.models import ServerProcess
from sessions_app.models import Item
from tests.factories import make_item
from tests.processes.connections import connect
from tests.processes.service import Process, Serve, environment
from tests.system import waits_to_write
from tests.waiting import PATIENCE_SECONDS, eventually, waiting_for_locks

pytestmark = pytest.mark.cold


def half_sent_request(server: Serve) -> socket.socket:
    half = connect(server)
    half.sendall(b"POST /api/items HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
    return half


def test_ready_tells_what_works(serve):
    answer = httpx.get(f"{serve().url}/ready").json()
    assert answer == {"status": "ready", "database": "ok", "relay": "ok", "sse_clients": 0}


def test_sigterm_ends_it_within_two_seconds_also_with_half_sent_requests(serve, client_of):
    server = serve()
    ada = client_of(server)
    streams = [ada.stream(workstation_id=ada.workstation()) for _ in range(2)]
    with half_sent_request(server), half_sent_request(server):
        server.signal(signal.SIGTERM)
        assert server.wait(within=2) == 0
    for stream in streams:
        stream.line("closed")
    assert "Traceback" not in server.output


def test_ctrl_c_ends_it_too(serve):
    server = serve()
    server.signal(signal.SIGINT)
    assert server.wait(within=2) == 0


def test_a_signal_is_heard_while_nobody_takes_the_line_that_it_listens(processes):
    reading, writing = full_pipe()
    with open(reading, "rb") as output:
        with open(writing, "wb") as full:
            command = (sys.executable, "-W", "error", "manage.py", "serve", "--port", "0")
            server = subprocess.Popen(command, env=environment(), stdout=full)
        processes.enter_context(server)
        processes.callback(server.kill)
        eventually(lambda: waits_to_write(server.pid), "that nobody takes the line")
        server.send_signal(signal.SIGTERM)
        assert any(line.startswith(b"Listening on") for line in output)
        assert server.wait(PATIENCE_SECONDS) == 0


def full_pipe() -> tuple[int, int]:
    """Return both ends of a pipe into which nothing more can be written until somebody reads."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"\n" * select.PIPE_BUF)
    os.set_blocking(writing, True)
    return reading, writing


def test_a_busy_port_is_one_sentence(serve, processes):
    port = urlsplit(serve().url).port
    second = Process(sys.executable, "manage.py", "serve", "--port", str(port), env=environment())
    processes.callback(second.close)
    assert second.wait() == 1
    assert "Cannot listen on" in second.output
    assert "Traceback" not in second.output


def test_comment_lines_keep_an_idle_stream_going(serve, client_of):
    ada = client_of(serve(SILO_HEARTBEAT_SECONDS="30", SILO_SESSION_TIMEOUT_MINUTES="15"))
    stream = ada.stream(all="true")
    stream.event("comment", within=10)


class Caller(threading.Thread):
    """A client that asks without a pause, by one connection as long as that is kept open."""

    def __init__(self, client, path):
        super().__init__(daemon=True)
        self.answers, self.errors = [], []
        self._url = client.server.url + path
        self._headers = {"Authorization": f"Bearer {client.token}"}
        self._end = threading.Event()
        self.start()

    def run(self):
        with httpx.Client(headers=self._headers) as http:
            while not self._end.is_set():
                try:
                    self.answers.append(http.get(self._url))
                    self.answered_at = time.monotonic()
                except httpx.TransportError as error:
                    self.errors.append(error)

    def close(self):
        self._end.set()
        self.join()


@pytest.mark.parametrize(
    ("callers", "path"),
    [(1, "/api/items?limit=1"), (6, "/api/items"), (6, "/health"), (1, "/ready")],
)
def test_sigterm_ends_it_within_two_seconds_also_with_clients_that_never_pause(
    serve, client_of, processes, path, callers
):
    server = serve()
    ada = client_of(server)
    busy = [Caller(ada, path) for _ in range(callers)]
    for caller in busy:
        processes.callback(caller.close)
    eventually(lambda: all(len(caller.answers) > 5 for caller in busy))
    server.signal(signal.SIGTERM)
    stopping_at = time.monotonic() + 0.2
    assert server.wait(within=2) == 0
    for text in ("exiting without waiting", "Traceback"):
        assert text not in server.output
    for caller in busy:
        caller.close()
        assert {answer.status_code for answer in caller.answers} <= {200, 503}
        # One at most was connecting in that moment, or between two requests when the last was answered.
        others = [one for one in caller.errors if not isinstance(one, httpx.ConnectError)]
        assert len(others) <= 1, others
        # Nor is anything said to a client whose connection was closed between two requests, as the stop began.
        said = caller.answers[-1].headers.get("Connection") == "close"
        assert others or said or caller.answered_at < stopping_at


class Acquire(threading.Thread):
    """A request in a thread of its own."""

    def __init__(self, client, part_number):
        super().__init__(daemon=True)
        self.answer = None
        self._acquire = functools.partial(client.acquire, part_number, client.workstation())
        self.start()

    def run(self):
        with suppress(httpx.TransportError):
            self.answer = self._acquire()


@contextmanager
def a_waiting_request(client):
    """It waits for a lock, inside of the block."""
    item = make_item()
    with transaction.atomic():
        Item.objects.lock([item.pk])
        acquire = Acquire(client, item.part_number)
        eventually(waiting_for_locks)
        yield acquire
    acquire.join()


def test_a_request_that_takes_longer_than_the_rest_of_the_stop_is_answered(serve, client_of):
    ada = client_of(server := serve())
    with a_waiting_request(ada) as acquire:
        server.signal(signal.SIGTERM)
        eventually(lambda: not ServerProcess.objects.exists())
    assert acquire.answer.status_code == 200
    assert acquire.answer.headers["connection"] == "close"
    assert server.wait(within=2) == 0


def test_one_that_takes_too_long_does_not_keep_it(serve, client_of):
    ada = client_of(server := serve())
    with a_waiting_request(ada) as acquire:
        server.signal(signal.SIGTERM)
        assert server.wait(within=2) == 0
    assert acquire.answer is None
    assert "exiting without waiting" in server.output
