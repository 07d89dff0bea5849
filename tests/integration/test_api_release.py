"""Release and force-release: one end, one record, one event."""

import uuid
from functools import partial

import pytest
from django.utils.dateparse import parse_datetime

from sessions_app.models import EditSession, EndedSession
from sessions_app.roles import Role
from tests.factories import (
    A_TIME,
    acquire,
    api_of,
    check_refused,
    events,
    identity_of,
    make_connected,
    make_item,
    make_workstation,
    session_url,
)

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("all_ways")]


def release(caller, session):
    return api_of(caller.user)("DELETE", session_url(session))


def force_release(caller, session, body=None, query=""):
    return api_of(caller.user)("DELETE", session_url(session, "force-release") + query, body)


def test_a_release_ends_the_session_and_answers_nothing(ada, held):
    answer = release(ada, held)
    assert (answer.status_code, answer.content) == (204, b"")
    assert not EditSession.objects.exists()


def test_it_leaves_one_record(ada, held):
    release(ada, held)
    record = EndedSession.objects.values().get()
    assert record.pop("released_at") > held.acquired_at
    assert record.pop("id")
    assert record == {
        "session_id": held.pk,
        "item_id": held.item_id,
        "part_number": "A01-0001",
        "user_id": ada.user.pk,
        "username": "ada",
        "user_name": "ada",
        "workstation_id": ada.pk,
        "workstation_name": "ada's",
        "context_level": "partdesign",
        "object_id": "Sketch001",
        "fencing_token": held.fencing_token,
        "acquired_at": held.acquired_at,
        "last_heartbeat": held.last_heartbeat,
        "reason": "released",
        "ended_by": "",
        "note": "",
        "session_note": "",
    }


def test_it_tells_the_watchers_the_holders_and_who_held_it(ada, bob, held):
    acquire(bob, held.item, "Sketch007")
    told = len(events())
    release(ada, held)
    [(kind, channels, data)] = events()[told:]
    assert kind == "edit.session_released"
    assert channels == {
        "all",
        f"item:{held.item_id}",
        f"workstation:{ada.pk}",
        f"workstation:{bob.pk}",
    }
    record = EndedSession.objects.get()
    assert parse_datetime(data["acquired_at"]) <= held.acquired_at
    assert parse_datetime(data["released_at"]) <= record.released_at
    assert data == identity_of(held) | {
        "reason": "released",
        "released_at": A_TIME,
        "acquired_at": A_TIME,
    }


@pytest.mark.parametrize("way", ["release", "force"])
def test_a_second_time_it_is_gone_and_nothing_else_happens(root, ada, held, way):
    api, path = (
        (api_of(ada.user), session_url(held))
        if way == "release"
        else (api_of(root.user), session_url(held, "force-release") + "?reason=Holiday")
    )
    assert api("DELETE", path).status_code == 204
    for _ in range(2):
        check_refused(partial(api, "DELETE", path), 404, "not_found")


def test_a_session_ends_one_way_only(root, ada, held):
    assert force_release(root, held, {"reason": "Holiday"}).status_code == 204
    check_refused(lambda: release(ada, held), 404, "not_found")
    assert [record.reason for record in EndedSession.objects.all()] == ["force_released"]


def test_other_sessions_stay(ada, held):
    other = acquire(ada, held.item).session
    release(ada, held)
    assert EditSession.objects.get() == other


def test_its_user_may_release_it_from_anywhere(ada, held):
    make_workstation(ada.user, "at home")
    assert release(ada, held).status_code == 204
    assert EndedSession.objects.get().workstation_name == "ada's"


@pytest.mark.parametrize("role", [Role.EDITOR, Role.ADMIN])
def test_anothers_session_is_not_released(held, role):
    carol = make_connected("carol", role)
    check_refused(lambda: release(carol, held), 403, "forbidden")


@pytest.mark.parametrize("ending", ["", "force-release?reason=Holiday"])
def test_a_session_is_known_by_its_item_and_id_together(root, held, ending):
    make_item("A01-0002")
    for path in (
        session_url(held, ending, "A01-0002"),
        session_url(held, ending, "A01-0003"),
        session_url(EditSession(id=uuid.uuid4()), ending, "A01-0001"),
    ):
        check_refused(partial(api_of(root.user), "DELETE", path), 404, "not_found")


# -- by force --


@pytest.mark.parametrize(
    ("query", "body", "note"),
    [
        ("", {"reason": "He left."}, "He left."),
        ("?reason=He%20left.", None, "He left."),
        ("?reason=He%20left.", {}, "He left."),
        ("?reason=He%20left.", {"reason": None}, "He left."),
        ("?reason=query", {"reason": "body"}, "body"),
        ("?reason=%F0%9F%9B%A0", None, "🛠"),
        ("", {"reason": "x" * 2000}, "x" * 2000),
    ],
)
def test_the_reason_comes_in_body_or_query_and_is_kept(root, held, query, body, note):
    answer = force_release(root, held, body, query)
    assert (answer.status_code, answer.content) == (204, b"")
    record = EndedSession.objects.get()
    assert (record.session_id, record.reason) == (held.pk, "force_released")
    assert (record.ended_by, record.note) == ("root", note)
    assert not EditSession.objects.exists()


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", None),
        ("", {}),
        ("", {"reason": ""}),
        ("", {"reason": " "}),
        ("?reason=", None),
        ("?reason=%20", None),
        ("?reason", None),
        ("?Reason=Holiday", None),
    ],
)
def test_without_a_reason_nothing_is_forced(root, held, query, body):
    check_refused(lambda: force_release(root, held, body, query), 422, "invalid")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_only_an_admin_may(held, role):
    carol = make_connected("carol", role)
    check_refused(lambda: force_release(carol, held, {"reason": "Mine!"}), 403, "forbidden")


def test_an_editor_may_not_force_even_what_is_their_own(ada, held):
    check_refused(lambda: force_release(ada, held, {"reason": "Mine!"}), 403, "forbidden")


def test_a_forced_holder_is_notified_why_before_the_watchers(root, ada, held):
    told = len(events())
    force_release(root, held, {"reason": "Holiday"})
    (first, to_first, data), (second, to_second, released) = events()[told:]
    assert first == "edit.force_released"
    assert to_first == {f"workstation:{ada.pk}"}
    identity = identity_of(held)
    assert data == identity | {"by": "root", "reason": "Holiday"}
    assert second == "edit.session_released"
    assert to_second == {"all", f"item:{held.item_id}", f"workstation:{ada.pk}"}
    times = {"released_at": A_TIME, "acquired_at": A_TIME}
    assert released == identity | {"reason": "force_released"} | times
