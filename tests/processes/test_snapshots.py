"""A list and the events after its cursor say at every moment what a later list says."""

from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest

from sessions_app.roles import Role
from tests.history import position
from tests.slow.comparison import Entry
from tests.slow.snapshot import TIMES, Snapshot
from tests.sse import events
from tests.waiting import PATIENCE_SECONDS

# A restart of the clients within the sequence ends nothing.
LONG = {"SILO_DISCONNECT_GRACE_SECONDS": "600"}
NO_TIME = timedelta(0)


def up_to_the_last(client, item_url, cursor):
    """What the item's watchers are told after a cursor, to the last acquire of the test."""
    headers = {"Authorization": f"Bearer {client.token}", "Last-Event-ID": cursor}
    url = f"{client.server.url}{item_url}/events"
    heard = []
    with httpx.stream("GET", url, headers=headers, timeout=PATIENCE_SECONDS) as answer:
        for event in events(answer.iter_lines()):
            if event.name.startswith("edit."):
                number = position(event.id)
                assert number > (heard[-1].id if heard else position(cursor))
                heard.append(Entry(number, event.name, frozenset({"all"}), event.data))
            if event.data.get("object_id") == "the last":
                return heard
    raise AssertionError(f"the stream ended after {heard}")


def times(told):
    """The times of sessions, as they are written."""
    return {(one["session_id"], name, one[name]) for one in told for name in TIMES if one.get(name)}


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
    for first, (sessions, cursor) in enumerate(snapshots):
        known = Snapshot(sessions, cursor, NO_TIME)
        done_with = 0
        for later in range(first, len(snapshots)):
            # What comes after the later cursor is the end of what comes after the first.
            between = len(after[first]) - len(after[later])
            assert after[first][between:] == after[later]
            known.apply(after[first][done_with:between], NO_TIME)
            done_with = between
            known.check(*snapshots[later], NO_TIME)
    listed = [session for sessions, _ in snapshots for session in sessions]
    assert times(event.data for event in after[0]) <= times(listed)


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
