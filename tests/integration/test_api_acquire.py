"""`POST /api/items/{part_number}/edit-sessions`."""

import uuid
from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from sessions_app.models import EditSession, Workstation
from sessions_app.roles import Role
from tests.factories import (
    A_TIME,
    A_UUID,
    acquire,
    ask_for_lock,
    check_refused,
    connect,
    counts,
    events,
    holder_of,
    let_go,
    make_item,
    make_user,
    make_workstation,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("item"),
    pytest.mark.usefixtures("all_ways"),
]

URL = "/api/items/A01-0001/edit-sessions"


def ask(workstation, url=URL, **wanted):
    return ask_for_lock(workstation, url, **wanted)


def test_a_free_lock_is_acquired(ada, item):
    answer = ask(ada, object_id="Sketch001", dependency_cone=["n1", "n2"])
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("application/json")
    session = EditSession.objects.get()
    assert answer.json() == {
        "id": str(session.pk),
        "session_id": str(session.pk),
        "item_id": str(item.pk),
        "part_number": "A01-0001",
        "user": "ada",
        "user_name": "ada",
        "workstation": {"id": str(ada.pk), "name": "ada's"},
        "context_level": "sketch",
        "object_id": "Sketch001",
        "fencing_token": session.fencing_token,
        "note": "",
        "connection_id": None,
        "acquired_at": A_TIME,
        "last_heartbeat": A_TIME,
        "away_since": None,
        "idle_since": None,
        "dependency_cone": ["n1", "n2"],
        "interference": "none",
        "existing": False,
        "conflicts": [],
    }
    assert session.dependency_cone == ["n1", "n2"]
    assert type(answer.json()["fencing_token"]) is int


def test_the_watchers_and_the_holders_of_the_item_are_told(ada, bob, item):
    acquire(bob, item, "Sketch002")
    answer = ask(ada, object_id="Sketch001").json()
    kind, channels, data = events()[-1]
    assert kind == "edit.session_acquired"
    assert channels == {"all", f"item:{item.pk}", f"workstation:{ada.pk}", f"workstation:{bob.pk}"}
    same = (
        "item_id part_number session_id user user_name workstation context_level object_id fencing_token"
        " note connection_id acquired_at interference"
    )
    assert data == {key: answer[key] for key in same.split()}


@pytest.mark.parametrize("wanted", [{}, {"object_id": None}, {"object_id": ""}])
def test_no_object_and_an_empty_one_are_one(ada, bob, wanted):
    first = ask(ada, **wanted)
    assert first.json()["object_id"] == ""
    assert EditSession.objects.get().object_id == ""
    for again in ({}, {"object_id": None}, {"object_id": ""}):
        assert ask(ada, **again).json()["id"] == first.json()["id"]
        assert ask(bob, **again).status_code == 409


def test_asking_again_gives_back_the_same_session(ada, item):
    first = ask(ada, dependency_cone=["n1"]).json()
    EditSession.objects.update(last_heartbeat=F("last_heartbeat") - timedelta(hours=1))
    told = len(events())
    second = ask(ada, dependency_cone=["n1"])
    assert second.status_code == 200
    answer = second.json()
    assert answer.pop("last_heartbeat") > first.pop("last_heartbeat")
    assert answer == first | {"existing": True}
    assert EditSession.objects.filter(last_heartbeat__gt=Now() - timedelta(minutes=1)).count() == 1
    assert len(events()) == told


def test_each_session_has_a_greater_token_than_the_one_before(ada):
    tokens = [ask(ada, object_id=str(number)).json()["fencing_token"] for number in range(5)]
    assert tokens == sorted(set(tokens))
    let_go(EditSession.objects.order_by("fencing_token").last().pk)
    assert ask(ada, object_id="4").json()["fencing_token"] > tokens[-1]


@pytest.mark.parametrize("level", ["sketch", "partdesign", "assembly"])
def test_every_level_is_a_lock_of_its_own(ada, bob, level):
    for other in {"sketch", "partdesign", "assembly"} - {level}:
        assert ask(bob, context_level=other, object_id="X").status_code == 200
    assert ask(ada, context_level=level, object_id="X").json()["context_level"] == level
    assert ask(bob, context_level=level, object_id="X").status_code == 409


@pytest.mark.parametrize(("one", "other"), [("x", "X"), ("x", "x "), ("é", "e\u0301"), ("", " ")])
def test_objects_are_told_apart_to_the_letter(ada, bob, one, other):
    assert ask(ada, object_id=one).status_code == 200
    assert ask(bob, object_id=other).status_code == 200


@pytest.mark.parametrize("holder", ["another user", "the same user elsewhere"])
def test_a_held_lock_is_refused_with_its_holder(ada, bob, item, holder):
    other = bob if holder == "another user" else make_workstation(ada.user, "ada's other")
    held = ask(other, object_id="Sketch001").json()
    before, told = counts(), len(events())
    answer = ask(ada, object_id="Sketch001", dependency_cone=["n1"])
    assert answer.status_code == 409
    assert answer.json() == {
        "error": "hard_interference",
        "message": f"{other.user} is editing this on {other.name}.",
        "holder": holder_of(EditSession.objects.get()),
    }
    assert answer.json()["holder"]["acquired_at"] == held["acquired_at"]
    assert (counts(), len(events())) == (before, told)


def test_an_acquire_ends_absence_and_its_answer_says_so(ada, item, settings):
    settings.EVENTS_DISCONNECT_GRACE = timedelta(minutes=1)
    acquire(ada, item, "older")
    Workstation.objects.update(departed_at=Now(), away_since=Now())
    assert ask(ada).json()["away_since"] is None
    assert [kind for kind, _, _ in events()[-2:]] == ["edit.session_back", "edit.session_acquired"]
    assert not Workstation.objects.exclude(away_since=None).exists()


def test_a_refusal_does_not_keep_the_holder_alive(ada, bob, item):
    session = acquire(bob, item).session
    ask(ada)
    assert EditSession.objects.get().last_heartbeat == session.last_heartbeat


def test_an_ended_session_frees_its_lock(ada, bob, item):
    let_go(acquire(bob, item).session.pk)
    assert ask(ada).json()["existing"] is False


MEET = [
    # theirs: level, object, cone; ours: object, cone; what both have, or None where they do not meet
    ("sketch", "A", "n1 n2", "B", "n2 n3", ["n2"]),
    ("assembly", "A", "n1 n2", "B", "n2 n1", ["n1", "n2"]),
    ("partdesign", "B", "n1", "B", "n1", ["n1"]),
    ("sketch", "A", "n1 n1", "B", "n1 n1", ["n1"]),
    ("sketch", "A", "n1", "B", "n2", None),
    ("sketch", "A", "n1", "B", "N1", None),
    ("assembly", "B", "n1", "B", "", None),
    ("sketch", "A", "", "B", "", None),
    ("sketch", "", "", "B", "", []),
    ("assembly", "", "n1", "B", "n1 n2", ["n1"]),
    ("sketch", "A", "", "", "", []),
    ("assembly", "A", "n1", "", "n1", ["n1"]),
    ("assembly", "", "", "", "", []),
]


@pytest.mark.parametrize(("level", "theirs", "their_cone", "ours", "our_cone", "shared"), MEET)
def test_cones_that_meet_are_soft_interference(
    ada, bob, item, level, theirs, their_cone, ours, our_cone, shared
):
    held = acquire(bob, item, theirs, level, tuple(their_cone.split())).session
    answer = ask(ada, object_id=ours, dependency_cone=our_cone.split())
    assert answer.status_code == 200
    expected = holder_of(held) | {"shared": shared}
    soft = shared is not None
    assert answer.json()["interference"] == ("soft" if soft else "none")
    assert answer.json()["conflicts"] == ([expected] if soft else [])
    [told] = [
        data
        for kind, _, data in events()
        if data["session_id"] == answer.json()["id"] and "acq" in kind
    ]
    assert told["interference"] == answer.json()["interference"]


def test_every_session_that_is_met_is_named(ada, bob, item):
    met = {str(acquire(bob, item, name, cone=("n1",)).session.pk) for name in "ABC"}
    acquire(bob, item, "D", cone=("n2",))
    conflicts = ask(ada, object_id="E", dependency_cone=["n1"]).json()["conflicts"]
    assert {conflict["session_id"] for conflict in conflicts} == met


def test_one_does_not_interfere_with_oneself_nor_over_items(ada, bob, item):
    ask(ada, object_id="A", dependency_cone=["n1"])
    acquire(bob, make_item("A01-0002"), cone=("n1",))
    assert ask(ada, object_id="B", dependency_cone=["n1"]).json()["interference"] == "none"


def test_ones_other_workstation_is_another(ada, item):
    acquire(make_workstation(ada.user), item, "A", cone=("n1",))
    assert ask(ada, object_id="B", dependency_cone=["n1"]).json()["interference"] == "soft"


def test_asking_again_tells_of_the_interference_too(ada, bob, item):
    ask(ada, object_id="A", dependency_cone=["n1"])
    acquire(bob, item, "B", cone=("n1",))
    answer = ask(ada, object_id="A", dependency_cone=["n1"]).json()
    assert (answer["existing"], answer["interference"]) == (True, "soft")


def test_with_the_connection_that_is_open_it_is_given(ada):
    assert ask(ada, connection_id=connect(ada)).status_code == 200


@pytest.mark.parametrize("whose", ["nobody's", "another workstation's", "ended"])
def test_with_another_connection_it_is_not(ada, bob, whose):
    connection = uuid.uuid4()
    if whose == "another workstation's":
        connection = connect(bob)
    elif whose == "ended":
        connect(ada)
    check_refused(lambda: ask(ada, connection_id=connection), 409, "not_connected")


def test_not_even_what_it_has_already(ada):
    ask(ada)
    check_refused(lambda: ask(ada, connection_id=uuid.uuid4()), 409, "not_connected")


def test_an_unknown_item_is_404(ada):
    check_refused(lambda: ask(ada, "/api/items/A01-0002/edit-sessions"), 404, "not_found")


def test_an_unknown_workstation_is_404(ada):
    check_refused(lambda: ask(ada, workstation_id=uuid.uuid4()), 404, "not_found")


@pytest.mark.parametrize("role", [Role.EDITOR, Role.ADMIN])
def test_somebody_elses_workstation_is_403_for_everyone(bob, role):
    carol = make_workstation(make_user("carol", role))
    check_refused(lambda: ask(carol, workstation_id=bob.pk), 403, "forbidden")


def test_times_and_ids_look_as_they_should(ada):
    answer = ask(ada).json()
    assert answer["acquired_at"] == A_TIME
    assert answer["last_heartbeat"] == A_TIME
    assert [answer["id"], answer["item_id"], answer["workstation"]["id"]] == [A_UUID] * 3
