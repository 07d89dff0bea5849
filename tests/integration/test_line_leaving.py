"""How a place in line is lost: by leaving, by an acquire, a departure, the time-out; and how it is not."""

import uuid
from datetime import timedelta
from functools import partial

import pytest
from django.conf import settings
from django.db.models.functions import Now

from events_app.models import Connection, Observation, ServerProcess
from events_app.presence import clean_up, store
from events_app.presence.backend import backend
from events_app.presence.server_processes import ProcessIdentity
from events_app.presence.store import Arrival, Departure
from sessions_app.models import EditSession, PlaceInLine, Workstation
from sessions_app.roles import Role
from tests.factories import (
    acquire,
    api_of,
    check_refused,
    clean_up_one,
    counts,
    depart,
    let_go,
    make_connected,
    make_item,
    make_user,
    make_workstation,
    stand,
)

pytestmark = pytest.mark.django_db

URL = "/api/items/A01-0001/edit-session-requests"
TIMEOUT = timedelta(minutes=15)
HOUR = timedelta(hours=1)


@pytest.fixture
def server(bob):
    """The process that serves bob's stream."""
    return ProcessIdentity(Connection.objects.get(key=bob.pk).process_id)


@pytest.fixture
def waiting(ada, bob, item):
    """Bob waits for what ada has."""
    acquire(ada, item)
    return stand(bob, item).place


def open_stream(server, workstation):
    stream = Arrival(uuid.uuid4(), workstation.pk)
    store.arrive(server, [stream])
    return stream


def one_line():
    places = PlaceInLine.objects.with_position().order_by("number")
    return [(place.position, place.workstation.user.username) for place in places]


def delete(place, user):
    return api_of(user)("DELETE", f"{URL}/{place.pk}")


def test_leaving_moves_the_others_up(waiting, carol, item):
    place = stand(carol, item).place
    stand(make_connected("dora"), item)
    before = counts()
    answer = delete(place, carol.user)
    assert (answer.status_code, answer.content) == (204, b"")
    assert one_line() == [(1, "bob"), (2, "dora")]
    assert counts() == before | {"PlaceInLine": 2, "LogEntry": before["LogEntry"] + 1}
    assert stand(carol, item).place.position == 3


def test_a_second_time_there_is_no_place_to_leave(waiting, bob):
    assert delete(waiting, bob.user).status_code == 204
    check_refused(lambda: delete(waiting, bob.user), 404, "not_found")


def test_a_place_is_known_by_its_item_and_id_together(waiting, bob):
    make_item("A01-0002")
    for url in (f"{URL}/{waiting.pk}".replace("0001", "0002", 1), f"{URL}/{uuid.uuid4()}"):
        check_refused(partial(api_of(bob.user), "DELETE", url), 404, "not_found")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_anothers_place_cannot_be_left(waiting, role):
    other = make_user("other", role)
    check_refused(lambda: delete(waiting, other), 403, "forbidden")


def test_an_admin_removes_any_place(waiting, carol, item):
    stand(carol, item)
    before = counts()
    assert delete(waiting, make_user("root", Role.ADMIN)).status_code == 204
    assert one_line() == [(1, "carol")]
    assert counts() == before | {"PlaceInLine": 1, "LogEntry": before["LogEntry"] + 1}


def test_a_token_below_admin_limits_an_admin_here_too(waiting):
    root = make_user("root", Role.ADMIN)
    editing = api_of(root, Role.EDITOR)
    check_refused(lambda: editing("DELETE", f"{URL}/{waiting.pk}"), 403, "forbidden")


def test_its_user_leaves_it_from_anywhere(waiting, bob):
    make_workstation(bob.user, "at home")
    assert delete(waiting, bob.user).status_code == 204


def test_a_place_whose_turn_has_come_is_gone(waiting, bob):
    let_go(EditSession.objects.get().pk)
    check_refused(lambda: delete(waiting, bob.user), 404, "not_found")


def test_acquiring_what_one_waits_for_ends_the_waiting_for_it_only(ada, bob, carol, item):
    held = acquire(ada, item, "A").session
    acquire(ada, item, "B")
    for one in (bob, carol):
        stand(one, item, "A")
        stand(one, item, "B")
    # As if all in the line had been away when it ended.
    held.delete()
    acquire(carol, item, "A")
    left = PlaceInLine.objects.order_by("object_id", "number").values_list(
        "object_id", "workstation__name"
    )
    assert list(left) == [("A", "bob's"), ("B", "bob's"), ("B", "carol's")]


def test_a_departure_loses_the_places_and_only_ones_own(waiting, bob, carol, item):
    stand(carol, item)
    depart(bob)
    assert one_line() == [(1, "carol")]


def test_a_place_after_a_departure_is_the_last(waiting, server, bob, carol, item):
    stand(carol, item)
    depart(bob)
    open_stream(server, bob)
    assert stand(bob, item).place.position == 2


def test_a_departure_of_a_waiting_holder_grants_its_session_to_the_next(
    waiting, ada, bob, carol, item
):
    acquire(bob, item, "bob's")
    stand(carol, item, "bob's")
    stand(ada, item, "bob's")
    depart(bob)
    assert one_line() == [(1, "ada")]
    assert EditSession.objects.get(object_id="bob's").workstation == carol


def test_two_who_depart_at_once_get_nothing_of_each_other(server, ada, bob, item):
    acquire(ada, item, "A")
    acquire(bob, item, "B")
    stand(ada, item, "B")
    stand(bob, item, "A")
    streams = Connection.objects.all()
    store.depart(server, [Departure(s.pk, s.key, True) for s in streams])
    assert not EditSession.objects.exists()
    assert not PlaceInLine.objects.exists()


def test_one_of_two_windows_that_closes_loses_nothing(waiting, server, bob):
    newer = open_stream(server, bob)
    store.depart(server, [Departure(newer.connection_id, newer.key, True)])
    assert one_line() == [(1, "bob")]


def test_with_a_grace_only_its_end_loses_them(waiting, bob, monkeypatch):
    monkeypatch.setattr(settings, "EVENTS_DISCONNECT_GRACE", TIMEOUT)
    depart(bob)
    backend().time_passes()
    assert one_line() == [(1, "bob")]
    Observation.objects.update(last_beat=Now(), since=Now() - HOUR)
    Workstation.objects.filter(pk=bob.pk).update(away_since=Now() - HOUR)
    backend().time_passes()
    assert one_line() == []


def test_a_return_within_the_grace_keeps_the_places(waiting, server, bob, monkeypatch):
    monkeypatch.setattr(settings, "EVENTS_DISCONNECT_GRACE", TIMEOUT)
    depart(bob)
    open_stream(server, bob)
    Observation.objects.update(last_beat=Now(), since=Now() - HOUR)
    backend().time_passes()
    assert one_line() == [(1, "bob")]


@pytest.mark.parametrize("end", ["it stops", "it dies", "it closes the stream"])
def test_a_server_that_goes_loses_no_place(waiting, server, bob, end):
    if end == "it stops":
        clean_up.unregister(server)
    elif end == "it closes the stream":
        depart(bob, by_client=False)
    else:
        ServerProcess.objects.filter(pk=server.id).update(last_beat=Now() - HOUR)
        assert clean_up_one(timedelta(seconds=10))
    assert not Connection.objects.filter(key=bob.pk).exists()
    assert one_line() == [(1, "bob")]


def test_a_departure_counts_once_the_dead_server_is_cleaned_up(waiting, server, bob):
    other = ProcessIdentity()
    store.register(other, [])
    newer = open_stream(other, bob)
    ServerProcess.objects.filter(pk=server.id).update(last_beat=Now() - HOUR)
    store.depart(other, [Departure(newer.connection_id, newer.key, True)])
    assert one_line() == [(1, "bob")]
    assert clean_up_one(timedelta(seconds=10))
    assert one_line() == []
