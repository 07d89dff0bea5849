"""`edit.interference`: where two sessions begin to meet softly both workstations are told, and nobody else."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sessions_app import operations
from sessions_app.interference import compare
from sessions_app.models import EditSession, PlaceInLine
from sessions_app.models.results import Wanted
from tests.factories import (
    acquire,
    connect,
    events,
    grant_what_is_free,
    identity_of,
    let_go,
    make_item,
    make_user,
    make_workstation,
    met_of,
    stand,
)

pytestmark = pytest.mark.django_db


def told(since=0):
    """Who is told of whom, with which node keys, or "no more": each by the ids of its own session and the other."""
    found = {}
    for kind, channels, data in events()[since:]:
        if "interference" not in kind:
            continue
        assert channels == {f"workstation:{data['workstation']['id']}"}
        resolved = kind == "edit.interference_resolved"
        other = data["with_session_id"] if resolved else data["with"]["session_id"]
        pair = data["session_id"], other
        found.setdefault(pair, []).append("no more" if resolved else data["shared"])
    return {pair: says[0] if len(says) == 1 else says for pair, says in found.items()}


def both(one, other, says):
    """What both sides of a meeting are told."""
    return {(str(one.pk), str(other.pk)): says, (str(other.pk), str(one.pk)): says}


def kinds(since=0):
    return [kind.removeprefix("edit.") for kind, _, _ in events()[since:]]


def test_the_earlier_and_the_later_one_are_told_each_with_its_own_session(ada, bob, item):
    ada.user.first_name, ada.user.last_name = "Ada", "Lovelace"
    ada.user.save()
    mine = acquire(ada, item, "A", "partdesign", ("n1", "n2")).session
    theirs = acquire(bob, item, "B", "sketch", ("n2", "n3")).session
    assert kinds() == ["session_acquired"] * 2 + ["interference"] * 2
    of_bob, of_ada = events()[2:]
    assert of_ada == (
        "edit.interference",
        {f"workstation:{ada.pk}"},
        {
            **identity_of(mine),
            "user_name": "Ada Lovelace",
            "with": met_of(theirs),
            "shared": ["n2"],
        },
    )
    assert of_bob[1] == {f"workstation:{bob.pk}"}
    assert of_bob[2]["session_id"] == str(theirs.pk)
    assert of_bob[2]["with"]["session_id"] == str(mine.pk)
    assert of_bob[2]["with"]["user_name"] == "Ada Lovelace"


def test_a_session_on_the_item_without_meetings_is_not_notified(ada, bob, carol, item):
    acquire(carol, item, "C", cone=("n9",))
    acquire(carol, make_item("A01-0002"), "A", cone=("n1",))
    a = acquire(ada, item, "A", cone=("n1",)).session
    b = acquire(bob, item, "B", cone=("n1",)).session
    assert told() == both(a, b, ["n1"])


def test_each_meeting_of_a_batch_notifies_both_sides(ada, bob, carol, item):
    others = [acquire(one, item, one.name, cone=("n1", "n2")).session for one in (bob, carol)]
    acquire(ada, item, "old", cone=("n1",))
    since = len(events())
    wanted = [
        Wanted(item.part_number, "sketch", name, cone)
        for name, cone in (("old", ["n1"]), ("new", ["n2", "n1"]), ("far", ["n7"]))
    ]
    old, new, _ = operations.acquire.acquire_all(ada.user, ada.pk, wanted)
    assert old.existing
    assert len(new.conflicts) == 2
    expected = {}
    for other in others:
        expected |= both(new.session, other, ["n1", "n2"])
    assert told(since) == expected


def test_a_turn_is_told_to_both_after_what_it_resolves(ada, bob, carol, item):
    old = acquire(ada, item, "A", cone=("n1",)).session
    left = acquire(carol, item, "C", cone=("n1", "n2")).session
    stand(bob, item, "A", cone=("n2",))
    since = len(events())
    let_go(old.pk)
    new = EditSession.objects.get(workstation=bob)
    gone = {(str(left.pk), str(old.pk)): "no more"}
    assert told(since) == gone | both(new, left, ["n2"])
    assert kinds(since) == [
        "session_released",
        "session_acquired",
        "session_granted",
        "interference_resolved",
        "interference",
        "interference",
        "line_changed",
    ]


def test_a_hand_off_is_told_to_both_and_to_the_third_that_both_meet(ada, bob, carol, item):
    old = acquire(ada, item, "A", cone=("n1",)).session
    left = acquire(carol, item, "C", cone=("n1",)).session
    stand(bob, item, "A")
    since = len(events())
    new = operations.handoff.hand_off(ada.user, old.pk, bob.pk).session
    assert told(since) == {(str(left.pk), str(old.pk)): "no more"} | both(new, left, ["n1"])


def test_two_turns_of_one_moment_that_meet_are_both_told(ada, bob, carol, item):
    for name, waiting in (("A", bob), ("B", carol)):
        acquire(ada, item, name, cone=("n5",))
        stand(waiting, item, name, cone=("n1",))
    since = len(events())
    operations.release.release_all(ada.pk)
    one, other = (EditSession.objects.get(workstation=at) for at in (bob, carol))
    assert told(since) == both(one, other, ["n1"])


def test_meetings_of_a_session_granted_by_a_beat_are_announced(ada, bob, item):
    connect(ada)
    held = acquire(bob, item, "A").session
    stand(ada, item, "A", cone=("n1",))
    other = acquire(bob, item, "B", cone=("n1",)).session
    held.delete()
    since = len(events())
    [granted] = grant_what_is_free(10)
    assert told(since) == both(granted.session, other, ["n1"])
    assert not PlaceInLine.objects.exists()


@pytest.mark.parametrize("how", ["alone", "in a batch", "standing in line"])
def test_another_cone_tells_both_of_what_begins_and_what_stops(ada, bob, carol, item, how):
    mine = acquire(ada, item, "A", cone=("n1", "n3")).session
    first = acquire(bob, item, "B", cone=("n1",)).session
    second = acquire(carol, item, "C", cone=("n2",)).session
    acquire(carol, item, "stays", cone=("n3",))
    acquire(carol, item, "whole item never", "assembly")
    since = len(events())
    cone = ("n2", "n3")
    if how == "alone":
        answer = acquire(ada, item, "A", cone=cone)
    elif how == "standing in line":
        answer = stand(ada, item, "A", cone=cone)
    else:
        wanted = [Wanted(item.part_number, "sketch", name, cone) for name in ("A", "far")]
        wanted[1] = Wanted(item.part_number, "sketch", "far", ["n9"])
        [answer, _] = operations.acquire.acquire_all(ada.user, ada.pk, wanted)
    assert answer.session == mine
    assert told(since) == both(mine, first, "no more") | both(mine, second, ["n2"])
    assert {str(c.session.pk) for c in answer.conflicts} == {
        other for own, other in current() if own == str(mine.pk)
    }


def current():
    """The meetings there are by all that was told."""
    now = set()
    for kind, _, data in events():
        if kind == "edit.interference":
            now.add((data["session_id"], data["with"]["session_id"]))
        elif kind == "edit.interference_resolved":
            now.discard((data["session_id"], data["with_session_id"]))
    return now


@pytest.mark.parametrize("cone", [(), ("n1",), ("n1", "n1"), ("n1", "n4")])
def test_asking_again_tells_nobody_where_nothing_begins_or_stops(ada, bob, item, cone):
    acquire(ada, item, "A", cone=("n1",))
    acquire(bob, item, "B", cone=("n1",))
    since = len(events())
    assert acquire(ada, item, "A", cone=cone).interference == "soft"
    assert told(since) == {}


def test_the_whole_item_meets_the_same_with_any_cone(ada, bob, item):
    acquire(ada, item, cone=("n1",))
    acquire(bob, item, "B", cone=("n1",))
    since = len(events())
    assert acquire(ada, item, cone=("n7",)).interference == "soft"
    assert told(since) == {}


def test_an_acquire_that_meets_nobody_asks_nothing_more(ada, bob, item):
    def statements(*args, **kwargs):
        with CaptureQueriesContext(connection) as queries:
            acquire(*args, **kwargs)
        return [query["sql"].split()[0] for query in queries.captured_queries]

    alone = statements(ada, item, "A", cone=("n1",))
    again = statements(ada, item, "A", cone=("n2",))
    acquire(bob, item, "B", cone=("n3",))
    # The one question of before.
    assert len(statements(ada, item, "C", cone=("n4",))) == len(alone) + 1
    # And for another cone: the old one, and who has a key of either.
    assert len(statements(ada, item, "A", cone=("n5",))) == len(again) + 3


def test_all_are_told_of_one_at_least_and_of_so_many_at_most(monkeypatch, ada, bob, item):
    monkeypatch.setattr(compare, "MAX_MEETINGS", 100)
    monkeypatch.setattr(compare, "MAX_SHARED", 100)
    monkeypatch.setattr(compare, "MIN_SHARED_EACH", 1)

    def fill(workstation):
        wanted = [
            Wanted(item.part_number, "sketch", f"{workstation.name} {n}", ["n1", "n2"])
            for n in range(30)
        ]
        return operations.acquire.acquire_all(workstation.user, workstation.pk, wanted)

    earlier = fill(ada)
    since = len(events())
    later = fill(bob)
    for of in (earlier, later):
        own = {str(one.session.pk) for one in of}
        theirs = [pair for pair in told(since) if pair[0] in own]
        assert {pair[0] for pair in theirs} == own
        assert len(theirs) <= 100
    assert {tuple(shared) for shared in told(since).values()} == {("n1",)}
    carol = make_workstation(make_user("carol"))
    since = len(events())
    one = acquire(carol, item, "C", cone=("n1", "n2"))
    assert len(one.conflicts) == 60
    assert len(told(since)) == 120
