"""`manage.py serve` as a process: its start, its stop, its signals."""

import signal
import socket
from urllib.parse import urlsplit

import httpx

from tests.processes.service import Serve


def half_sent_request(server: Serve) -> socket.socket:
    address = urlsplit(server.url)
    half = socket.create_connection((address.hostname, address.port))
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


def test_a_busy_port_is_one_sentence(serve, processes):
    import sys

    from tests.processes.service import Process, environment

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
