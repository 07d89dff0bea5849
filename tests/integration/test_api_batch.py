"""`POST /api/edit-sessions/batch`: all or nothing."""

import uuid
from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from sessions_app.models import EditSession, PlaceInLine
from sessions_app.roles import Role
from tests.factories import (
    A_TIME,
    acquire,
    api_of,
    check_refused,
    connect,
    counts,
    events,
    holder_of,
    make_item,
    make_user,
    make_workstation,
    stand,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("all_ways")]

URL = "/api/edit-sessions/batch"
PARTS = ["C3", "A1", "DIN 912/M5", "B2"]


@pytest.fixture
def items():
    return {part: make_item(part) for part in PARTS}


@pytest.fixture
def ask(ada, items):
    apis = {}

    def ask(sessions, workstation=ada, **more):
        user = workstation.user
        api = apis.setdefault(user, api_of(user))
        return api("POST", URL, {"workstation_id": workstation.pk, "sessions": sessions} | more)

    return ask


def want(part, object_id=None, level="sketch", **more):
    return {"part_number": part, "context_level": level, "object_id": object_id} | more


def told_since(before):
    return events()[before:]


def test_all_of_them_are_given_in_the_order_asked(ask, items):
    wanted = [want(part, f"{part} object", dependency_cone=[part]) for part in PARTS]
    answer = ask(wanted)
    assert answer.status_code == 200
    sessions = answer.json()["sessions"]
    assert [session["part_number"] for session in sessions] == PARTS
    assert [session["object_id"] for session in sessions] == [f"{part} object" for part in PARTS]
    assert [session["dependency_cone"] for session in sessions] == [[part] for part in PARTS]
    assert {session["id"] for session in sessions} == {
        str(pk) for pk in EditSession.objects.values_list("pk", flat=True)
    }


def test_each_looks_as_the_answer_to_an_acquire(ask, ada, items):
    [session] = ask([want("A1")]).json()["sessions"]
    again = api_of(ada.user)(
        "POST",
        "/api/items/A1/edit-sessions",
        {"workstation_id": ada.pk, "context_level": "sketch"},
    ).json()
    assert again.pop("last_heartbeat") >= session.pop("last_heartbeat")
    assert again == session | {"existing": True}
    assert session["acquired_at"] == A_TIME


def test_tokens_grow_in_the_order_asked_and_over_what_was_before(ask, bob, items):
    before = acquire(bob, items["A1"], "older").session.fencing_token
    tokens = [s["fencing_token"] for s in ask([want(part) for part in PARTS]).json()["sessions"]]
    assert tokens == sorted(set(tokens))
    assert tokens[0] > before


def test_the_events_come_in_the_order_asked_each_to_its_item(ask, ada, bob, items):
    acquire(bob, items["B2"], "elsewhere")
    before = len(events())
    sessions = ask([want(part) for part in PARTS]).json()["sessions"]
    told = told_since(before)
    assert [kind for kind, _, _ in told[4:]] == ["edit.interference"] * 2
    told = told[:4]
    assert [kind for kind, _, _ in told] == ["edit.session_acquired"] * 4
    assert [data["session_id"] for _, _, data in told] == [session["id"] for session in sessions]
    for (_, channels, _), part in zip(told, PARTS, strict=True):
        holders = {f"workstation:{bob.pk}"} if part == "B2" else set()
        assert channels == {"all", f"item:{items[part].pk}", f"workstation:{ada.pk}"} | holders


def test_existing_sessions_are_returned_without_an_event(ask, ada, items):
    held = acquire(ada, items["A1"], cone=("n1",)).session
    EditSession.objects.update(last_heartbeat=F("last_heartbeat") - timedelta(hours=1))
    before = len(events())
    sessions = ask([want(part) for part in PARTS]).json()["sessions"]
    assert [session["existing"] for session in sessions] == [part == "A1" for part in PARTS]
    mine = sessions[PARTS.index("A1")]
    assert (mine["id"], mine["fencing_token"]) == (str(held.pk), held.fencing_token)
    assert mine["dependency_cone"] == ["n1"]
    assert len(told_since(before)) == 3
    assert EditSession.objects.filter(last_heartbeat__gt=Now() - timedelta(minutes=1)).count() == 4


def test_a_batch_asked_again_changes_nothing(ask):
    wanted = [want(part) for part in PARTS]
    first = ask(wanted).json()["sessions"]
    before = counts()
    again = ask(wanted).json()["sessions"]
    assert [session["id"] for session in again] == [session["id"] for session in first]
    assert all(session["existing"] for session in again)
    assert counts() == before


def test_one_held_lock_refuses_the_batch_and_every_holder_is_named(ask, ada, bob, items):
    other = make_workstation(ada.user, "ada's other")
    first = acquire(bob, items["B2"], "X", "assembly").session
    second = acquire(other, items["DIN 912/M5"]).session
    acquire(bob, items["A1"], "not wanted")
    before = counts()
    answer = ask([want(part) for part in PARTS] + [want("B2", "X", "assembly")])
    assert answer.status_code == 409
    body = answer.json()
    assert body.keys() == {"error", "message", "holders"}
    assert body["error"] == "hard_interference"
    assert body["message"].startswith("ada is editing DIN 912/M5 on ada's other")
    assert body["holders"] == [
        {"part_number": part} | holder_of(session)
        for part, session in (("DIN 912/M5", second), ("B2", first))
    ]
    assert counts() == before


def test_a_refusal_touches_nothing_and_leaves_no_line(ask, ada, bob, items):
    connect(ada)
    held = acquire(ada, items["C3"], cone=("n1",)).session
    acquire(bob, items["A1"])
    stand(ada, items["A1"])
    assert ask([want("C3", dependency_cone=["n2"]), want("A1")]).status_code == 409
    now = EditSession.objects.get(pk=held.pk)
    assert (now.last_heartbeat, now.dependency_cone) == (held.last_heartbeat, ["n1"])
    assert PlaceInLine.objects.count() == 1


def test_a_batch_removes_own_places_for_the_acquired_locks_only(ask, ada, bob, items):
    connect(ada)
    for part in PARTS[:3]:
        acquire(bob, items[part])
        stand(ada, items[part])
    connect(bob)
    for session in EditSession.objects.filter(item__part_number__in=PARTS[:2]):
        # Gone without its end being noticed by the line, as when all in it were away.
        session.delete()
    stand(bob, items[PARTS[0]])
    assert ask([want(part) for part in PARTS[:2]]).status_code == 200
    left = set(PlaceInLine.objects.values_list("item__part_number", "workstation__name"))
    assert left == {(PARTS[2], "ada's"), (PARTS[0], "bob's")}


def test_locks_that_recombine_a_batchs_values_are_unrelated(ask, ada, bob, items):
    connect(ada)
    acquire(bob, items["A1"], "x", "assembly")
    free = acquire(bob, items["B2"], "x", "assembly").session
    for part in ("A1", "B2"):
        stand(ada, items[part], "x", "assembly")
    free.delete()
    answer = ask([want("A1", "x", "sketch"), want("B2", "x", "assembly")])
    assert answer.status_code == 200
    assert PlaceInLine.objects.get().item == items["A1"]


@pytest.mark.parametrize("again", [None, "", "absent"])
@pytest.mark.parametrize("first", [None, "", "absent"])
def test_a_batch_with_one_lock_twice_is_invalid_however_it_is_written(ask, first, again):
    wanted = [want("A1", first), want("B2"), want("A1", again)]
    for one in wanted:
        if one["object_id"] == "absent":
            del one["object_id"]
    check_refused(lambda: ask(wanted), 422, "invalid")


def test_another_object_or_level_is_not_the_same(ask):
    wanted = [want("A1", "x"), want("A1", "X"), want("A1"), want("A1", "x", "assembly")]
    assert len(ask(wanted).json()["sessions"]) == 4


def test_each_says_whom_it_meets_but_not_the_others_of_the_batch(ask, bob, items):
    met = acquire(bob, items["A1"], "theirs", cone=("n1", "n2")).session
    wanted = [
        want("A1", "a", dependency_cone=["n2"]),
        want("A1", "b", dependency_cone=["n2", "n1"]),
        want("A1", "c", dependency_cone=["n3"]),
        want("B2", "d", dependency_cone=["n1"]),
    ]
    before = len(events())
    sessions = ask(wanted).json()["sessions"]
    found = [[(c["session_id"], c["shared"]) for c in s["conflicts"]] for s in sessions]
    assert found == [[(str(met.pk), ["n2"])], [(str(met.pk), ["n1", "n2"])], [], []]
    expected = ["soft", "soft", "none", "none"]
    assert [session["interference"] for session in sessions] == expected
    told = [data for kind, _, data in told_since(before) if kind == "edit.session_acquired"]
    assert [data["interference"] for data in told] == expected


@pytest.mark.parametrize("whose", ["nobody's", "another workstation's"])
def test_with_a_connection_that_is_not_open_nothing_is_given(ask, ada, bob, whose):
    connect(ada)
    connection = connect(bob) if whose == "another workstation's" else uuid.uuid4()
    check_refused(lambda: ask([want("A1")], connection_id=connection), 409, "not_connected")


def test_with_the_one_that_is_open_it_is(ask, ada):
    assert ask([want("A1")], connection_id=connect(ada)).status_code == 200


def test_an_unknown_item_refuses_all_and_is_named(ask):
    answer = check_refused(lambda: ask([want("A1"), want("Z9"), want("B2")]), 404, "not_found")
    assert "Z9" in answer.json()["message"]
    assert "A1" not in answer.json()["message"]


def test_only_some_of_very_many_unknown_items_are_named(ask):
    answer = ask([want(f"unknown {number}") for number in range(1000)])
    assert answer.status_code == 404
    assert len(answer.json()["message"]) < 500


def test_an_unknown_workstation_is_404(ask, ada):
    check_refused(lambda: ask([want("A1")], workstation_id=uuid.uuid4()), 404, "not_found")


@pytest.mark.parametrize("role", [Role.EDITOR, Role.ADMIN])
def test_somebody_elses_workstation_is_403_for_everyone(ask, ada, role):
    carol = make_workstation(make_user("carol", role))
    check_refused(lambda: ask([want("A1")], carol, workstation_id=ada.pk), 403, "forbidden")


def test_a_viewer_may_not(ask):
    vera = make_workstation(make_user("vera", Role.VIEWER))
    check_refused(lambda: ask([want("A1")], vera), 403, "forbidden")
