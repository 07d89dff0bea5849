"""`idle_timeout_minutes`: what nobody touches for longer is released as `idle`."""

import logging
from datetime import timedelta

import pytest
from django.conf import settings
from django.db.models.functions import Now

from events_app.models import Observation
from sessions_app.models import EditSession, EndedSession, Workstation
from sessions_app.sweeper import Sweep
from tests.factories import acquire, events, make_user, make_workstation

pytestmark = pytest.mark.django_db

TIMEOUT = timedelta(minutes=15)
LONGER = timedelta(minutes=16)
SHORTER = timedelta(minutes=14)


@pytest.fixture
def held(ada, item):
    """Idle, and had, for longer than the time-out, in which servers were there."""
    session = acquire(ada, item).session
    EditSession.objects.update(acquired_at=Now() - LONGER)
    Workstation.objects.update(idle_since=Now() - LONGER)
    Observation.objects.update(last_beat=Now(), since=Now() - LONGER)
    return session


def expire(limit=100):
    return [record.session_id for record in EditSession.objects.expire_idle(TIMEOUT, limit)]


def check_is_kept():
    before = len(events())
    assert expire() == []
    assert EditSession.objects.exists()
    assert len(events()) == before


def sweep(idle_timeout):
    sweep = Sweep(TIMEOUT, idle_timeout, timedelta(hours=24))
    while sweep.step():
        pass
    return sweep.counts


def test_an_idle_session_is_released_once(held):
    told = len(events())
    assert expire() == [held.pk]
    assert expire() == []
    record = EndedSession.objects.get()
    assert (record.session_id, record.reason) == (held.pk, "idle")
    [(kind, _, data)] = events()[told:]
    assert (kind, data["reason"]) == ("edit.session_released", "idle")


def test_a_session_touched_since_is_kept(held):
    Workstation.objects.update(idle_since=Now() - SHORTER)
    check_is_kept()


def test_an_active_session_is_kept(held):
    Workstation.objects.update(idle_since=None)
    check_is_kept()


def test_a_session_acquired_while_idle_gets_the_whole_timeout(held):
    EditSession.objects.update(acquired_at=Now() - SHORTER)
    check_is_kept()


def test_for_what_no_server_could_observe_it_is_kept(held):
    Observation.objects.update(since=Now() - SHORTER)
    check_is_kept()


def test_while_no_server_is_there_it_is_kept(held):
    Observation.objects.update(last_beat=Now() - SHORTER)
    check_is_kept()


def test_only_what_is_due_is_released(held, ada, item):
    young = acquire(ada, item, "young").session
    Workstation.objects.update(idle_since=Now() - LONGER)
    bob = make_workstation(make_user("bob"))
    theirs = acquire(bob, item, "bob's").session
    EditSession.objects.filter(pk=theirs.pk).update(acquired_at=Now() - LONGER)
    assert expire() == [held.pk]
    assert set(EditSession.objects.all()) == {young, theirs}


def test_the_workstation_stays_idle_and_gets_no_departure(held, ada):
    expire()
    ada.refresh_from_db()
    assert (ada.idle_since is not None, ada.departed_at, ada.away_since) == (True, None, None)


def test_no_more_than_a_limited_number_at_once(held, ada, item):
    for number in range(4):
        acquire(ada, item, str(number))
    EditSession.objects.update(acquired_at=Now() - LONGER)
    Workstation.objects.update(idle_since=Now() - LONGER)
    assert [len(expire(limit=2)) for _ in range(4)] == [2, 2, 1, 0]


def test_the_default_is_never():
    assert timedelta(0) == settings.SESSIONS_IDLE_TIMEOUT


def test_the_sweeper_ends_none_by_default(held):
    assert sweep(timedelta(0)) == {}
    assert EditSession.objects.get() == held


def test_the_sweeper_releases_them_and_says_so(held, caplog):
    with caplog.at_level(logging.INFO):
        assert sweep(TIMEOUT) == {"idle": 1}
    text = "released session of an idle workstation"
    [record] = [record for record in caplog.records if record.message == text]
    assert record.levelno == logging.INFO
    said = (record.session, record.user, record.item, record.workstation)
    assert said == (held.pk, "ada", "A01-0001", "ada's")
