"""`edit.line_changed`: who is told, with which length, and that nothing is asked for it where nobody waits."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sessions_app import operations
from sessions_app.models import EditSession, PlaceInLine, Workstation
from tests.factories import (
    acquire,
    connect,
    depart,
    events,
    grant_what_is_free,
    let_go,
    make_item,
    stand,
    wait_for,
)

pytestmark = pytest.mark.django_db


def lines(since=0):
    """The part number, the object and the length of each that was told, in order."""
    return [
        (data["part_number"], data["object_id"], data["length"])
        for kind, _, data in events()[since:]
        if kind == "edit.line_changed"
    ]


def test_each_that_comes_and_each_that_leaves_is_told_to_watchers_and_holders(
    held, ada, bob, carol
):
    wait_for(bob, held)
    wait_for(bob, held, cone=("another",))
    place = wait_for(carol, held).place
    operations.line.step_out(place.pk)
    number = held.item.part_number
    assert lines() == [(number, "Sketch001", length) for length in (1, 2, 1)]
    kind, channels, data = events()[-1]
    assert kind == "edit.line_changed"
    assert channels == {"all", f"item:{held.item_id}", f"workstation:{ada.pk}"}
    # Nobody is named: who waits is in the list, for whom may read it.
    assert data == {
        "item_id": str(held.item_id),
        "part_number": number,
        "context_level": "partdesign",
        "object_id": "Sketch001",
        "length": 1,
    }


def test_a_turn_is_told_with_what_is_left_of_the_line(held, bob, carol):
    for workstation in (bob, carol):
        wait_for(workstation, held)
    since = len(events())
    let_go(held.pk)
    assert lines(since) == [("A01-0001", "Sketch001", 1)]
    assert events()[-1][1] == {"all", f"item:{held.item_id}", f"workstation:{bob.pk}"}


def test_a_departure_tells_of_every_line_that_it_leaves(ada, bob, carol):
    sessions = [acquire(ada, make_item(f"B-{number}")).session for number in range(3)]
    for session in sessions[:2]:
        wait_for(carol, session)
    for session in sessions[1:]:
        wait_for(bob, session)
    since = len(events())
    # It holds nothing.
    depart(bob)
    assert sorted(lines(since)) == [("B-1", "", 1), ("B-2", "", 0)]
    since = len(events())
    # What is left of its lines is told after the turns that its sessions leave.
    depart(ada)
    assert sorted(lines(since)) == [("B-0", "", 0), ("B-1", "", 0)]
    assert {session.workstation for session in EditSession.objects.all()} == {carol}


def test_a_lost_place_and_a_free_lock_are_told(held, bob, carol):
    for workstation in (bob, carol):
        wait_for(workstation, held)
    since = len(events())
    bob.user.is_active = False
    bob.user.save()
    assert len(operations.line.lose(timedelta(minutes=15), 10)) == 1
    assert lines(since) == [("A01-0001", "Sketch001", 1)]
    EditSession.objects.filter(pk=held.pk).delete()
    since = len(events())
    assert grant_what_is_free(10)
    assert lines(since) == [("A01-0001", "Sketch001", 0)]


def test_an_acquire_of_what_one_waits_for_tells_of_it(held, bob, carol):
    for workstation in (bob, carol):
        wait_for(workstation, held)
    EditSession.objects.filter(pk=held.pk).delete()
    since = len(events())
    acquire(bob, held.item, "Sketch001", "partdesign")
    assert lines(since) == [("A01-0001", "Sketch001", 1)]
    assert next(kind for kind, _, _ in events()[since:]) == "edit.session_acquired"


def test_nothing_is_told_or_asked_where_nobody_waits(ada, bob, item):
    """An acquire, a release and a departure look at no line's length."""

    def run():
        let_go(acquire(ada, item, "Sketch001").session.pk)
        acquire(ada, item, "Sketch002")
        depart(ada)
        connect(ada)

    with CaptureQueriesContext(connection) as asked:
        run()
    counting = [
        query["sql"]
        for query in asked.captured_queries
        if "COUNT(" in query["sql"] and "sessions_app_placeinline" in query["sql"]
    ]
    assert not counting
    assert not lines()


def test_a_deleted_workstation_tells_of_its_lines(held, bob):
    wait_for(bob, held)
    since = len(events())
    operations.workstations.delete([bob.pk], ended_by="bob")
    assert not Workstation.objects.filter(pk=bob.pk).exists()
    assert not PlaceInLine.objects.exists()
    assert lines(since) == [("A01-0001", "Sketch001", 0)]


def test_whoever_stands_for_a_free_lock_changes_no_line(bob, item):
    stand(bob, item)
    assert not lines()
