"""The names that existing Silo clients use."""

import pytest

from sessions_app.models import EditSession
from silo_client import EditSessionResult, HardInterferenceError, SiloClient


@pytest.fixture
def client(ada, processes):
    made = SiloClient(ada.server.url, ada.token)
    processes.callback(made.close)
    return made


def test_acquire_list_and_release(ada, client, part):
    workstation = ada.workstation()
    result = client.acquire_edit_session(part, workstation, "sketch", "Sketch001", ["n1"])
    assert isinstance(result, EditSessionResult)
    [told] = client.get_edit_sessions(part)
    assert told["session_id"] == result.session_id
    assert result.session["dependency_cone"] == ["n1"]
    assert (result.interference, result.conflicts, result.existing) == ("none", [], False)
    assert result.fencing_token == told["fencing_token"]
    again = client.acquire_edit_session(part, workstation, "sketch", object_id="Sketch001")
    assert (again.session_id, again.existing) == (result.session_id, True)
    client.release_edit_session(part, result.session_id)
    assert client.get_edit_sessions(part) == []


def test_interference(ada, client, client_of, processes, part):
    bob = client_of(ada.server, "bob")
    theirs = SiloClient(bob.server.url, bob.token)
    processes.callback(theirs.close)
    held = theirs.acquire_edit_session(part, bob.workstation(), "sketch", "A", ["n1"])
    mine = ada.workstation()
    soft = client.acquire_edit_session(part, mine, "sketch", "B", ["n1"])
    assert soft.interference == "soft"
    assert soft.conflicts[0]["session_id"] == held.session_id
    with pytest.raises(HardInterferenceError) as caught:
        client.acquire_edit_session(part, mine, "sketch", "A")
    assert caught.value.holder.session_id == held.session_id
    client.request_handoff(part, held.session_id, "May I?")
    assert EditSession.objects.count() == 2
