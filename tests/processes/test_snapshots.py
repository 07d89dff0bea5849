"""A list and the events after its cursor say at every moment what a later list says."""

from contextlib import closing
from urllib.parse import quote

import httpx
import pytest

from sessions_app.roles import Role
from tests.sse import events
from tests.waiting import PATIENCE_SECONDS

# A restart of the clients within the sequence ends nothing.
LONG = {"SILO_DISCONNECT_GRACE_SECONDS": "600"}


class Model:
    """What a client knows that has read a list once and then only events."""

    def __init__(self, sessions):
        self.sessions = {session["session_id"]: known(session) for session in sessions}

    def hear(self, kind, data):
        key = data.get("session_id")
        if kind == "edit.session_acquired":
            assert key not in self.sessions
            self.sessions[key] = known(data)
        elif kind == "edit.session_released":
            del self.sessions[key]
        elif kind in ("edit.session_idle", "edit.session_active"):
            idle = kind == "edit.session_idle"
            self.sessions[key]["idle_since"] = data["idle_since"] if idle else None
        elif kind in ("edit.session_away", "edit.session_back"):
            away = kind == "edit.session_away"
            self.sessions[key]["away_since"] = data["away_since"] if away else None


def known(session):
    """What events tell of a session: all but its heartbeat."""
    told = (
        *("session_id", "item_id", "part_number", "user", "workstation"),
        *("context_level", "object_id", "fencing_token", "acquired_at"),
    )
    states = {name: session.get(name) for name in ("idle_since", "away_since")}
    return {name: session[name] for name in told} | states


def heard_after(client, item_url, cursor):
    """Yield what a stream of the item tells after a cursor."""
    headers = {"Authorization": f"Bearer {client.token}", "Last-Event-ID": cursor}
    url = f"{client.server.url}{item_url}/events"
    with httpx.stream("GET", url, headers=headers, timeout=PATIENCE_SECONDS) as answer:
        for event in events(answer.iter_lines()):
            yield event.name, event.data


def up_to_the_last(client, item_url, cursor):
    """What the item's watchers are told after a cursor, to the last acquire of the test."""
    heard = []
    with closing(heard_after(client, item_url, cursor)) as events:
        for kind, data in events:
            if kind.startswith("edit."):
                heard.append((kind, data))
            if data.get("object_id") == "the last":
                return heard
    raise AssertionError(f"the stream ended after {heard}")


@pytest.fixture
def item_url(part):
    return f"/api/items/{quote(part, safe='')}"


def test_from_every_moment_on_the_events_lead_to_the_same(serve, client_of, part, item_url):
    server = serve(**LONG)
    ada, bob, carol = (client_of(server, name) for name in ("ada", "bob", "carol"))
    watcher = client_of(server, "vera", Role.VIEWER)
    at = {client: client.workstation() for client in (ada, bob, carol)}
    streams = {client: client.stream(workstation_id=at[client]) for client in at}
    snapshots = []

    def session_of(client):
        held = (s for s in client.held(part) if s["object_id"] == "X")
        return f"{item_url}/edit-sessions/{next(held)['id']}"

    def done(answer, *statuses):
        assert answer.status_code in (statuses or (200, 201, 202, 204)), answer.text
        answer = watcher.call("GET", f"{item_url}/edit-sessions").json()
        snapshots.append((answer["sessions"], answer["cursor"]))

    def alive(client, seconds):
        path = f"/api/workstations/{at[client]}/alive"
        return client.call("POST", path, {"idle_seconds": seconds})

    def stand(client):
        body = {"workstation_id": at[client], "context_level": "sketch", "object_id": "X"}
        return client.call("POST", f"{item_url}/edit-session-requests", body)

    done(ada.acquire(part, at[ada], object_id="X"))
    done(bob.acquire(part, at[bob], object_id="Y"))
    done(alive(ada, 60))
    done(stand(bob), 201)
    done(alive(bob, 30))
    done(ada.call("DELETE", session_of(ada)))
    granted = streams[bob].event("edit.session_granted")["data"]
    assert granted["idle_since"] is not None
    done(carol.call("POST", session_of(bob) + "/request-handoff", {"message": "Please"}))
    streams[bob].event("edit.handoff_requested", requester="carol")
    done(alive(carol, 90))
    done(bob.call("POST", session_of(bob) + "/handoff", {"to_workstation_id": at[carol]}))
    streams[carol].event("edit.session_granted")
    done(alive(bob, 0))
    streams[carol].kill()
    streams[bob].event("edit.session_away")
    done(stand(ada), 201)
    streams[carol] = carol.stream(workstation_id=at[carol])
    streams[bob].event("edit.session_back")
    done(carol.acquire(part, at[carol], object_id="X"))
    done(alive(carol, 120))
    done(carol.call("DELETE", session_of(carol)))
    done(ada.acquire(part, at[ada], object_id="the last"))

    assert len(snapshots[-1][0]) == 3
    after = [up_to_the_last(watcher, item_url, cursor) for _, cursor in snapshots[:-1]] + [[]]
    for first, (sessions, _) in enumerate(snapshots):
        model = Model(sessions)
        done_with = 0
        for later in range(first, len(snapshots)):
            # What comes after the later cursor is the end of what comes after the first.
            between = len(after[first]) - len(after[later])
            assert after[first][between:] == after[later]
            for kind, data in after[first][done_with:between]:
                model.hear(kind, data)
            done_with = between
            assert model.sessions == Model(snapshots[later][0]).sessions, (first, later)


def test_a_workstation_that_sleeps_through_it_hears_it_all_afterwards(
    serve, client_of, part, item_url
):
    server = serve(**LONG)
    ada, bob = client_of(server, "ada"), client_of(server, "bob")
    here, there = ada.workstation(), bob.workstation()
    sleeping = ada.stream(workstation_id=here)
    bob.stream(workstation_id=there)
    held = ada.acquire(part, here).json()
    sleeping.event("edit.session_acquired")
    cursor = sleeping.last_event_id
    sleeping.kill()
    body = {"workstation_id": there, "context_level": "sketch"}
    bob.call("POST", f"{item_url}/edit-session-requests", body)
    bob.call("POST", f"{item_url}/edit-sessions/{held['id']}/request-handoff", {"message": "Hi"})
    ada.call("POST", f"{item_url}/edit-sessions/{held['id']}/handoff", {"to_workstation_id": there})

    awake = ada.stream(cursor, workstation_id=here)
    assert awake.event("stream-open")["data"]["sessions"] == []
    asked = awake.event("edit.handoff_requested")["data"]
    assert (asked["requester"], asked["message"]) == ("bob", "Hi")
    ended = awake.event("edit.session_released")["data"]
    assert (ended["session_id"], ended["reason"]) == (held["id"], "handed_off")
