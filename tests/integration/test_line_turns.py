"""Whose turn it is: in the transaction that ends a session, the first in line gets it."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from sessions_app import operations
from sessions_app.models import EditSession, EndedSession, PlaceInLine
from tests.factories import (
    A_TIME,
    acquire,
    api_of,
    connect,
    events,
    holder_of,
    identity_of,
    let_go,
    make_connected,
    make_item,
    make_workstation,
    stand,
    wait_for,
)
from tests.integration.ending import ENDS, delete_its_workstation

pytestmark = pytest.mark.django_db


def check_is_held_by(workstation, after):
    """The lock has gone over: one session, with a greater token, and no place any more."""
    session = EditSession.objects.get(item=after.item, object_id=after.object_id)
    assert (session.workstation, session.user) == (workstation, workstation.user)
    assert session.fencing_token > after.fencing_token
    assert not PlaceInLine.objects.filter(workstation=workstation).exists()
    return session


@pytest.mark.parametrize(
    ("end", "reason"), ENDS.items(), ids=lambda end: getattr(end, "__name__", "")
)
def test_every_way_to_end_grants_the_first_in_line(
    held, bob, carol, end, reason, django_capture_on_commit_callbacks
):
    wait_for(bob, held, ("n2",))
    wait_for(carol, held, ("n2",))
    told = len(events())
    end(held, on_commit=django_capture_on_commit_callbacks)
    assert [record.reason for record in EndedSession.objects.all()] == [reason]
    check_is_held_by(bob, held)
    assert PlaceInLine.objects.get().workstation == carol
    kinds = [kind for kind, _, _ in events()[told:]]
    forced = ["edit.force_released"] if reason == "force_released" else []
    assert kinds == [
        *forced,
        "edit.session_released",
        "edit.session_acquired",
        "edit.session_granted",
        "edit.line_changed",
    ]


def test_a_turn_notifies_watchers_of_an_acquire_and_its_workstation_alone(held, bob):
    dora = make_connected("dora")
    met = acquire(dora, held.item, "elsewhere", cone=("n2", "n3")).session
    wait_for(bob, held, ("n2",))
    told = len(events())
    let_go(held.pk)
    session = check_is_held_by(bob, held)
    [_, (_, watchers, acquired), (_, own, granted), *both, line] = events()[told:]
    assert line[0] == "edit.line_changed"
    assert [kind for kind, _, _ in both] == ["edit.interference"] * 2
    watching = {"all", f"item:{held.item_id}", f"workstation:{dora.pk}"}
    assert watchers == watching | {f"workstation:{bob.pk}"}
    assert own == {f"workstation:{bob.pk}"}
    assert acquired == identity_of(session) | {
        "note": "",
        "connection_id": None,
        "acquired_at": A_TIME,
        "interference": "soft",
    }
    assert {key: granted[key] for key in acquired} == acquired
    assert granted["fencing_token"] == session.fencing_token
    assert granted["dependency_cone"] == ["n2"]
    assert granted["interference"] == "soft"
    assert granted["conflicts"] == [holder_of(met) | {"shared": ["n2"]}]


def test_a_granted_session_reads_like_the_answer_of_an_acquire(held, bob):
    wait_for(bob, held, ("n2",))
    let_go(held.pk)
    [granted] = [data for kind, _, data in events() if kind == "edit.session_granted"]
    again = api_of(bob.user)(
        "POST",
        "/api/items/A01-0001/edit-sessions",
        {
            "workstation_id": bob.pk,
            "context_level": "partdesign",
            "object_id": "Sketch001",
        },
    ).json()
    assert again.pop("last_heartbeat") >= granted.pop("last_heartbeat")
    assert again == granted | {"existing": True}


def test_one_after_the_other_has_its_turn_with_ever_greater_tokens(held):
    line = [make_connected(name) for name in ("zoe", "bob", "yves", "carol")]
    for one in line:
        wait_for(one, held, ("n2",))
    session = held
    for one in line:
        let_go(session.pk)
        session = check_is_held_by(one, session)
    let_go(session.pk)
    assert not EditSession.objects.exists()


def test_the_line_for_another_object_level_or_item_has_no_turn(held, bob, ada, item):
    other = make_item("A01-0002")
    locks = [
        (item, "Sketch002", "partdesign"),
        (item, "Sketch001", "sketch"),
        (item, "", "partdesign"),
    ]
    for where, name, level in [*locks, (other, "Sketch001", "partdesign")]:
        acquire(ada, where, name, level)
        stand(bob, where, name, level)
    let_go(held.pk)
    assert PlaceInLine.objects.count() == 4
    assert EditSession.objects.filter(workstation=bob).count() == 0


def test_sessions_that_end_together_are_each_granted_to_their_line(ada, bob, carol, item):
    other = make_item("A01-0002")
    names = [(where, name) for where in (item, other) for name in "AB"]
    for where, name in names:
        acquire(ada, where, name)
    for number, (where, name) in enumerate(names):
        for one in (bob, carol) if number % 2 else (carol, bob):
            stand(one, where, name)
    operations.release.release_all(ada.pk)
    got = EditSession.objects.values_list("item__part_number", "object_id", "user__username")
    assert set(got) == {
        ("A01-0001", "A", "carol"),
        ("A01-0001", "B", "bob"),
        ("A01-0002", "A", "carol"),
        ("A01-0002", "B", "bob"),
    }
    assert PlaceInLine.objects.count() == 4
    kinds = [kind for kind, _, _ in events()]
    assert kinds.count("edit.session_granted") == 4


def test_a_place_for_ones_other_workstations_session_is_granted(held, ada):
    mine = make_workstation(ada.user, "ada's other")
    connect(mine)
    wait_for(mine, held, ("n2",))
    let_go(held.pk)
    check_is_held_by(mine, held)


def test_a_deleted_workstation_has_no_turn_any_more(held, ada, bob):
    connect(ada)
    acquire(bob, held.item, "bob's")
    stand(ada, held.item, "bob's")
    wait_for(bob, held, ("n2",))
    delete_its_workstation(held)
    check_is_held_by(bob, held)
    let_go(EditSession.objects.get(object_id="bob's").pk)
    assert EditSession.objects.count() == 1
    assert not PlaceInLine.objects.exists()


def test_an_ended_session_without_a_line_is_granted_to_no_one(held):
    let_go(held.pk)
    assert not EditSession.objects.exists()
    assert events()[-1][0] == "edit.session_released"


def test_a_failed_end_grants_nothing(held, bob, monkeypatch):
    wait_for(bob, held, ("n2",))
    EditSession.objects.update(last_heartbeat=Now() - timedelta(hours=1))
    turns = PlaceInLine.objects.turns

    def after_a_heartbeat(locks):
        EditSession.objects.touch_heartbeat([held.workstation_id])
        return turns(locks)

    monkeypatch.setattr(PlaceInLine.objects, "turns", after_a_heartbeat)
    assert EditSession.objects.expire_stale(timedelta(minutes=15)) == []
    assert EditSession.objects.get() == held
    assert PlaceInLine.objects.exists()
