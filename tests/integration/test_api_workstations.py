"""`/api/workstations`."""

import uuid
from datetime import timedelta

import pytest
from django.db.models import F

from sessions_app.models import EditSession, EndedSession, Workstation
from sessions_app.roles import Role
from tests.factories import (
    A_TIME,
    A_UUID,
    acquire,
    api_of,
    check_refused,
    connect,
    events,
    make_item,
    make_user,
    make_workstation,
)

pytestmark = pytest.mark.django_db

BODY = {"name": "cad-1", "fingerprint": "4c4c4544"}


@pytest.fixture
def ada():
    return make_user("ada")


@pytest.fixture
def api(ada):
    return api_of(ada)


def test_a_new_one_is_201_and_then_known(api):
    first = api("POST", "/api/workstations", BODY)
    assert first.status_code == 201
    assert first.json() == BODY | {"id": A_UUID, "last_seen": A_TIME, "created_at": A_TIME}
    second = api("POST", "/api/workstations", BODY)
    assert second.status_code == 200
    assert second.json() | {"last_seen": ""} == first.json() | {"last_seen": ""}
    assert Workstation.objects.count() == 1


def test_it_is_seen_and_takes_its_new_name(api):
    first = api("POST", "/api/workstations", BODY).json()
    Workstation.objects.update(last_seen=F("last_seen") - timedelta(days=1))
    second = api("POST", "/api/workstations", BODY | {"name": "Ω 🛠"}).json()
    assert second == first | {"name": "Ω 🛠", "last_seen": second["last_seen"]}
    assert second["last_seen"] >= first["last_seen"]
    assert api("GET", "/api/workstations").json()["workstations"] == [second]


def test_two_users_with_one_fingerprint_have_two(api):
    bob = api_of(make_user("bob"))
    ids = {one("POST", "/api/workstations", BODY).json()["id"] for one in (api, bob)}
    assert len(ids) == 2


def test_two_fingerprints_are_two(api):
    for fingerprint in ("a", "A", "a "):
        answer = api("POST", "/api/workstations", BODY | {"fingerprint": fingerprint})
        assert answer.status_code == 201


def test_one_sees_ones_own_in_order_of_creation(api, ada):
    make_workstation(make_user("bob"))
    names = ["c", "a", "b"]
    for name in names:
        api("POST", "/api/workstations", {"name": name, "fingerprint": name})
    answer = api("GET", "/api/workstations")
    assert answer.status_code == 200
    assert answer.json().keys() == {"workstations", "next"}
    shown = answer.json()["workstations"]
    assert [one["name"] for one in shown] == names
    assert all(
        one
        == {
            "id": A_UUID,
            "name": name,
            "fingerprint": name,
            "last_seen": A_TIME,
            "created_at": A_TIME,
        }
        for one, name in zip(shown, names, strict=True)
    )


def test_without_any_the_list_is_empty(api):
    assert api("GET", "/api/workstations").json() == {"workstations": [], "next": None}


def test_one_with_an_open_stream_is_seen_now(api, ada):
    for name in ("connected", "away"):
        workstation = make_workstation(ada, name)
        if name == "connected":
            connect(workstation)
    Workstation.objects.update(last_seen=F("last_seen") - timedelta(days=1))
    shown = {one["name"]: one for one in api("GET", "/api/workstations").json()["workstations"]}
    assert shown["connected"]["last_seen"] > shown["connected"]["created_at"]
    assert shown["away"]["last_seen"] < shown["away"]["created_at"]


def test_deleting_one_releases_what_it_held_and_nothing_else(api, ada):
    workstation, other, item = make_workstation(ada), make_workstation(ada), make_item()
    ended = {acquire(workstation, item, name).session.pk for name in "AB"}
    stays = acquire(other, item, "C").session
    told = len(events())
    answer = api("DELETE", f"/api/workstations/{workstation.pk}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert list(Workstation.objects.all()) == [other]
    assert list(EditSession.objects.all()) == [stays]
    records = EndedSession.objects.all()
    assert {record.session_id for record in records} == ended
    assert {record.reason for record in records} == {"workstation_deleted"}
    assert {record.workstation_name for record in records} == {"cad-1"}
    new = events()[told:]
    assert {data["session_id"] for _, _, data in new} == {str(pk) for pk in ended}
    for kind, channels, data in new:
        assert (kind, data["reason"]) == ("edit.session_released", "workstation_deleted")
        assert channels == {
            "all",
            f"item:{item.pk}",
            f"workstation:{workstation.pk}",
            f"workstation:{other.pk}",
        }


def test_an_idle_one_goes_without_a_word(api, ada):
    workstation = make_workstation(ada)
    assert api("DELETE", f"/api/workstations/{workstation.pk}").status_code == 204
    assert events() == []


def test_a_second_time_it_is_gone(api, ada):
    path = f"/api/workstations/{make_workstation(ada).pk}"
    assert api("DELETE", path).status_code == 204
    check_refused(lambda: api("DELETE", path), 404, "not_found")


def test_it_can_be_registered_again_as_a_new_one(api):
    first = api("POST", "/api/workstations", BODY).json()["id"]
    api("DELETE", f"/api/workstations/{first}")
    again = api("POST", "/api/workstations", BODY)
    assert (again.status_code, again.json()["id"] != first) == (201, True)


def test_an_unknown_one_is_404(api):
    check_refused(lambda: api("DELETE", f"/api/workstations/{uuid.uuid4()}"), 404, "not_found")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_somebody_elses_stays(ada, role):
    workstation = make_workstation(ada)
    acquire(workstation, make_item())
    bob, path = api_of(make_user("bob", role)), f"/api/workstations/{workstation.pk}"
    check_refused(lambda: bob("DELETE", path), 403, "forbidden")


def test_an_admin_may_delete_anybodys(ada):
    workstation = make_workstation(ada)
    acquire(workstation, make_item())
    root = api_of(make_user("root", Role.ADMIN))
    assert root("DELETE", f"/api/workstations/{workstation.pk}").status_code == 204
    record = EndedSession.objects.get()
    assert (record.reason, record.ended_by) == ("workstation_deleted", "root")


@pytest.mark.parametrize("own", [True, False])
def test_releasing_anothers_workstation_records_the_admin(ada, own):
    workstation = make_workstation(ada)
    acquire(workstation, make_item())
    who = ada if own else make_user("root", Role.ADMIN)
    path = f"/api/workstations/{workstation.pk}/edit-sessions"
    assert api_of(who)("DELETE", path).json() == {"released": 1}
    record = EndedSession.objects.get()
    assert (record.reason, record.ended_by) == ("released", "" if own else "root")


def test_not_with_a_lesser_token(ada):
    root = make_user("root", Role.ADMIN)
    path = f"/api/workstations/{make_workstation(ada).pk}"
    check_refused(lambda: api_of(root, Role.EDITOR)("DELETE", path), 403, "forbidden")
