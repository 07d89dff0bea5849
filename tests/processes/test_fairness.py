"""One user's slow requests at a real server, and what others get meanwhile."""

import json
import socket
import struct
from http.client import HTTPResponse
from urllib.parse import quote

import pytest
from django.db import transaction

from sessions_app.models import EditSession, Item
from tests.factories import make_item
from tests.processes.connections import connect
from tests.waiting import eventually, waiting_for_locks

pytestmark = pytest.mark.alone

WAITING = 5


class Request:
    """A request whose answer is not waited for."""

    def __init__(self, client, method, path, body=None):
        self.socket = connect(client.server)
        text = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {client.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        self.socket.sendall(head.encode() + text)

    def answer(self):
        with self.socket, HTTPResponse(self.socket) as response:
            response.begin()
            return response, response.read()

    def status(self):
        return self.answer()[0].status

    def leave(self):
        """Cut the connection: the server is told at once."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@pytest.fixture
def users(serve, client_of):
    """Two users of one server, each with a workstation."""
    server = serve(SILO_REQUESTS_PER_USER=str(WAITING))
    eve, bob = client_of(server, "eve"), client_of(server, "bob")
    return eve, eve.workstation(), bob, bob.workstation()


def test_while_one_users_requests_wait_others_are_served_and_what_lets_go_is_not_refused(
    users, part
):
    eve, eves, bob, bobs = users
    other = make_item("OTHER").part_number
    held = eve.acquire(other, eves).json()["session_id"]

    def acquire(number):
        path = f"/api/items/{quote(part, safe='')}/edit-sessions"
        body = {"workstation_id": eves, "context_level": "sketch", "object_id": f"{number}"}
        return Request(eve, "POST", path, body)

    with transaction.atomic():
        Item.objects.select_for_update().get(part_number=part)
        slow = [acquire(number) for number in range(2)]
        eventually(lambda: waiting_for_locks() == 2)
        waiting = [acquire(number) for number in range(2, 2 + WAITING)]
        refused, body = acquire(99).answer()
        release = Request(eve, "DELETE", f"/api/items/{other}/edit-sessions/{held}")
        for one in waiting[2:]:
            one.leave()
        # The third place is nobody's but somebody else's.
        assert bob.acquire(other, bobs, object_id="bob's").status_code == 200
        assert waiting_for_locks() == 2
    assert (refused.status, json.loads(body)["error"]) == (429, "too_many_requests")
    assert int(refused.headers["Retry-After"]) >= 1
    assert release.status() == 204
    assert [one.status() for one in [*slow, *waiting[:2]]] == [200] * 4
    # Those whose clients have left while they waited have not run.
    on_part = EditSession.objects.filter(item__part_number=part)
    assert sorted(on_part.values_list("object_id", flat=True)) == ["0", "1", "2", "3"]
