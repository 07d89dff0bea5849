"""Who is away is passed over, keeps the place, and gets its turn when it is back and the lock is free."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.db.models.functions import Now

from events_app import timings
from events_app.models import Connection, ServerProcess
from events_app.presence.backend import backend
from sessions_app import operations
from sessions_app.models import EditSession, PlaceInLine
from sessions_app.roles import Role
from tests.factories import (
    acquire,
    connect,
    events,
    grant_what_is_free,
    kinds_since,
    let_go,
    make_connected,
    make_user,
    make_workstation,
    stand,
    wait_for,
)

pytestmark = pytest.mark.django_db


def lose_the_stream(workstation):
    Connection.objects.filter(key=workstation.pk).delete()


def silence_the_server(workstation):
    silent = timedelta(seconds=timings.configured().server_dead + 1)
    served = Connection.objects.filter(key=workstation.pk)
    ServerProcess.objects.filter(connection__in=served).update(last_beat=Now() - silent)


def lose_the_role(workstation):
    workstation.user.groups.set([Group.objects.get(name=Role.VIEWER.group)])


def deactivate(workstation):
    # Not by `save`, which is also what the sweeper finds.
    type(workstation.user).objects.filter(pk=workstation.user_id).update(is_active=False)


def bring_the_server_back(workstation):
    ServerProcess.objects.update(last_beat=Now())


def give_the_role_back(workstation):
    workstation.user.groups.set([Group.objects.get(name=Role.ADMIN.group)])


def activate(workstation):
    type(workstation.user).objects.filter(pk=workstation.user_id).update(is_active=True)


AWAY = {
    "no stream": (lose_the_stream, connect),
    "its server is silent": (silence_the_server, bring_the_server_back),
    "its user is no editor": (lose_the_role, give_the_role_back),
    "its user is inactive": (deactivate, activate),
}
away = pytest.mark.parametrize(("go", "come_back"), AWAY.values(), ids=AWAY)


def holder():
    session = EditSession.objects.first()
    return session and session.workstation


@away
def test_an_unreachable_workstation_is_passed_over_and_keeps_its_place(
    held, bob, carol, go, come_back
):
    wait_for(bob, held)
    wait_for(carol, held)
    go(bob)
    let_go(held.pk)
    assert holder() == carol
    assert PlaceInLine.objects.get().workstation == bob
    come_back(bob)
    assert not grant_what_is_free(10)
    let_go(EditSession.objects.get().pk)
    assert holder() == bob


@away
def test_where_all_are_away_it_is_free_and_given_to_who_comes_back(held, bob, go, come_back):
    wait_for(bob, held, cone=("n1",))
    go(bob)
    let_go(held.pk)
    told = len(events())
    assert grant_what_is_free(10) == []
    assert (holder(), PlaceInLine.objects.count(), len(events())) == (None, 1, told)
    come_back(bob)
    [granted] = grant_what_is_free(10)
    assert holder() == bob
    assert granted.session.dependency_cone == ["n1"]
    assert granted.session.fencing_token > held.fencing_token
    assert kinds_since(told) == [
        "edit.session_acquired",
        "edit.session_granted",
        "edit.line_changed",
    ]
    assert not PlaceInLine.objects.exists()
    assert grant_what_is_free(10) == []


def test_a_beat_gives_it(held, bob):
    wait_for(bob, held)
    lose_the_stream(bob)
    let_go(held.pk)
    assert not backend().time_passes()
    connect(bob)
    assert backend().time_passes()
    assert holder() == bob
    assert not backend().time_passes()


def test_the_first_in_line_that_returns_gets_the_session(held, bob, carol):
    dora = make_connected("dora")
    for one in (bob, carol, dora):
        wait_for(one, held)
        lose_the_stream(one)
    let_go(held.pk)
    for one in (dora, carol):
        connect(one)
    assert len(grant_what_is_free(10)) == 1
    assert holder() == carol


def test_a_beat_grants_a_limited_number_of_free_locks(item, bob, carol):
    ada = make_workstation(make_user("ada"))
    for number in range(6):
        acquire(ada, item, str(number))
        for one in (bob, carol) if number % 2 else (carol, bob):
            stand(one, item, str(number))
    for one in (bob, carol):
        lose_the_stream(one)
    operations.release.release_all(ada.pk)
    for one in (bob, carol):
        connect(one)
    first = grant_what_is_free(4)
    assert 1 <= len(first) <= 4
    while grant_what_is_free(4):
        pass
    got = EditSession.objects.order_by("object_id").values_list("user__username", flat=True)
    assert list(got) == ["carol", "bob"] * 3
    assert PlaceInLine.objects.count() == 6


def test_anybody_may_acquire_what_is_free_and_the_line_stays(held, bob, carol):
    wait_for(bob, held)
    lose_the_stream(bob)
    let_go(held.pk)
    acquire(carol, held.item, held.object_id, held.context_level)
    connect(bob)
    assert not grant_what_is_free(10)
    let_go(EditSession.objects.get().pk)
    assert holder() == bob


def test_a_free_lock_goes_to_a_newcomer_while_the_line_is_away(held, bob, carol):
    wait_for(bob, held)
    lose_the_stream(bob)
    let_go(held.pk)
    assert wait_for(carol, held).session.workstation == carol
    assert PlaceInLine.objects.get().workstation == bob


def test_a_newcomer_does_not_overtake_a_reachable_place(held, bob, carol):
    wait_for(bob, held)
    lose_the_stream(bob)
    let_go(held.pk)
    connect(bob)
    standing = wait_for(carol, held)
    assert (standing.place.position, standing.holder) == (2, None)
    grant_what_is_free(10)
    assert holder() == bob


def test_the_first_one_who_is_back_and_asks_again_gets_it_at_once(held, bob, carol):
    for one in (bob, carol):
        wait_for(one, held)
        lose_the_stream(one)
    let_go(held.pk)
    for one in (carol, bob):
        connect(one)
    assert wait_for(bob, held).session.workstation == bob
    assert PlaceInLine.objects.get().workstation == carol


def test_one_of_two_streams_on_a_server_that_beats_is_enough(held, bob):
    silence_the_server(bob)
    connect(bob)
    wait_for(bob, held)
    let_go(held.pk)
    assert holder() == bob


def test_a_superuser_without_a_group_has_a_turn_too(held, bob):
    bob.user.groups.clear()
    type(bob.user).objects.filter(pk=bob.user_id).update(is_superuser=True)
    wait_for(bob, held)
    let_go(held.pk)
    assert holder() == bob


def test_a_user_in_two_groups_has_one_turn(held, bob, carol):
    bob.user.groups.set(Group.objects.all())
    wait_for(bob, held)
    wait_for(carol, held)
    let_go(held.pk)
    assert holder() == bob
    assert PlaceInLine.objects.get().workstation == carol


def test_a_workstation_in_its_grace_is_passed_over(held, bob, carol, monkeypatch):
    monkeypatch.setattr(settings, "EVENTS_DISCONNECT_GRACE", timedelta(minutes=5))
    for one in (bob, carol):
        wait_for(one, held)
    lose_the_stream(bob)
    backend().departed({bob.pk}, {bob.pk}, held.pk)
    let_go(held.pk)
    assert holder() == carol
    assert PlaceInLine.objects.get().workstation == bob
