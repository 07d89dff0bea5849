"""Force-release with `take`: an admin ends a session and gets it, in one transaction and ahead of the line."""

import uuid
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from sessions_app.models import EditSession, EndedSession, PlaceInLine, Workstation
from tests.factories import (
    acquire,
    api_of,
    check_refused,
    connect,
    events,
    let_go,
    make_item,
    make_workstation,
    stand,
)

pytestmark = pytest.mark.django_db


def take(root, session, query="", part_number="A01-0001", **body):
    url = f"/api/items/{part_number}/edit-sessions/{session.pk}/force-release{query}"
    return api_of(root.user)("DELETE", url, body or None)


def take_it(root, session, **more):
    return take(root, session, reason="Due.", take=True, workstation_id=root.pk, **more)


def test_it_ends_as_forced_and_begins_anew_as_an_acquire_answers(root, ada, item, held):
    since = len(events())
    answer = take_it(root, held)
    assert answer.status_code == 200
    session = EditSession.objects.get()
    body = answer.json()
    assert body["session_id"] == str(session.pk) != str(held.pk)
    assert (body["user"], body["workstation"]["id"]) == ("root", str(root.pk))
    assert (body["context_level"], body["object_id"], body["note"]) == (
        "partdesign",
        "Sketch001",
        "",
    )
    assert body["dependency_cone"] == ["n1"]
    assert (body["existing"], body["interference"], body["connection_id"]) == (False, "none", None)
    assert body["fencing_token"] == session.fencing_token > held.fencing_token
    again = acquire(root, item, "Sketch001", "partdesign")
    assert (again.existing, again.session) == (True, session)

    record = EndedSession.objects.get()
    assert (record.session_id, record.reason) == (held.pk, "force_released")
    assert (record.ended_by, record.note) == ("root", "Due.")

    told = [(kind.removeprefix("edit."), to) for kind, to, _ in events()[since:]]
    watchers = {"all", f"item:{item.pk}"}
    theirs, mine = ({f"workstation:{one.pk}"} for one in (ada, root))
    assert told == [
        ("force_released", theirs),
        ("session_released", watchers | theirs),
        ("session_acquired", watchers | mine),
        ("session_granted", mine),
    ]


def test_the_line_stays_as_it_is(root, bob, item, held):
    connect(bob)
    place = stand(bob, item, "Sketch001", "partdesign").place
    assert take_it(root, held).status_code == 200
    assert PlaceInLine.objects.get() == place
    let_go(EditSession.objects.get().pk)
    assert EditSession.objects.get().workstation == bob


def test_a_take_over_uses_up_the_admins_place_with_cone_and_note(root, item, held):
    wanted = {"workstation_id": root.pk, "context_level": "partdesign", "object_id": "Sketch001"}
    url = "/api/items/A01-0001/edit-session-requests"
    said = {"dependency_cone": ["n7"], "note": "urgent"}
    assert api_of(root.user)("POST", url, wanted | said).status_code == 201
    body = take_it(root, held).json()
    assert (body["dependency_cone"], body["note"]) == (["n7"], "urgent")
    assert not PlaceInLine.objects.exists()


def test_with_the_connection_that_is_open_it_is_its(root, held):
    stream = connect(root)
    assert take_it(root, held, connection_id=stream).json()["connection_id"] == str(stream)


def test_a_take_over_notifies_old_and_new_meetings(root, bob, item, held):
    other = acquire(bob, item, "Rib", cone=("n1",)).session
    since = len(events())
    conflicts = take_it(root, held).json()["conflicts"]
    assert [conflict["session_id"] for conflict in conflicts] == [str(other.pk)]
    told = [kind.removeprefix("edit.") for kind, _, _ in events()[since:]]
    assert told[-3:] == ["interference_resolved", "interference", "interference"]


def test_a_take_over_ends_idleness_and_absence(root, item, held, settings):
    settings.EVENTS_DISCONNECT_GRACE = timedelta(minutes=1)
    mine = acquire(root, make_item("A01-0002")).session
    Workstation.objects.filter(pk=root.pk).update(
        idle_since=Now(), away_since=Now(), departed_at=Now()
    )
    since = len(events())
    body = take_it(root, held).json()
    assert (body["idle_since"], body["away_since"]) == (None, None)
    told = [(kind, data["session_id"]) for kind, _, data in events()[since:]]
    assert told[:2] == [("edit.session_back", str(mine.pk)), ("edit.session_active", str(mine.pk))]
    assert told[2][0] == "edit.force_released"
    root.refresh_from_db()
    assert (root.departed_at, root.idle_since) == (None, None)


def test_everything_may_be_in_the_query(root, held):
    stream = connect(root)
    query = f"?reason=Due&take=true&workstation_id={root.pk}&connection_id={stream}"
    answer = take(root, held, query)
    assert (answer.status_code, answer.json()["connection_id"]) == (200, str(stream))
    assert EndedSession.objects.get().note == "Due"


def test_the_body_goes_before_the_query(root, held):
    query = f"?reason=query&take=true&workstation_id={uuid.uuid4()}"
    assert take(root, held, query, reason="body", workstation_id=root.pk).status_code == 200
    assert EndedSession.objects.get().note == "body"


@pytest.mark.parametrize(
    "body",
    [
        {"reason": "Due.", "take": True},
        {"reason": "Due.", "workstation_id": "own"},
        {"reason": "Due.", "take": False, "workstation_id": "own"},
        {"reason": " ", "take": True, "workstation_id": "own"},
    ],
)
def test_half_of_it_is_invalid(root, held, body):
    body = {name: root.pk if value == "own" else value for name, value in body.items()}
    check_refused(lambda: take(root, held, **body), 422, "invalid")


def test_somebody_elses_workstation_gets_nothing(root, bob, held):
    body = {"reason": "Due.", "take": True, "workstation_id": bob.pk}
    check_refused(lambda: take(root, held, **body), 403, "forbidden")


def test_a_connection_that_has_ended_gets_nothing(root, held):
    check_refused(lambda: take_it(root, held, connection_id=uuid.uuid4()), 409, "not_connected")


def test_an_ended_session_is_not_taken(root, item, held):
    let_go(held.pk)
    check_refused(lambda: take_it(root, held), 404, "not_found")
    assert not EditSession.objects.exists()


def test_an_editor_takes_nothing(ada, bob, held):
    check_refused(lambda: take_it(bob, held), 403, "forbidden")


def test_ones_own_from_another_workstation(root, item):
    mine = acquire(make_workstation(root.user, "elsewhere"), item).session
    assert take_it(root, mine).status_code == 200
    assert EditSession.objects.get().workstation == root
