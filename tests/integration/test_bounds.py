"""What one transaction does is bounded, whatever meets, waits or leaves: else the database would give it up."""

import pytest
from django.db import connection

from events_app.database import sql
from events_app.log import event_log
from sessions_app import operations
from sessions_app.interference import compare
from sessions_app.models import EditSession, PlaceInLine, Workstation, place_in_line
from sessions_app.models.results import Wanted
from tests.factories import (
    acquire,
    connect,
    events,
    grant_what_is_free,
    let_go,
    make_user,
    make_workstation,
    stand,
)

pytestmark = pytest.mark.django_db


def fill(workstation, item, count):
    wanted = [
        Wanted(item.part_number, "sketch", f"{workstation.name} {number}", ["n1"])
        for number in range(count)
    ]
    return operations.acquire.acquire_all(workstation.user, workstation.pk, wanted)


def test_ending_sessions_that_all_meet_notifies_each(monkeypatch, ada, bob, item):
    monkeypatch.setattr(compare, "MAX_MEETINGS", 100)
    fill(ada, item, 60)
    met = fill(bob, item, 60)
    assert {len(acquired.conflicts) for acquired in met} == {1}
    told = len(events())
    assert len(operations.release.release_all(ada.pk)) == 60
    resolved = [data for kind, _, data in events()[told:] if kind.endswith("_resolved")]
    assert len(resolved) == 60
    assert {data["session_id"] for data in resolved} == {str(one.session.pk) for one in met}


def test_turns_with_large_cones_come_one_after_the_other(monkeypatch, ada, bob, item):
    monkeypatch.setattr(place_in_line, "MAX_TURN_NODE_KEYS", 25)
    connect(bob)
    for number in range(5):
        acquire(ada, item, str(number))
        stand(bob, item, str(number), cone=[f"n{key}" for key in range(10)])
    operations.release.release_all(ada.pk)

    def got():
        held = EditSession.objects.filter(workstation=bob).order_by("object_id")
        return "".join(held.values_list("object_id", flat=True))

    assert got() == "01"
    assert len(grant_what_is_free(500)) == 2
    assert got() == "0123"
    assert len(grant_what_is_free(500)) == 1
    assert got() == "01234"
    assert not PlaceInLine.objects.exists()


def test_one_place_with_a_cone_larger_than_that_has_its_turn(monkeypatch, ada, bob, item):
    monkeypatch.setattr(place_in_line, "MAX_TURN_NODE_KEYS", 5)
    connect(bob)
    session = acquire(ada, item).session
    stand(bob, item, cone=[f"n{key}" for key in range(10)])
    let_go(session.pk)
    assert EditSession.objects.get().workstation == bob


def test_a_busy_workstation_holds_up_its_own_turn_only(monkeypatch, ada, bob, item):
    for workstation, name in ((ada, "A"), (bob, "B")):
        connect(workstation)
        held = acquire(make_workstation(make_user(f"holder of {name}")), item, name).session
        stand(workstation, item, name)
        held.delete()
    free = Workstation.objects.all().__class__.try_lock

    def try_lock(self, ids):
        return free(self, set(ids) - {ada.pk})

    monkeypatch.setattr(Workstation.objects.all().__class__, "try_lock", try_lock)
    assert [one.session.workstation for one in grant_what_is_free(10)] == [bob]
    monkeypatch.undo()
    assert [one.session.workstation for one in grant_what_is_free(10)] == [ada]


def test_a_page_of_the_relay_ends_where_entries_are_large():
    ids = event_log.append(
        [event_log.NewEvent({"all"}, "test", "x" * size) for size in (10, 10, 500, 10, 10)]
    )

    def page(after, most):
        with connection.cursor() as cursor:
            cursor.execute(sql.LOG_AFTER, [after, event_log.PAGE_SIZE, most])
            return [(row[2], row[8]) for row in cursor.fetchall()]

    assert page(ids[0] - 1, 1000) == list(zip(ids, [10, 20, 520, 530, 540], strict=True))
    assert page(ids[0] - 1, 100) == list(zip(ids[:3], [10, 20, 520], strict=True))
    assert page(ids[2] - 1, 100) == [(ids[2], 500)]
    assert page(ids[-1], 100) == [(None, None)]
