"""The time-out loses places in line, under the outage rule."""

import logging
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from events_app.models import Connection, Observation
from sessions_app import operations
from sessions_app.models import EditSession, PlaceInLine, Workstation
from sessions_app.sweeper import Sweep
from tests.factories import (
    acquire,
    connect,
    counts,
    grant_what_is_free,
    let_go,
    make_user,
    make_workstation,
    stand,
)

pytestmark = pytest.mark.django_db

TIMEOUT = timedelta(minutes=15)
LONGER = timedelta(minutes=16)
SHORTER = timedelta(minutes=14)


@pytest.fixture
def place(item):
    """Bob's: he has no stream, and was not seen for longer than the time-out, in which servers were there."""
    acquire(make_workstation(make_user("ada")), item)
    bob = make_workstation(make_user("bob"), "bob's")
    connect(bob)
    place = stand(bob, item).place
    Connection.objects.all().delete()
    Workstation.objects.filter(pk=bob.pk).update(last_seen=Now() - LONGER)
    Observation.objects.update(last_beat=Now(), since=Now() - LONGER)
    return place


def lose(limit=10):
    return [place.pk for place in operations.line.lose(TIMEOUT, limit)]


def check_is_kept():
    assert lose() == []
    assert PlaceInLine.objects.exists()


def test_a_place_without_stream_is_lost_after_the_timeout(place):
    before = counts()
    assert lose() == [place.pk]
    assert lose() == []
    assert counts() == before | {"PlaceInLine": 0, "LogEntry": before["LogEntry"] + 1}


def test_a_place_of_a_workstation_seen_since_is_kept(place):
    Workstation.objects.update(last_seen=Now() - SHORTER)
    check_is_kept()


def test_a_place_with_a_stream_is_kept(place):
    connect(place.workstation)
    check_is_kept()


def test_for_what_no_server_could_observe_nobody_loses_it(place):
    Observation.objects.update(since=Now() - SHORTER)
    check_is_kept()


def test_while_no_server_is_there_nobody_loses_it(place):
    Observation.objects.update(last_beat=Now() - SHORTER)
    check_is_kept()


def test_a_lost_place_has_no_turn(place):
    lose()
    connect(place.workstation)
    let_go(EditSession.objects.get().pk)
    assert not grant_what_is_free(10)
    assert not EditSession.objects.exists()


def test_a_lost_place_moves_the_others_up(place, item):
    carol = make_workstation(make_user("carol"))
    connect(carol)
    assert stand(carol, item).place.position == 2
    lose()
    assert stand(carol, item).place.position == 1


def test_no_more_than_a_limited_number_at_once(place, item):
    connect(place.workstation)
    acquire(make_workstation(make_user("carol")), item, "another")
    stand(place.workstation, item, "another")
    Connection.objects.all().delete()
    assert len(lose(limit=1)) == 1
    assert len(lose(limit=1)) == 1
    assert lose(limit=1) == []


def test_the_sweeper_does_it_and_says_so(place, caplog):
    # Nothing is to expire but the place.
    sweep = Sweep(TIMEOUT, timedelta(0), timedelta(hours=24))
    with caplog.at_level(logging.INFO):
        while sweep.step():
            pass
    [record] = [record for record in caplog.records if record.message == "place in line lost"]
    assert record.levelno == logging.INFO
    said = (record.place, record.user, record.item, record.workstation)
    assert said == (place.pk, "bob", "A01-0001", "bob's")
    assert sweep.counts == {"places": 1}
    assert EditSession.objects.count() == 1


def test_the_sweeper_loses_those_of_deactivated_users(place):
    connect(place.workstation)
    user = place.workstation.user
    type(user).objects.filter(pk=user.pk).update(is_active=False)
    assert lose() == [place.pk]
