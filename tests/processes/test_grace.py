"""`disconnect_grace_seconds`: a lost workstation may come back."""

import pytest

from sessions_app.models import EditSession, EndedSession, Workstation
from tests.waiting import eventually

LONG = {"SILO_DISCONNECT_GRACE_SECONDS": "600"}
# Longer than server_dead_seconds, so that the server has been there for as long when it is over.
SHORT = {"SILO_DISCONNECT_GRACE_SECONDS": "2.5"}


@pytest.fixture
def scene(serve, client_of, part):
    """A session, its stream, and one who watches the item."""

    def make(env):
        ada, bob = client_of(server := serve(**env), "ada"), client_of(server, "bob")
        watching = bob.stream(item=part)
        workstation = ada.workstation()
        stream = ada.stream(workstation_id=workstation)
        ada.acquire(part, workstation)
        return ada, watching, workstation, stream

    return make


def test_who_comes_back_in_time_keeps_the_session(scene, part):
    ada, watching, workstation, stream = scene(LONG)
    stream.kill()
    away = watching.event("edit.session_away")["data"]
    assert ada.held(part)[0]["away_since"] == away["away_since"] is not None

    back = ada.stream(workstation_id=workstation)
    assert len(back.event("stream-open")["data"]["sessions"]) == 1
    assert watching.event("edit.session_back")["data"]["session_id"] == away["session_id"]
    assert ada.held(part)[0]["away_since"] is None
    assert not EndedSession.objects.exists()


def test_who_does_not_is_released_as_disconnected(scene, part):
    ada, watching, _, stream = scene(SHORT)
    stream.kill()
    watching.event("edit.session_away")
    assert watching.event("edit.session_released")["data"]["reason"] == "disconnected"
    assert ada.held(part) == []
    ended = EndedSession.objects.get()
    departed = Workstation.objects.get(pk=ended.workstation_id).departed_at
    assert (ended.released_at - departed).total_seconds() >= 2.5


def test_another_server_ends_the_grace_of_one_that_was_killed(scene, serve, part):
    ada, watching, _, stream = scene(SHORT)
    other = serve(**SHORT)
    stream.kill()
    watching.event("edit.session_away")
    ada.server.kill()
    ada.server = other
    eventually(lambda: ada.held(part) == [])
    assert EndedSession.objects.get().reason == "disconnected"


def test_an_acquire_is_a_coming_back_too(scene, part):
    ada, watching, workstation, stream = scene(LONG)
    stream.kill()
    watching.event("edit.session_away")
    assert ada.acquire(part, workstation).json()["existing"]
    watching.event("edit.session_back")
    assert EditSession.objects.count() == 1


def test_alive_is_a_coming_back_too(scene, part):
    ada, watching, workstation, stream = scene(LONG)
    stream.kill()
    watching.event("edit.session_away")
    assert ada.call("POST", f"/api/workstations/{workstation}/alive", {}).status_code == 204
    watching.event("edit.session_back")


def test_who_only_closes_one_of_two_windows_is_not_away(scene, part):
    ada, watching, workstation, older = scene(LONG)
    newer = ada.stream(workstation_id=workstation)
    newer.kill()
    eventually(lambda: ada.server.sse_clients() == 2)
    again = ada.stream(workstation_id=workstation)
    ada.acquire(part, workstation, object_id="marker")
    watching.event("edit.session_acquired", object_id="marker")
    assert not watching.named("edit.session_away")
    assert not watching.named("edit.session_back")
    assert older.running
    assert again.running
