"""Hot calls on real connections: whether the lane or Twisted reads them, they are answered alike."""

import http.client
import json
import socket
import time

from events_app.http.lane import KEEP_SECONDS
from tests.factories import make_item
from tests.processes.connections import address_of, connect, split, statuses, until_closed


class Connection:
    """One connection of a user, which is never opened again."""

    def __init__(self, client, part_number):
        self._http = http.client.HTTPConnection(*address_of(client.server), timeout=20)
        self._http.connect()
        self._http.auto_open = 0
        self._headers = {"Authorization": f"Bearer {client.token}"}
        self.item = f"/api/items/{part_number}/edit-sessions"
        # Status and names of the headers of each answer.
        self.answers = []

    def call(self, method, path, body=None, **headers):
        content = None if body is None else json.dumps(body).encode()
        self._http.request(method, path, content, self._headers | headers)
        answer = self._http.getresponse()
        read = answer.read()
        self.answers.append((answer.status, [name for name, _ in answer.getheaders()]))
        return json.loads(read) if read else None

    def close(self):
        self._http.close()


def round_of_calls(connection, workstation):
    """Hot calls and others, good ones and bad ones."""
    wanted = {"workstation_id": workstation, "context_level": "sketch"}
    session = connection.call("POST", connection.item, wanted)
    one = f"{connection.item}/{session['id']}"
    connection.call("GET", connection.item)
    connection.call("POST", f"{one}/verify", {"fencing_token": session["fencing_token"]})
    connection.call("POST", f"/api/workstations/{workstation}/alive", {"idle_seconds": 1})
    connection.call("POST", connection.item, {"workstation_id": "none"})
    connection.call("POST", connection.item + "?a=b", wanted, Expect="")
    connection.call("GET", "/health")
    connection.call("DELETE", one)
    connection.call("DELETE", one)
    connection.call("POST", "/api/edit-sessions/release", {"session_ids": [session["id"]]})
    connection.call("POST", connection.item, wanted, Authorization="Bearer silo_wrong")


def test_many_calls_of_all_kinds_on_one_connection_are_answered_alike(serve, client_of, processes):
    answers = []
    item = make_item()
    for lane in ("true", "false"):
        ada = client_of(serve(SILO_HTTP_LANE=lane), f"ada-{lane}")
        connection = Connection(ada, item.part_number)
        processes.callback(connection.close)
        workstation = ada.workstation(f"cad-{lane}")
        for _ in range(5):
            round_of_calls(connection, workstation)
        answers.append(connection.answers)
    assert answers[0] == answers[1]
    assert {status for status, _ in answers[0]} == {200, 204, 401, 404, 422}


def acquire(client, part_number, workstation, *headers):
    """The bytes of an acquire."""
    body = json.dumps({"workstation_id": workstation, "context_level": "sketch"})
    return "\r\n".join(
        [
            f"POST /api/items/{part_number}/edit-sessions HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {client.token}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *headers,
            "",
            body,
        ]
    ).encode()


def connected(server):
    connection = connect(server)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def test_a_slow_sender_is_answered(serve, client_of):
    ada = client_of(serve())
    sent = acquire(ada, make_item().part_number, ada.workstation())
    head, body = sent.split(b"\r\n\r\n")
    with connected(ada.server) as connection:
        for pause in (0, 0.001):
            for byte in sent:
                connection.sendall(bytes([byte]))
                time.sleep(pause)
            assert split(connection.recv(65536))[0] == 200
        # Head and body in two pieces, the second one late.
        connection.sendall(head + b"\r\n\r\n" + body[:5])
        time.sleep(4 * KEEP_SECONDS)
        connection.sendall(body[5:])
        assert split(connection.recv(65536))[0] == 200


def test_requests_that_come_together_are_answered_in_order(serve, client_of):
    ada = client_of(serve())
    item, station = make_item(), ada.workstation()
    health = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    bad = acquire(ada, "none", station)
    good = acquire(ada, item.part_number, station)
    last = acquire(ada, item.part_number, station, "Connection: close")
    sent = (good + health + bad) * 10 + last
    for cut in (1, len(sent) // 3, len(sent) - 5):
        with connected(ada.server) as connection:
            connection.sendall(sent[:cut])
            time.sleep(KEEP_SECONDS)
            connection.sendall(sent[cut:])
            assert statuses(until_closed(connection)) == [200, 200, 404] * 10 + [200]
