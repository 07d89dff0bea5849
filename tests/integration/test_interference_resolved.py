"""`edit.interference_resolved`: when one of two that interfered softly ends, the workstation that is left is told."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from sessions_app import operations
from sessions_app.models import EditSession
from tests.factories import (
    acquire,
    events,
    identity_of,
    let_go,
    make_item,
    make_workstation,
    stand,
)
from tests.integration.ending import ENDS

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def resolved():
    """Who has been told: the workstation's channel, the session that is left, and the one that ended."""
    found = []
    for kind, channels, data in events():
        if kind == "edit.interference_resolved":
            [channel] = channels
            assert channel == f"workstation:{data['workstation']['id']}"
            found.append((channel, data["session_id"], data["with_session_id"]))
    return sorted(found)


def expected(*pairs):
    return sorted(
        (f"workstation:{left.workstation_id}", str(left.pk), str(ended.pk)) for left, ended in pairs
    )


def expire(*sessions):
    EditSession.objects.filter(pk__in=[s.pk for s in sessions]).update(last_heartbeat=Now() - HOUR)
    ended = EditSession.objects.expire_stale(timedelta(minutes=15))
    assert {record.session_id for record in ended} == {session.pk for session in sessions}


@pytest.mark.parametrize("first", ["who came first ends", "who came second ends"])
def test_the_one_that_is_left_is_told_with_its_own_session(ada, bob, item, first):
    mine = acquire(ada, item, "A", "partdesign", ("n1", "n2")).session
    theirs = acquire(bob, item, "B", "sketch", ("n2",)).session
    left, ending = (theirs, mine) if first == "who came first ends" else (mine, theirs)
    let_go(ending.pk)
    kind, channels, data = events()[-1]
    assert kind == "edit.interference_resolved"
    assert channels == {f"workstation:{left.workstation_id}"}
    assert data == identity_of(left) | {"with_session_id": str(ending.pk)}


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_every_end_resolves_the_meeting(ada, bob, item, end, django_capture_on_commit_callbacks):
    ending = acquire(ada, item, "A", cone=("n1",)).session
    left = acquire(bob, item, "B", cone=("n1",)).session
    end(ending, on_commit=django_capture_on_commit_callbacks)
    assert resolved() == expected((left, ending))
    assert EditSession.objects.get() == left


def test_it_comes_after_the_end(ada, bob, item):
    ending = acquire(ada, item, "A", cone=("n1",)).session
    acquire(bob, item, "B", cone=("n1",))
    let_go(ending.pk)
    assert [kind for kind, _, _ in events()][-2:] == [
        "edit.session_released",
        "edit.interference_resolved",
    ]


def test_each_that_is_left_is_told_of_each_that_ends(ada, bob, carol, item):
    ending = [acquire(ada, item, name, cone=("n1", name)).session for name in ("A1", "A2")]
    left = [acquire(one, item, "x" + one.name, cone=("n1",)).session for one in (bob, carol)]
    acquire(bob, item, "far", cone=("n9",))
    operations.release.release_all(ada.pk)
    assert resolved() == expected(*((one, ended) for one in left for ended in ending))


@pytest.mark.parametrize(
    ("ours", "our_cone", "theirs", "their_cone"),
    [
        ("A", ("n1",), "B", ("n2",)),
        ("A", (), "B", ()),
        ("A", ("n1",), "B", ()),
        ("A", ("n1",), "B", ("N1",)),
    ],
)
def test_an_unrelated_session_is_not_notified(ada, bob, item, ours, our_cone, theirs, their_cone):
    ending = acquire(ada, item, ours, cone=our_cone).session
    acquire(bob, item, theirs, cone=their_cone)
    let_go(ending.pk)
    assert resolved() == []


def test_another_item_does_not_interfere(ada, bob, item):
    ending = acquire(ada, item, "A", cone=("n1",)).session
    acquire(bob, make_item("A01-0002"), "B", cone=("n1",))
    let_go(ending.pk)
    assert resolved() == []


def test_the_same_workstations_own_do_not_interfere(ada, bob, item):
    ending = acquire(ada, item, "A", cone=("n1",)).session
    acquire(ada, item, "B", cone=("n1",))
    acquire(bob, item, "elsewhere", cone=("n9",))
    let_go(ending.pk)
    assert resolved() == []


def test_two_workstations_of_one_user_meet(ada, item):
    other = make_workstation(ada.user, "ada's other")
    ending = acquire(ada, item, "A", cone=("n1",)).session
    left = acquire(other, item, "B", cone=("n1",)).session
    let_go(ending.pk)
    assert resolved() == expected((left, ending))


@pytest.mark.parametrize(("ours", "theirs"), [("", "B"), ("A", ""), ("", "")])
def test_the_whole_item_meets_every_object_of_it_without_any_cone(ada, bob, item, ours, theirs):
    ending = acquire(ada, item, ours, "assembly").session
    left = acquire(bob, item, theirs, "sketch").session
    let_go(ending.pk)
    assert resolved() == expected((left, ending))


def test_where_both_end_at_once_nobody_is_told(ada, bob, item):
    both = [acquire(one, item, one.name, cone=("n1",)).session for one in (ada, bob)]
    expire(*both)
    assert resolved() == []


def test_where_both_end_at_once_and_a_third_is_left_only_that_is_told(ada, bob, carol, item):
    both = [acquire(one, item, one.name, cone=("n1",)).session for one in (ada, bob)]
    left = acquire(carol, item, "C", cone=("n1",)).session
    expire(*both)
    assert resolved() == expected(*((left, ended) for ended in both))


@pytest.mark.parametrize("stays", ["ada", "bob"])
def test_a_meeting_of_two_that_end_together_is_not_announced(ada, bob, item, stays):
    both = [acquire(one, item, one.name, cone=("n1",)).session for one in (ada, bob)]
    acquire(ada if stays == "ada" else bob, item, "stays", cone=("n9",))
    expire(*both)
    assert resolved() == []


def test_an_ended_session_is_not_resolved_again(ada, bob, item):
    first = acquire(ada, item, "A", cone=("n1",)).session
    let_go(acquire(bob, item, "B", cone=("n1",)).session.pk)
    told = resolved()
    let_go(first.pk)
    assert resolved() == told


def test_a_hand_off_resolves_with_the_old_one_and_interferes_with_the_new(ada, bob, carol, item):
    old = acquire(ada, item, "A", cone=("n1",)).session
    left = acquire(carol, item, "C", cone=("n1",)).session
    stand(bob, item, "A")
    new = operations.handoff.hand_off(ada.user, old.pk, bob.pk)
    assert resolved() == expected((left, old))
    assert [conflict.session for conflict in new.conflicts] == [left]
    let_go(new.session.pk)
    assert resolved() == expected((left, old), (left, new.session))


def test_a_hand_off_target_is_notified_of_its_own_resolved_meeting(ada, bob, item):
    old = acquire(ada, item, "A", cone=("n1",)).session
    mine = acquire(bob, item, "B", cone=("n1",)).session
    stand(bob, item, "A")
    assert operations.handoff.hand_off(ada.user, old.pk, bob.pk).conflicts == []
    assert resolved() == expected((mine, old))


def test_a_turn_resolves_with_the_old_one_and_interferes_with_the_new(ada, bob, carol, item):
    old = acquire(ada, item, "A", cone=("n1",)).session
    left = acquire(carol, item, "C", cone=("n1", "n2")).session
    stand(bob, item, "A", cone=("n2",))
    let_go(old.pk)
    assert resolved() == expected((left, old))
    [granted] = [data for kind, _, data in events() if kind == "edit.session_granted"]
    assert [conflict["session_id"] for conflict in granted["conflicts"]] == [str(left.pk)]
    assert granted["conflicts"][0]["shared"] == ["n2"]
