"""`POST .../verify`, and releasing all of a workstation's sessions."""

import uuid

import pytest

from sessions_app.models import EditSession, EndedSession
from sessions_app.roles import Role
from tests.factories import acquire, api_of, let_go, make_item, make_user, make_workstation

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("all_ways")]


@pytest.fixture
def held():
    return acquire(make_workstation(make_user("ada")), make_item("DIN 912/M5"), "Sketch001").session


def verify(session, token, part="DIN%20912%2FM5", session_id=None):
    api = api_of(make_user(f"vault-{uuid.uuid4().hex[:6]}", Role.VIEWER))
    path = f"/api/items/{part}/edit-sessions/{session_id or session.pk}/verify"
    return api("POST", path, {"fencing_token": token})


def test_a_live_session_with_its_token_is_named(held):
    answer = verify(held, held.fencing_token)
    assert answer.status_code == 200
    assert answer.json() == {
        "user": "ada",
        "user_name": "ada",
        "workstation": {"id": str(held.workstation_id), "name": "cad-1"},
        "item": "DIN 912/M5",
        "context_level": "sketch",
        "object_id": "Sketch001",
    }


def test_a_number_with_a_point_is_the_same_number(held):
    """JSON has no integers of its own, and its schema takes 1.0 for one."""
    assert verify(held, float(held.fencing_token)).status_code == 200
    answer = verify(held, float(held.fencing_token) + 1)
    assert (answer.status_code, answer.json()["error"]) == (409, "stale_token")


@pytest.mark.parametrize(
    "token", [1.5, -1, -1.0, 2.0**53, 1e400, float("nan"), True, False, "1", None, 2**63, [1], {}]
)
def test_a_malformed_token_is_refused_by_its_name(held, token):
    answer = verify(held, token)
    assert answer.status_code == 422
    assert answer.json()["message"].startswith("body.fencing_token: Input should be ")


def test_every_other_token_is_stale(held):
    for token in (held.fencing_token - 1, held.fencing_token + 1, 0):
        answer = verify(held, token)
        assert (answer.status_code, answer.json()["error"]) == (409, "stale_token")


def test_a_late_writer_is_refused(held):
    let_go(held.pk)
    assert verify(held, held.fencing_token).status_code == 409
    successor = acquire(held.workstation, held.item, held.object_id).session
    assert successor.fencing_token > held.fencing_token
    assert verify(successor, held.fencing_token).status_code == 409
    assert verify(held, successor.fencing_token).status_code == 409


def test_another_items_path_is_stale_too(held):
    make_item("B")
    assert verify(held, held.fencing_token, part="B").status_code == 409


def test_releasing_all_of_a_workstation(held):
    acquire(held.workstation, held.item, "another")
    other = acquire(make_workstation(held.user, "cad-2"), held.item, "third").session
    path = f"/api/workstations/{held.workstation_id}/edit-sessions"
    answer = api_of(held.user)("DELETE", path)
    assert (answer.status_code, answer.json()) == (200, {"released": 2})
    assert EditSession.objects.get().pk == other.pk
    assert set(EndedSession.objects.values_list("reason", flat=True)) == {"released"}
    assert api_of(held.user)("DELETE", path).json() == {"released": 0}


def test_only_the_owner_and_an_admin_may(held):
    path = f"/api/workstations/{held.workstation_id}/edit-sessions"
    assert api_of(make_user("eve"))("DELETE", path).status_code == 403
    assert EditSession.objects.exists()
    assert api_of(make_user("root", Role.ADMIN))("DELETE", path).json() == {"released": 1}
    missing = f"/api/workstations/{uuid.uuid4()}/edit-sessions"
    assert api_of(held.user)("DELETE", missing).status_code == 404
