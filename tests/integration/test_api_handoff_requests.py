"""`POST .../{session_id}/request-handoff`: ask the holder for a session."""

import uuid
from functools import partial

import pytest

from sessions_app import operations
from sessions_app.models import EditSession, HandoffRequest
from sessions_app.roles import Role
from tests.factories import (
    acquire,
    api_of,
    check_refused,
    counts,
    events,
    identity_of,
    let_go,
    make_item,
    make_user,
    make_workstation,
)

pytestmark = pytest.mark.django_db


def ask(session, user, message="May I?", part_number="A01-0001", **more):
    url = f"/api/items/{part_number}/edit-sessions/{session.pk}/request-handoff"
    return api_of(user)("POST", url, {"message": message} | more)


@pytest.mark.parametrize("named", [True, False])
def test_the_holders_workstation_alone_is_told_who_asks_and_why(held, ada, bob, named):
    acquire(bob, held.item, "bob's")
    told = len(events())
    more = {"workstation_id": bob.pk} if named else {}
    answer = ask(held, bob.user, "I fix the hole. 🛠", **more)
    assert (answer.status_code, answer.content) == (202, b"")
    [(kind, channels, data)] = events()[told:]
    assert kind == "edit.handoff_requested"
    assert channels == {f"workstation:{ada.pk}"}
    assert data == identity_of(held) | {
        "requester": "bob",
        "requester_name": "bob",
        "workstation_id": str(bob.pk) if named else None,
        "message": "I fix the hole. 🛠",
    }


def test_nothing_else_changes(held, bob):
    before = EditSession.objects.values().get()
    ask(held, bob.user)
    assert EditSession.objects.values().get() == before


@pytest.mark.parametrize("named", [True, False])
def test_asking_twice_tells_twice_and_is_noted_once(held, bob, named):
    more = {"workstation_id": bob.pk} if named else {}
    told = len(events())
    for message in ("May I?", "Please!"):
        assert ask(held, bob.user, message, **more).status_code == 202
    assert [data["message"] for _, _, data in events()[told:]] == ["May I?", "Please!"]
    assert HandoffRequest.objects.count() == 1


def test_several_may_ask(held, bob):
    for user in (bob.user, make_user("carol")):
        assert ask(held, user).status_code == 202
    assert HandoffRequest.objects.count() == 2


def test_requesting_a_hand_off_of_ones_own_session_is_refused(held, ada):
    other = make_workstation(ada.user, "ada's other")
    for more in ({}, {"workstation_id": ada.pk}, {"workstation_id": other.pk}):
        check_refused(partial(ask, held, ada.user, **more), 409, "own_session")


def test_a_viewer_may_not_ask_and_an_admin_may(held):
    check_refused(lambda: ask(held, make_user("vera", Role.VIEWER)), 403, "forbidden")
    assert ask(held, make_user("root", Role.ADMIN)).status_code == 202


@pytest.mark.parametrize("role", [Role.EDITOR, Role.ADMIN])
def test_a_request_for_anothers_workstation_is_refused(held, bob, role):
    carol = make_user("carol", role)
    check_refused(lambda: ask(held, carol, workstation_id=bob.pk), 403, "forbidden")


def test_an_unknown_session_or_request_is_404(held, bob):
    make_item("A01-0002")
    check_refused(lambda: ask(held, bob.user, part_number="A01-0002"), 404, "not_found")
    check_refused(lambda: ask(held, bob.user, part_number="A01-0003"), 404, "not_found")
    check_refused(lambda: ask(EditSession(), bob.user), 404, "not_found")
    check_refused(lambda: ask(held, bob.user, workstation_id=uuid.uuid4()), 404, "not_found")


def test_an_ended_session_is_404(held, bob):
    let_go(held.pk)
    check_refused(lambda: ask(held, bob.user), 404, "not_found")


@pytest.mark.parametrize(
    "wrong",
    [
        {"message": None},
        {"message": 7},
        {"message": "a\0b"},
        {"message": "x" * 2001},
        {"workstation_id": "cad-1"},
        {"why": "unknown member"},
    ],
)
def test_malformed_requests_are_refused(held, bob, wrong):
    before = counts()
    answer = ask(held, bob.user, **wrong)
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid")
    assert counts() == before


def test_a_longest_message_arrives_whole(held, bob):
    ask(held, bob.user, "ß" * 2000)
    assert events()[-1][2]["message"] == "ß" * 2000


def test_an_asking_workstation_may_be_deleted(held, bob):
    ask(held, bob.user, workstation_id=bob.pk)
    assert operations.workstations.delete([bob.pk]) == 1
    assert EditSession.objects.get() == held
    let_go(held.pk)
    assert not HandoffRequest.objects.exists()
