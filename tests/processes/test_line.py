"""The line over real servers and streams: whose process dies loses, whose server dies waits, who is first gets it."""

from urllib.parse import quote

import pytest

from events_app.models import Connection, ServerProcess
from sessions_app.models import EndedSession
from tests.waiting import eventually


class Seat:
    """One user at one workstation with one stream."""

    def __init__(self, client, part):
        self.client = client
        self.part = part
        self.id = client.workstation(f"{client.token[:8]}'s")
        self.stream = client.stream(workstation_id=self.id)

    def stand(self):
        """Stand in line, over this stream; return the answer."""
        opened = self.stream.event("stream-open")["data"]["connection_id"]
        wanted = {"workstation_id": self.id, "context_level": "sketch", "connection_id": opened}
        return self.client.call("POST", url(self.part), wanted)

    def granted(self):
        """Wait for the turn; return the session."""
        return self.stream.event("edit.session_granted")["data"]

    def come_back(self, server=None):
        """Open a stream again where the last one ended."""
        self.client.server = server or self.client.server
        last = self.stream.last_event_id
        self.stream = self.client.stream(last, workstation_id=self.id)


def url(part):
    return f"/api/items/{quote(part, safe='')}/edit-session-requests"


@pytest.fixture
def seat(client_of, part):
    return lambda server, name: Seat(client_of(server, name), part)


def line(seat):
    return [
        p["workstation"]["id"] for p in seat.client.call("GET", url(seat.part)).json()["requests"]
    ]


def holders(seat):
    return [session["workstation"]["id"] for session in seat.client.held(seat.part)]


def release(seat):
    held = seat.client.held(seat.part)[0]["id"]
    path = f"/api/items/{quote(seat.part, safe='')}/edit-sessions/{held}"
    assert seat.client.call("DELETE", path).status_code == 204


def test_when_the_holders_process_is_killed_the_first_in_line_gets_it_on_its_stream(serve, seat):
    server = serve()
    ada, bob, carol = (seat(server, name) for name in ("ada", "bob", "carol"))
    held = ada.client.acquire(ada.part, ada.id).json()
    assert [one.stand().json()["position"] for one in (bob, carol)] == [1, 2]
    ada.stream.kill()
    granted = bob.granted()
    assert (granted["workstation"]["id"], granted["part_number"]) == (bob.id, bob.part)
    assert granted["fencing_token"] > held["fencing_token"]
    assert (holders(bob), line(bob)) == ([bob.id], [carol.id])
    # What it was given is live, and nobody else was told that it was theirs.
    path = f"/api/items/{quote(bob.part, safe='')}/edit-sessions/{granted['id']}/verify"
    body = {"fencing_token": granted["fencing_token"]}
    assert bob.client.call("POST", path, body).status_code == 200
    release(bob)
    assert carol.granted()["fencing_token"] > granted["fencing_token"]
    assert len(carol.stream.named("edit.session_granted")) == 1


def test_who_waits_on_another_server_gets_it_too(serve, seat):
    one, other = serve(), serve()
    ada, bob = seat(one, "ada"), seat(other, "bob")
    ada.client.acquire(ada.part, ada.id)
    bob.stand()
    ada.stream.kill()
    bob.granted()
    assert holders(ada) == [bob.id]


def test_a_waiter_that_is_killed_loses_its_place(serve, seat):
    server = serve()
    ada, bob, carol = (seat(server, name) for name in ("ada", "bob", "carol"))
    ada.client.acquire(ada.part, ada.id)
    for one in (bob, carol):
        one.stand()
    bob.stream.kill()
    eventually(lambda: line(ada) == [carol.id])
    bob.come_back()
    release(ada)
    carol.granted()
    release(carol)
    assert holders(ada) == []
    assert not bob.stream.named("edit.session_granted")
    assert bob.stand().status_code == 200


def test_with_a_dead_server_one_is_passed_over_and_has_its_turn_when_back(serve, seat):
    server, dying = serve(), serve()
    ada, carol = seat(server, "ada"), seat(server, "carol")
    bob = seat(dying, "bob")
    ada.client.acquire(ada.part, ada.id)
    for one in (bob, carol):
        one.stand()
    dying.kill()
    eventually(lambda: ServerProcess.objects.count() == 1, "the dead server is noticed")
    assert line(ada) == [bob.id, carol.id]
    release(ada)
    carol.granted()
    assert line(ada) == [bob.id]
    release(carol)
    assert holders(ada) == []

    bob.come_back(server)
    granted = bob.granted()
    assert holders(ada) == [bob.id]
    assert line(ada) == []
    assert granted["workstation"]["id"] == bob.id


def test_who_is_granted_it_before_its_server_is_known_to_be_dead_learns_it_when_back(serve, seat):
    server, dying = serve(), serve()
    ada, bob = seat(server, "ada"), seat(dying, "bob")
    ada.client.acquire(ada.part, ada.id)
    bob.stand()
    dying.kill()
    # Whether that is known by now or not: it is told once, and has it.
    release(ada)
    bob.come_back(server)
    granted = bob.granted()
    assert holders(ada) == [bob.id]
    eventually(lambda: ServerProcess.objects.count() == 1, "the dead server is noticed")
    bob.stream.event("heartbeat")
    assert holders(ada) == [bob.id]
    assert [e["data"] for e in bob.stream.named("edit.session_granted")] == [granted]
    assert EndedSession.objects.count() == 1


def test_after_a_clean_restart_everybody_is_still_in_line(serve, seat):
    stopping = serve()
    ada, bob, carol = (seat(stopping, name) for name in ("ada", "bob", "carol"))
    ada.client.acquire(ada.part, ada.id)
    for one in (bob, carol):
        one.stand()
    stopping.signal(15)
    stopping.wait()
    assert not Connection.objects.exists()
    server = serve()
    for one in (carol, bob, ada):
        one.come_back(server)
    assert holders(ada) == [ada.id]
    assert line(ada) == [bob.id, carol.id]
    release(ada)
    bob.granted()
