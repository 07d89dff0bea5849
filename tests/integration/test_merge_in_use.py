"""Merging items while people work on them: nobody fails, and both sides of what meets now are told."""

import pytest

from sessions_app import operations
from sessions_app.models import EditSession, HandoffRequest, PlaceInLine
from sessions_app.operations import items
from sessions_app.operations.merge import merge
from tests.factories import (
    acquire,
    events,
    let_go,
    make_item,
    make_user,
    make_workstation,
    stand,
)
from tests.integration import interleaving


@pytest.mark.usefixtures("committed_db")
def test_a_release_under_way_while_its_item_is_merged_succeeds():
    workstation = make_workstation(make_user())
    keep, before, more = make_item("keep"), 0, True
    while more:
        other = make_item(f"other-{before}")
        session = acquire(workstation, other, f"A-{before}").session
        more, released, _ = interleaving.run(
            lambda pk=session.pk: let_go(pk),
            lambda pk=other.pk: merge(keep.pk, [pk]),
            before,
        )
        assert released.session_id == session.pk
        before += 1
    assert before > 5
    assert not EditSession.objects.exists()


@pytest.mark.django_db
def test_a_merge_announces_new_meetings_to_both_sides(ada, bob, carol):
    keep, other, third = make_item("keep"), make_item("other"), make_item("third")
    mine = acquire(ada, keep, "A", cone=("n1", "n2")).session
    theirs = acquire(bob, other, "B", cone=("n2",)).session
    hers = acquire(carol, other, "C", cone=("n2", "n3")).session
    acquire(carol, third, "far", cone=("n9",))
    since = len(events())
    merge(keep.pk, [other.pk, third.pk])
    told = [
        (data["session_id"], data["with"]["session_id"], data["shared"], channels)
        for kind, channels, data in events()[since:]
        if kind == "edit.interference"
    ]
    # Bob and Carol met before.
    assert sorted(told, key=lambda one: one[:2]) == sorted(
        (
            (str(one.pk), str(met.pk), ["n2"], {f"workstation:{one.workstation_id}"})
            for one, met in ((mine, theirs), (theirs, mine), (mine, hers), (hers, mine))
        ),
        key=lambda one: one[:2],
    )


@pytest.mark.django_db
def test_places_in_line_are_notified_of_the_kept_part_number(ada, bob):
    keep, other = make_item("keep"), make_item("other")
    acquire(ada, other)
    stand(bob, other)
    merge(keep.pk, [other.pk])
    kind, channels, _ = events()[-1]
    assert kind == "item.renamed"
    assert f"workstation:{bob.pk}" in channels


@pytest.mark.django_db
def test_nobody_waits_for_a_retired_item_after_a_merge(ada, bob):
    keep, other = make_item("keep"), make_item("other")
    session = acquire(ada, other).session
    stand(bob, other)
    operations.handoff.request(bob.user, session.pk, "", bob.pk)
    items.retire([keep.pk])
    merge(keep.pk, [other.pk])
    assert not PlaceInLine.objects.exists()
    assert not HandoffRequest.objects.exists()
    kind, channels, _ = events()[-1]
    assert kind == "item.retired"
    assert f"workstation:{bob.pk}" in channels
    let_go(session.pk)
    assert not EditSession.objects.exists()
