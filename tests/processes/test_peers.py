"""What a server knows of a client whose connection is half closed, dead or silent, and whom it lets in beside it."""

import json
import select
import socket
import time
from contextlib import ExitStack
from threading import Thread

import pytest

from events_app.presence.stream_limits import MAX_STREAMS_PER_KEY
from sessions_app.models import EditSession
from tests.processes.connections import address_of, connect, fill_log, get, is_stuck, until_closed
from tests.waiting import PATIENCE_SECONDS, eventually

# Of a kilobyte each: more than the buffers of both sides hold.
ENTRIES = 6_000


class RawStream:
    """A stream on a plain socket: nothing of it is read but by `read_until`."""

    def __init__(self, client, query, *, half_close=False, buffer=None, through=None):
        self.socket = connect(through.getsockname() if through else client.server, buffer)
        self.socket.sendall(get(client, f"/api/events?{query}"))
        self.text = b""
        if half_close:
            self.socket.shutdown(socket.SHUT_WR)

    def read_until(self, text, times=1):
        """Read until this has come so often; return all that has come."""
        while self.text.count(text) < times:
            part = self.socket.recv(65536)
            assert part, self.text
            self.text += part
        return self.text

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


@pytest.mark.parametrize("at_once", [True, False], ids=["with the request", "later"])
def test_a_half_close_is_no_departure(serve, client_of, part, at_once):
    ada = client_of(serve())
    workstation = ada.workstation()
    with RawStream(ada, f"workstation_id={workstation}", half_close=at_once) as stream:
        stream.read_until(b"event: heartbeat\n")
        ada.acquire(part, workstation)
        if not at_once:
            stream.socket.shutdown(socket.SHUT_WR)
        stream.read_until(b"event: heartbeat\n", times=4)
        assert len(ada.held(part)) == 1
    # A client that dies after its half-close is noticed at the next line.
    eventually(lambda: ada.held(part) == [])


def test_a_client_that_reads_its_answer_after_a_half_close_gets_it(serve, client_of):
    ada = client_of(serve())
    with connect(ada.server) as connection:
        connection.sendall(get(ada, "/api/items"))
        connection.shutdown(socket.SHUT_WR)
        text = until_closed(connection)
    assert b"HTTP/1.1 200 OK\r\n" in text
    assert json.loads(text.rpartition(b"\r\n\r\n")[2])["items"] == []


def test_so_does_a_client_that_is_refused(serve):
    with connect(serve()) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert until_closed(connection).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_is_gone_is_noticed_at_once_although_it_only_says_that_it_sends_no_more(
    serve, client_of, part
):
    """A kernel says the same (FIN) for a process that has died and for one that has ended its side."""
    # Nothing else is written for long.
    ada = client_of(serve(SILO_HEARTBEAT_SECONDS="5", SILO_DEAD_PEER_SECONDS="45"))
    workstation = ada.workstation()
    with RawStream(ada, f"workstation_id={workstation}") as stream:
        stream.read_until(b"keep-alive")
        ada.acquire(part, workstation)
        stream.socket.setblocking(False)
        # Nothing unread: the kernel would send a reset instead.
        eventually(lambda: _is_drained(stream.socket))
    begun = time.monotonic()
    eventually(lambda: ada.server.sse_clients() == 0)
    assert time.monotonic() - begun < 1
    eventually(lambda: ada.held(part) == [])


def test_so_it_is_through_a_proxy_that_passes_the_end_of_one_side_on(serve, client_of, part):
    """As proxies of TCP and tunnels do; it is the proxy that acknowledges then."""
    ada = client_of(serve(SILO_HEARTBEAT_SECONDS="5", SILO_DEAD_PEER_SECONDS="45"))
    workstation = ada.workstation()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        passing = Thread(target=_pass_one, args=(listening, address_of(ada.server)))
        passing.start()
        with RawStream(ada, f"workstation_id={workstation}", through=listening) as stream:
            stream.read_until(b"keep-alive")
            ada.acquire(part, workstation)
            stream.socket.setblocking(False)
            eventually(lambda: _is_drained(stream.socket))
        begun = time.monotonic()
        eventually(lambda: ada.held(part) == [])
        assert time.monotonic() - begun < 3
        passing.join(PATIENCE_SECONDS)
    assert not passing.is_alive()


def _pass_one(listening, address):
    """Pass on what comes on one connection, the end of each side by itself, until one fails."""
    client, _ = listening.accept()
    with client, socket.create_connection(address) as server:
        other = {client: server, server: client}
        reading = set(other)
        while reading:
            for side in select.select(list(reading), [], [])[0]:
                try:
                    if part := side.recv(65536):
                        other[side].sendall(part)
                    else:
                        reading.remove(side)
                        other[side].shutdown(socket.SHUT_WR)
                except OSError:
                    return


def _is_drained(connection):
    try:
        connection.recv(65536)
    except BlockingIOError:
        return True
    return False


def test_a_ninth_window_is_refused_and_the_others_stay(serve, client_of):
    ada = client_of(serve())
    workstation = ada.workstation()
    streams = [ada.stream(workstation_id=workstation) for _ in range(MAX_STREAMS_PER_KEY)]
    refused = ada.call("GET", f"/api/events?workstation_id={workstation}")
    assert (refused.status_code, refused.json()["error"]) == (429, "too_many_streams")
    assert int(refused.headers["Retry-After"]) >= 1
    assert ada.server.sse_clients() == MAX_STREAMS_PER_KEY
    assert all(stream.running for stream in streams)
    # Who only watches takes nobody's place; and one that has gone makes room.
    ada.stream(all="true")
    streams[3].kill()
    ada.stream(workstation_id=workstation)
    assert all(stream.running for stream in streams if stream is not streams[3])


def test_a_user_may_have_so_many_streams_that_only_watch_and_others_are_not_counted(
    serve, client_of
):
    ada = client_of(serve(SILO_STREAMS_PER_USER="2"))
    workstation = ada.workstation()
    watching = [ada.stream(all="true") for _ in range(2)]
    refused = ada.call("GET", "/api/events?all=true")
    assert (refused.status_code, refused.json()["error"]) == (429, "too_many_streams")
    assert "only watch" in refused.json()["message"]
    assert int(refused.headers["Retry-After"]) >= 1
    # A workstation's stream keeps locks alive, and another user has streams of his own.
    ada.stream(workstation_id=workstation)
    client_of(ada.server, "bob").stream(all="true")
    watching[0].kill()
    ada.stream(all="true")
    assert watching[1].running


def test_streams_whose_peer_acknowledges_nothing_make_room_for_a_new_one(serve, client_of):
    """As those that a network has left half dead; here their windows are closed, which counts alike."""
    ada = client_of(serve())
    workstation = ada.workstation()
    fill_log(ENTRIES)
    epoch = ada.stream(all="true").event("stream-open")["id"].split("-")[0]
    with ExitStack() as stack:
        query = f"workstation_id={workstation}&all=true&last_event_id={epoch}-0"
        streams = [
            stack.enter_context(RawStream(ada, query, buffer=4096))
            for _ in range(MAX_STREAMS_PER_KEY)
        ]
        # Those that have been written little so far would rightly stay: all of it can be acknowledged.
        eventually(lambda: all(is_stuck(stream.socket) for stream in streams))
        assert ada.server.sse_clients() == MAX_STREAMS_PER_KEY + 1
        ada.stream(workstation_id=workstation)
        eventually(lambda: ada.server.sse_clients() == 2)


def test_a_client_that_reads_nothing_is_gone_when_the_buffers_are_full_and_stays_while_they_are_not(
    serve, client_of, part
):
    """Linux counts the user time-out on a closed window too."""
    # The user time-out is half of it.
    ada = client_of(serve(SILO_DEAD_PEER_SECONDS="4"))
    workstation, quiet = ada.workstation("busy"), ada.workstation("quiet")
    fill_log(ENTRIES)
    epoch = ada.stream(all="true").event("stream-open")["id"].split("-")[0]
    ada.acquire(part, workstation)
    ada.acquire(part, quiet, object_id="another")
    with (
        RawStream(ada, f"workstation_id={quiet}"),
        RawStream(
            ada, f"workstation_id={workstation}&all=true&last_event_id={epoch}-0", buffer=4096
        ),
    ):
        eventually(lambda: ada.server.sse_clients() == 3)
        eventually(lambda: [held.object_id for held in EditSession.objects.all()] == ["another"])
        assert ada.server.sse_clients() == 2
