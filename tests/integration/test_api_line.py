"""`/api/items/{part_number}/edit-session-requests`: stand in line, see it, leave it."""

import uuid

import pytest

from events_app.models import Connection
from sessions_app.models import EditSession, PlaceInLine
from sessions_app.roles import Role
from tests.factories import (
    A_TIME,
    A_UUID,
    acquire,
    api_of,
    ask_for_lock,
    check_refused,
    connect,
    counts,
    events,
    holder_of,
    make_connected,
    make_item,
    make_user,
    make_workstation,
    stand,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("item")]

URL = "/api/items/A01-0001/edit-session-requests"


def ask(workstation, url=URL, **wanted):
    return ask_for_lock(workstation, url, **wanted)


def line(part_number="A01-0001"):
    """The line as anybody sees it."""
    viewer = api_of(make_user(uuid.uuid4().hex, Role.VIEWER))
    return viewer("GET", f"/api/items/{part_number}/edit-session-requests").json()["requests"]


def test_a_place_in_line_is_answered_with_its_holder(ada, bob, item):
    held = acquire(ada, item, "Sketch001", "partdesign").session
    before = counts()
    answer = ask(bob, context_level="partdesign", object_id="Sketch001", dependency_cone=["n1"])
    assert answer.status_code == 201
    place = PlaceInLine.objects.get()
    assert answer.json() == {
        "id": str(place.pk),
        "request_id": str(place.pk),
        "item_id": str(item.pk),
        "part_number": "A01-0001",
        "user": "bob",
        "user_name": "bob",
        "workstation": {"id": str(bob.pk), "name": "bob's"},
        "note": "",
        "context_level": "partdesign",
        "object_id": "Sketch001",
        "position": 1,
        "connection_id": None,
        "requested_at": A_TIME,
        "existing": False,
        "holder": holder_of(held),
    }
    assert place.dependency_cone == ["n1"]
    assert counts() == before | {"PlaceInLine": 1, "LogEntry": before["LogEntry"] + 1}


def test_a_free_lock_is_acquired_without_a_place(ada, item):
    answer = ask(ada, object_id="Sketch001", dependency_cone=["n1"])
    assert answer.status_code == 200
    session = EditSession.objects.get()
    body = answer.json()
    assert (body["id"], body["existing"]) == (str(session.pk), False)
    assert (body["interference"], body["dependency_cone"]) == ("none", ["n1"])
    assert not PlaceInLine.objects.exists()
    assert [kind for kind, _, _ in events()] == ["edit.session_acquired"]


def test_an_existing_session_is_returned(ada, bob, item):
    held = acquire(ada, item).session
    stand(bob, item)
    before = counts()
    answer = ask(ada)
    assert answer.status_code == 200
    assert (answer.json()["id"], answer.json()["existing"]) == (str(held.pk), True)
    assert counts() == before


def test_first_come_first_served(ada, bob, carol, item):
    acquire(ada, item)
    waiting = [make_connected(name) for name in ("dora", "emil", "fritz")]
    assert [ask(one).json()["position"] for one in (carol, *waiting, bob)] == [1, 2, 3, 4, 5]
    found = [(place["position"], place["user"]) for place in line()]
    assert found == [(1, "carol"), (2, "dora"), (3, "emil"), (4, "fritz"), (5, "bob")]


def test_every_item_level_and_object_has_a_line_of_its_own(ada, bob, carol, item):
    other = make_item("A01-0002")
    locks = [
        (item, "sketch", ""),
        (item, "sketch", "A"),
        (item, "assembly", ""),
        (other, *("sketch", "")),
    ]
    for where, level, name in locks:
        acquire(ada, where, name, level)
        for position, one in enumerate((bob, carol), 1):
            url = URL.replace("A01-0001", where.part_number)
            answer = ask(one, url, context_level=level, object_id=name)
            assert answer.json()["position"] == position
    found = [(p["context_level"], p["object_id"], p["position"], p["user"]) for p in line()]
    assert found == [
        ("assembly", "", 1, "bob"),
        ("assembly", "", 2, "carol"),
        ("sketch", "", 1, "bob"),
        ("sketch", "", 2, "carol"),
        ("sketch", "A", 1, "bob"),
        ("sketch", "A", 2, "carol"),
    ]
    assert [place["user"] for place in line("A01-0002")] == ["bob", "carol"]


@pytest.mark.parametrize("wanted", [{}, {"object_id": None}, {"object_id": ""}])
def test_no_object_and_an_empty_one_are_one_line(ada, bob, item, wanted):
    acquire(ada, item)
    first = ask(bob).json()
    assert ask(bob, **wanted).json()["id"] == first["id"]


def test_asking_again_gives_the_same_place_and_moves_nobody(ada, bob, carol, item):
    acquire(ada, item)
    first = ask(bob, dependency_cone=["n1"]).json()
    ask(carol)
    again = ask(bob)
    assert again.status_code == 201
    assert again.json() == first | {"existing": True}
    assert [place["user"] for place in line()] == ["bob", "carol"]
    assert PlaceInLine.objects.get(workstation=bob).dependency_cone == ["n1"]
    ask(bob, dependency_cone=["n2"])
    assert PlaceInLine.objects.get(workstation=bob).dependency_cone == ["n2"]


def test_each_workstation_of_a_user_has_a_place_of_its_own(ada, bob, item):
    acquire(ada, item)
    mine = make_workstation(ada.user, "ada's other")
    connect(mine)
    assert [ask(one).json()["position"] for one in (mine, bob)] == [1, 2]


def test_the_list_looks_as_the_answer_did(ada, bob, item):
    acquire(ada, item)
    answer = ask(bob).json()
    del answer["existing"], answer["holder"]
    assert line() == [answer]
    assert [answer["id"], answer["requested_at"]] == [A_UUID, A_TIME]


def test_without_a_line_it_is_empty_and_without_the_item_404(ada, item):
    assert line() == []
    url = URL.replace("A01-0001", "A01-0002")
    check_refused(lambda: api_of(ada.user)("GET", url), 404, "not_found")


@pytest.mark.parametrize("free", [True, False])
def test_without_a_stream_nobody_stands_in_line(ada, bob, item, free):
    if not free:
        acquire(ada, item)
    Connection.objects.filter(key=bob.pk).delete()
    check_refused(lambda: ask(bob), 409, "not_connected")


@pytest.mark.parametrize("whose", ["nobody's", "another workstation's"])
@pytest.mark.parametrize("free", [True, False])
def test_a_place_with_an_ended_connection_is_refused(ada, bob, item, free, whose):
    if not free:
        acquire(ada, item)
    connection = uuid.uuid4() if whose == "nobody's" else connect(ada)
    check_refused(lambda: ask(bob, connection_id=connection), 409, "not_connected")


def test_with_the_one_that_is_open_one_does(ada, bob, item):
    acquire(ada, item)
    assert ask(bob, connection_id=connect(bob)).status_code == 201


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("role", [Role.EDITOR, Role.ADMIN])
def test_a_place_for_anothers_workstation_is_refused(ada, bob, item, role, free):
    if not free:
        acquire(ada, item)
    root = make_workstation(make_user("root", role))
    check_refused(lambda: ask(root, workstation_id=bob.pk), 403, "forbidden")


def test_a_viewer_may_see_the_line_but_not_stand_in_it(ada, item):
    vera = make_connected("vera", Role.VIEWER)
    acquire(ada, item)
    check_refused(lambda: ask(vera), 403, "forbidden")
    assert api_of(vera.user)("GET", URL).status_code == 200


def test_an_unknown_item_or_place_is_404(ada):
    check_refused(lambda: ask(ada, URL.replace("0001", "0002")), 404, "not_found")
    check_refused(lambda: ask(ada, workstation_id=uuid.uuid4()), 404, "not_found")
