"""`POST .../{session_id}/handoff`: hand a session over to somebody who wants it."""

import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.db.models.functions import Now

from events_app.models import Connection, ServerProcess
from sessions_app import operations
from sessions_app.models import EditSession, EndedSession, HandoffRequest, PlaceInLine
from sessions_app.roles import Role
from tests.factories import (
    acquire,
    api_of,
    check_refused,
    connect,
    events,
    let_go,
    make_connected,
    make_user,
    make_workstation,
    session_url,
    stand,
    wait_for,
)

pytestmark = pytest.mark.django_db


def hand_over(session, target, user=None):
    body = {"to_workstation_id": target if isinstance(target, uuid.UUID) else target.pk}
    return api_of(user or session.user)("POST", session_url(session, "handoff"), body)


def ask_for(workstation, session, named=True):
    more = {"workstation_id": workstation.pk} if named else {}
    answer = api_of(workstation.user)(
        "POST", session_url(session, "request-handoff"), {"message": "Please"} | more
    )
    assert answer.status_code == 202


wanting = pytest.mark.parametrize("want", [ask_for, wait_for])


@wanting
def test_the_answer_is_the_new_session_of_the_target(held, bob, want):
    want(bob, held)
    answer = hand_over(held, bob)
    assert answer.status_code == 200
    session = EditSession.objects.get()
    body = answer.json()
    assert (body["id"], body["user"], body["existing"]) == (str(session.pk), "bob", False)
    assert body["workstation"] == {"id": str(bob.pk), "name": "bob's"}
    assert (body["context_level"], body["object_id"]) == ("partdesign", "Sketch001")
    assert body["fencing_token"] == session.fencing_token > held.fencing_token
    assert (session.workstation, session.user) == (bob, bob.user)
    assert session.pk != held.pk


@wanting
def test_the_old_one_ends_as_handed_off_once(held, bob, want):
    want(bob, held)
    told = len(events())
    hand_over(held, bob)
    record = EndedSession.objects.get()
    assert (record.session_id, record.reason, record.ended_by) == (held.pk, "handed_off", "")
    (released, _, end), (acquired, _, begin), (granted, _, turn), *line = events()[told:]
    # Who has only asked has no place to lose.
    assert [kind for kind, _, _ in line] == ["edit.line_changed"] * (want is wait_for)
    assert (released, end["reason"]) == ("edit.session_released", "handed_off")
    assert acquired == "edit.session_acquired"
    assert granted == "edit.session_granted"
    assert end["session_id"] == str(held.pk)
    assert begin["session_id"] == turn["session_id"] == str(EditSession.objects.get().pk)


def test_each_is_told_what_concerns_it(held, ada, bob, carol):
    acquire(carol, held.item, "carol's")
    ask_for(bob, held)
    told = len(events())
    answer = hand_over(held, bob).json()
    (_, ended, _), (_, begun, _), (_, granted, turn) = events()[told:]
    watching = {"all", f"item:{held.item_id}", f"workstation:{carol.pk}"}
    assert ended == watching | {f"workstation:{ada.pk}"}
    assert begun == watching | {f"workstation:{bob.pk}"}
    assert granted == {f"workstation:{bob.pk}"}
    assert turn == answer


def test_a_requester_gets_the_cone_of_the_session(held, bob):
    ask_for(bob, held)
    assert hand_over(held, bob).json()["dependency_cone"] == ["n1"]


def test_a_target_in_line_gets_the_cone_of_its_place(held, bob):
    wait_for(bob, held, ("n2",))
    ask_for(bob, held)
    assert hand_over(held, bob).json()["dependency_cone"] == ["n2"]


def test_an_empty_cone_of_the_place_is_no_cone(held, bob):
    wait_for(bob, held)
    assert hand_over(held, bob).json()["dependency_cone"] == ["n1"]


def test_the_answer_names_whom_the_target_meets(held, ada, bob, carol):
    theirs = acquire(carol, held.item, "carol's", cone=("n1",)).session
    acquire(bob, held.item, "bob's", cone=("n1",))
    mine = acquire(ada, held.item, "ada's", cone=("n1",)).session
    ask_for(bob, held)
    answer = hand_over(held, bob).json()
    assert answer["interference"] == "soft"
    met = {conflict["session_id"] for conflict in answer["conflicts"]}
    assert met == {str(theirs.pk), str(mine.pk)}


def test_verify_refuses_the_old_token_and_takes_the_new_one(held, ada, bob):
    ask_for(bob, held)
    new = hand_over(held, bob).json()
    api = api_of(ada.user)
    old = api("POST", session_url(held, "verify"), {"fencing_token": held.fencing_token})
    assert (old.status_code, old.json()["error"]) == (409, "stale_token")
    session = EditSession.objects.get()
    answers = [
        api("POST", session_url(session, "verify"), {"fencing_token": token}).status_code
        for token in (held.fencing_token, new["fencing_token"])
    ]
    assert answers == [409, 200]


def test_the_targets_place_vanishes_and_the_others_stay(held, bob, carol):
    dora = make_connected("dora")
    for one in (bob, carol, dora):
        wait_for(one, held)
    assert hand_over(held, carol).status_code == 200
    left = PlaceInLine.objects.order_by("number").values_list("workstation__name", flat=True)
    assert list(left) == ["bob's", "dora's"]
    let_go(EditSession.objects.get().pk)
    assert EditSession.objects.get().workstation == bob


def test_only_its_place_for_this_vanishes(held, ada, bob):
    acquire(ada, held.item, "other")
    stand(bob, held.item, "other")
    ask_for(bob, held)
    assert hand_over(held, bob).status_code == 200
    assert PlaceInLine.objects.get().object_id == "other"


def test_a_hand_off_passes_over_the_line(held, bob, carol):
    wait_for(bob, held)
    ask_for(carol, held)
    hand_over(held, carol)
    assert EditSession.objects.get().workstation == carol


def test_a_request_without_workstation_allows_each_of_the_users(held, bob):
    at_home = make_workstation(bob.user, "at home")
    connect(at_home)
    ask_for(bob, held, named=False)
    assert hand_over(held, at_home).status_code == 200


def test_a_request_for_one_workstation_allows_no_other(held, bob):
    at_home = make_workstation(bob.user, "at home")
    connect(at_home)
    ask_for(bob, held)
    check_refused(lambda: hand_over(held, at_home), 409, "not_requested")


def test_it_goes_to_ones_own_other_workstation_in_line(held, ada):
    mine = make_workstation(ada.user, "ada's other")
    connect(mine)
    wait_for(mine, held)
    assert hand_over(held, mine).json()["workstation"]["name"] == "ada's other"


def test_a_request_for_another_session_or_a_left_place_does_not_count(held, ada, bob):
    ask_for(bob, acquire(ada, held.item, "other").session)
    stand(bob, held.item, "other")
    wait_for(bob, held)
    operations.line.step_out(PlaceInLine.objects.get(object_id="Sketch001").pk)
    check_refused(lambda: hand_over(held, bob), 409, "not_requested")


def test_having_asked_does_not_outlast_the_session(held, ada, bob):
    ask_for(bob, held)
    let_go(held.pk)
    assert not HandoffRequest.objects.exists()
    again = acquire(ada, held.item, "Sketch001", "partdesign").session
    check_refused(lambda: hand_over(again, bob), 409, "not_requested")


def test_the_holder_itself_is_no_target(held, ada, bob):
    connect(ada)
    wait_for(bob, held)
    check_refused(lambda: hand_over(held, ada), 409, "not_requested")


@wanting
@pytest.mark.parametrize("how", ["it has no stream", "its server is dead"])
def test_the_target_has_to_be_connected(held, bob, want, how):
    want(bob, held)
    if how == "it has no stream":
        Connection.objects.all().delete()
    else:
        ServerProcess.objects.update(last_beat=Now() - timedelta(minutes=1))
    check_refused(lambda: hand_over(held, bob), 409, "not_connected")


@wanting
@pytest.mark.parametrize("how", ["a viewer", "nothing", "inactive"])
def test_the_targets_user_has_to_be_an_editor(held, bob, want, how):
    want(bob, held)
    if how == "inactive":
        type(bob.user).objects.filter(pk=bob.user_id).update(is_active=False)
    else:
        groups = [Group.objects.get(name=Role.VIEWER.group)] if how == "a viewer" else []
        bob.user.groups.set(groups)
    check_refused(lambda: hand_over(held, bob), 409, "not_an_editor")


@pytest.mark.parametrize("role", [Role.EDITOR, Role.ADMIN])
def test_only_its_owner_hands_it_over(held, bob, role):
    ask_for(bob, held)
    root = make_user("root", role)
    check_refused(lambda: hand_over(held, bob, root), 403, "forbidden")
    check_refused(lambda: hand_over(held, bob, bob.user), 403, "forbidden")


def test_an_unknown_or_ended_session_is_404(held, bob):
    ask_for(bob, held)
    check_refused(lambda: hand_over(held, uuid.uuid4()), 404, "not_found")
    assert hand_over(held, bob).status_code == 200
    check_refused(lambda: hand_over(held, bob), 404, "not_found")


def leave_line(session, workstation):
    [place] = PlaceInLine.objects.filter(workstation=workstation)
    path = session_url(session).replace("edit-sessions", "edit-session-requests")
    path = path.replace(str(session.pk), str(place.pk))
    assert api_of(workstation.user)("DELETE", path).status_code == 204


def test_leaving_the_line_withdraws_the_request_made_there(held, bob, carol):
    for one in (bob, carol):
        ask_for(one, held)
        wait_for(one, held)
    leave_line(held, bob)
    check_refused(lambda: hand_over(held, bob), 409, "not_requested")
    assert hand_over(held, carol).status_code == 200


def test_leaving_the_line_keeps_requests_made_otherwise(held, bob):
    other = acquire(held.workstation, held.item, "Sketch002", "partdesign").session
    ask_for(bob, held, named=False)
    ask_for(bob, other)
    wait_for(bob, held)
    leave_line(held, bob)
    for session in (held, other):
        assert hand_over(session, bob).status_code == 200
