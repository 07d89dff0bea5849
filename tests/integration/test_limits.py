"""What one workstation and one user may hold: what is more is refused with the reason, and changes nothing."""

import pytest

from sessions_app import operations
from sessions_app.models import EditSession, PlaceInLine, Workstation
from sessions_app.models.results import Wanted
from tests.factories import (
    acquire,
    api_of,
    check_refused,
    let_go,
    make_item,
    make_user,
    make_workstation,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def limits(settings):
    def set_limits(**values):
        settings.LIMITS = settings.LIMITS.model_copy(update=values)

    return set_limits


def ask(workstation, item, object_id="", cone=0, path="edit-sessions"):
    body = {
        "workstation_id": workstation.pk,
        "context_level": "sketch",
        "object_id": object_id,
        "dependency_cone": [f"n{number}" for number in range(cone)],
    }
    return api_of(workstation.user)("POST", f"/api/items/{item.part_number}/{path}", body)


def stand_in_line(workstation, item, object_id, cone=0):
    return ask(workstation, item, object_id, cone, "edit-session-requests")


def check_limited(request, code, limit, held):
    answer = check_refused(request, 422, code, limit=limit, held=held)
    assert f"{limit:,}" in answer.json()["message"]


def test_sessions_of_a_workstation(limits, ada, item):
    limits(sessions_per_workstation=2)
    for name in "AB":
        assert ask(ada, item, name).status_code == 200
    check_limited(lambda: ask(ada, item, "C"), "too_many_sessions", 2, 2)
    # What it holds it is given again, and another workstation of the user has its own.
    assert ask(ada, item, "B").json()["existing"]
    assert ask(make_workstation(ada.user, "second"), item, "C").status_code == 200


def test_sessions_of_a_user(limits, ada, item):
    limits(sessions_per_user=2)
    for workstation, name in ((ada, "A"), (make_workstation(ada.user, "second"), "B")):
        assert ask(workstation, item, name).status_code == 200
    check_limited(lambda: ask(ada, item, "C"), "too_many_sessions", 2, 2)


def test_a_batch_is_refused_as_a_whole(limits, ada, item):
    limits(sessions_per_workstation=2)
    sessions = [
        {"part_number": item.part_number, "context_level": "sketch", "object_id": name}
        for name in "ABC"
    ]
    body = {"workstation_id": ada.pk, "sessions": sessions}
    api = api_of(ada.user)
    check_limited(lambda: api("POST", "/api/edit-sessions/batch", body), "too_many_sessions", 2, 0)


def test_node_keys_of_a_user(limits, ada, item):
    limits(node_keys_per_user=10)
    assert ask(ada, item, "A", cone=6).status_code == 200
    check_limited(lambda: ask(ada, item, "B", cone=5), "too_many_node_keys", 10, 6)
    assert ask(ada, item, "B", cone=4).status_code == 200
    # A cone that is no larger is no more; a larger one is.
    assert ask(ada, item, "A", cone=5).status_code == 200
    check_limited(lambda: ask(ada, item, "A", cone=7), "too_many_node_keys", 10, 9)
    assert ask(ada, item, "C").status_code == 200
    assert EditSession.objects.get(object_id="A").node_keys == 5


@pytest.fixture
def held_by_bob(bob, item):
    for name in "ABC":
        acquire(bob, item, name)


def test_places_of_a_user(limits, ada, item, held_by_bob):
    limits(places_per_user=2)
    for name in "AB":
        assert stand_in_line(ada, item, name).status_code == 201
    check_limited(lambda: stand_in_line(ada, item, "C"), "too_many_places", 2, 2)
    assert stand_in_line(ada, item, "B").json()["existing"]


def test_node_keys_of_places_count_and_a_turn_is_not_refused(limits, ada, item, held_by_bob):
    limits(node_keys_per_user=10, sessions_per_workstation=1)
    assert ask(ada, item, "mine", cone=6).status_code == 200
    assert stand_in_line(ada, item, "A", 4).status_code == 201
    check_limited(lambda: stand_in_line(ada, item, "B", 1), "too_many_node_keys", 10, 10)
    for session in EditSession.objects.exclude(workstation=ada):
        let_go(session.pk)
    assert set(EditSession.objects.values_list("object_id", flat=True)) == {"mine", "A"}
    assert not PlaceInLine.objects.exists()


def test_workstations_of_a_user(limits, item):
    limits(workstations_per_user=2)
    api = api_of(make_user("ada"))

    def register(name):
        return api("POST", "/api/workstations", {"name": name, "fingerprint": name})

    assert [register(name).status_code for name in "AB"] == [201, 201]
    check_limited(lambda: register("C"), "too_many_workstations", 2, 2)
    assert register("B").status_code == 200
    assert Workstation.objects.count() == 2


def test_node_keys_are_counted_by_the_database(ada, item):
    session = acquire(ada, item, "A", cone=("n1", "n2")).session
    assert session.node_keys == 2
    wanted = Wanted(item.part_number, "sketch", "A", ["n3"])
    operations.acquire.acquire(ada.user, ada.pk, wanted)
    session.refresh_from_db()
    assert session.node_keys == 1
    other = make_item("A01-0002")
    place = PlaceInLine.objects.create(item=other, workstation=ada, dependency_cone=["n1"])
    place.refresh_from_db()
    assert place.node_keys == 1
