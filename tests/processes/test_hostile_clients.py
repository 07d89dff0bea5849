"""What clients may do to a server that others depend on."""

import json
from contextlib import ExitStack, suppress

import httpx
import pytest
from django.db.models.functions import Now

from sessions_app.models import ApiToken, Item
from tests.processes.connections import connect, fill_log, get, split, until_closed
from tests.system import megabytes
from tests.waiting import eventually

MEGABYTE = 1024 * 1024


def test_a_body_that_announces_to_be_too_large_is_refused_before_it_is_sent(serve):
    with connect(server := serve()) as connection:
        head = f"POST /api/items HTTP/1.1\r\nHost: localhost\r\nContent-Length: {300 * MEGABYTE}"
        connection.sendall(head.encode() + b"\r\n\r\n{")
        status, _, body = split(until_closed(connection))
    assert (status, json.loads(body)["error"]) == (413, "body_too_large")
    assert httpx.get(f"{server.url}/health").status_code == 200


@pytest.mark.cold
def test_a_chunked_body_is_refused_when_it_has_become_too_large(serve):
    server = serve()
    before = megabytes(server.pid)
    with connect(server) as connection:
        head = b"POST /api/items HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head)
        chunk = b"%x\r\n%s\r\n" % (MEGABYTE, b" " * MEGABYTE)
        with pytest.raises(ConnectionError):
            connection.sendall(chunk * 100)
    assert megabytes(server.pid) < before + 60
    assert httpx.get(f"{server.url}/health").status_code == 200
    assert "Traceback" not in server.output


@pytest.mark.parametrize(
    ("path", "most"),
    [("/api/items", 64 * 1024), ("/api/edit-sessions/batch", 8 * MEGABYTE)],
)
def test_a_body_is_read_up_to_the_limit_of_its_operation(serve, client_of, path, most):
    ada = client_of(serve())
    around = len(json.dumps({"x": ""}, separators=(",", ":")))
    assert ada.call("POST", path, {"x": "y" * (most - around)}).status_code == 422
    answer = ada.call("POST", path, {"x": "y" * (most - around + 1)})
    assert (answer.status_code, answer.json()["error"]) == (413, "body_too_large")
    assert f" {most >> 10} kB." in answer.json()["message"].replace("8 MB", "8192 kB")


def test_a_sign_of_life_has_a_body_of_two_numbers(serve, client_of):
    ada = client_of(serve())
    alive = f"/api/workstations/{ada.workstation()}/alive"
    answer = ada.call("POST", alive, {"x": "y" * 5000})
    assert (answer.status_code, answer.json()["error"]) == (413, "body_too_large")
    assert "4 kB" in answer.json()["message"]


@pytest.mark.cold
def test_a_client_that_does_not_read_costs_no_memory_and_does_not_delay_the_stop(serve, client_of):
    server = serve()
    ada = client_of(server)
    fill_log(60_000)
    opening = ada.stream(all="true").event("stream-open")
    epoch = opening["id"].split("-")[0]
    before = megabytes(server.pid)
    with connect(server) as connection:
        connection.sendall(get(ada, f"/api/events?all=true&last_event_id={epoch}-0"))
        eventually(lambda: server.sse_clients() == 2)
        # The others go on, and the replay of 60 MB waits for its reader.
        watching = ada.stream(all="true")
        beats = len(watching.named("heartbeat"))
        eventually(lambda: len(watching.named("heartbeat")) >= beats + 3)
        assert megabytes(server.pid) < before + 30
        server.signal(15)
        assert server.wait(within=2) == 0
    assert "Traceback" not in server.output


def test_a_slow_reader_gets_everything_in_the_end(serve, client_of):
    server = serve()
    ada = client_of(server)
    count = 20_000
    fill_log(count)
    epoch = ada.stream(all="true").event("stream-open")["id"].split("-")[0]
    late = ada.stream(all="true", last_event_id=f"{epoch}-0")
    eventually(lambda: len(late.named("edit.test")) == count)
    ids = [int(event["id"].split("-")[1]) for event in late.named("edit.test")]
    assert ids == sorted(set(ids))


def test_a_websocket_is_refused_quietly(serve):
    with connect(server := serve()) as connection:
        connection.sendall(
            b"GET /api/events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert b" 403 " in connection.recv(1000)
    assert "Traceback" not in server.output


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/events", "GET, HEAD, POST"),
        ("PUT", "/api/events", "GET, HEAD, POST"),
        ("POST", "/api/items/A/events", "GET, HEAD"),
    ],
)
def test_a_stream_is_only_read_with_what_its_address_knows(serve, client_of, method, path, allowed):
    answer = client_of(serve()).call(method, path)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("cursor", ["garbage", "abc-1", "%00", "0", "x" * 4000])
def test_a_cursor_that_cannot_be_continued_is_answered_with_a_reset(serve, client_of, cursor):
    stream = client_of(serve()).stream(all="true", last_event_id=cursor)
    opening, reset = stream.event("stream-open"), stream.event("stream-reset")
    assert opening["id"] == "reset"
    assert reset["id"].count("-") == 1


def test_clients_that_do_not_read_their_answers_do_not_keep_others_waiting(serve, client_of):
    server = serve()
    ada = client_of(server)
    Item.objects.bulk_create(
        Item(part_number=f"N-{n:05}", description="x" * 900) for n in range(1000)
    )
    request = get(ada, "/api/items?limit=1000")
    with ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(connect(server)).sendall(request * 5)
        ready = httpx.get(f"{server.url}/ready", timeout=15)
        assert ready.status_code == 200


def test_a_stalled_stream_that_the_server_closes_is_cut_off(serve, client_of):
    """Left open and mute it would look alive to its client."""
    server = serve()
    ada = client_of(server)
    fill_log(30_000)
    epoch = ada.stream(all="true").event("stream-open")["id"].split("-")[0]
    with connect(server) as connection:
        connection.sendall(get(ada, f"/api/events?all=true&last_event_id={epoch}-0"))
        eventually(lambda: server.sse_clients() == 2)
        ApiToken.objects.update(revoked_at=Now())
        eventually(lambda: server.sse_clients() == 0)
        # To the end of the answer, or a reset; the socket's time-out would be the failure.
        received = b""
        with suppress(ConnectionError):
            while not received.endswith(b"0\r\n\r\n"):
                part = connection.recv(1 << 20)
                received = received[-5:] + part
                if not part:
                    break
