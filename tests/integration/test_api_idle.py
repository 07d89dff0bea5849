"""Idleness: what a client says of it in `alive`, who is told, and what ends it."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now
from django.utils.dateparse import parse_datetime

from events_app.models import Connection
from events_app.presence import store
from events_app.presence.backend import backend
from events_app.presence.server_processes import ProcessIdentity
from events_app.presence.store import Arrival
from sessions_app import operations
from sessions_app.models import EditSession, Workstation
from sessions_app.operations.alive import IDLE_JITTER
from tests.factories import (
    A_TIME,
    acquire,
    api_of,
    connect,
    counts,
    depart,
    events,
    identity_of,
    kinds_since,
    let_go,
    make_item,
    make_workstation,
    stand,
)

pytestmark = pytest.mark.django_db

JITTER = IDLE_JITTER.total_seconds()


@pytest.fixture
def say(ada):
    api = api_of(ada.user)

    def say(idle_seconds="nothing", **more):
        body = more if idle_seconds == "nothing" else more | {"idle_seconds": idle_seconds}
        return api("POST", f"/api/workstations/{ada.pk}/alive", body)

    return say


def listed(workstation):
    """`idle_since` in both lists, which agree."""
    api = api_of(workstation.user)
    urls = ("/api/edit-sessions", "/api/items/A01-0001/edit-sessions")
    mine = str(workstation.pk)
    found = [
        {
            s["id"]: s["idle_since"]
            for s in api("GET", url).json()["sessions"]
            if s["workstation"]["id"] == mine
        }
        for url in urls
    ]
    assert found[0] == found[1]
    return list(dict.fromkeys(found[0].values()))


def check_same_time(said, known):
    """Milliseconds go over the wire."""
    assert abs(parse_datetime(said) - known) < timedelta(milliseconds=1)


def a_heartbeat_later():
    """Let so much time pass that others may be told again who is idle."""
    heartbeat = timedelta(seconds=settings.EVENTS_HEARTBEAT_SECONDS)
    Workstation.objects.update(idle_told_at=F("idle_told_at") - heartbeat)


def idle_for(workstation):
    """For how many seconds it is idle by the database's clock."""
    found = Workstation.objects.annotate(now=Now()).get(pk=workstation.pk)
    return found.idle_since and (found.now - found.idle_since).total_seconds()


def test_it_is_shown_in_the_lists(say, ada, held):
    assert listed(ada) == [None]
    assert say(60).status_code == 204
    assert idle_for(ada) == pytest.approx(60, abs=5)
    [since] = listed(ada)
    assert since == A_TIME
    check_same_time(since, Workstation.objects.get(pk=ada.pk).idle_since)


def test_the_watchers_of_the_item_and_its_holders_are_told(say, ada, bob, held, item):
    acquire(bob, item, "bob's")
    for kind, idle_seconds in (("edit.session_idle", 60), ("edit.session_active", 0)):
        told = len(events())
        since = Workstation.objects.get(pk=ada.pk).idle_since
        say(idle_seconds)
        since = since or Workstation.objects.get(pk=ada.pk).idle_since
        [(found, channels, data)] = events()[told:]
        assert found == kind
        watching = {"all", f"item:{item.pk}"}
        assert channels == watching | {f"workstation:{one.pk}" for one in (ada, bob)}
        check_same_time(data.pop("idle_since"), since)
        assert data == identity_of(held)


def test_idleness_is_announced_for_each_of_the_workstations_sessions(say, ada, bob, held, item):
    other = acquire(ada, make_item("A01-0002")).session
    mine = make_workstation(ada.user, "ada's other")
    acquire(mine, item, "its")
    acquire(bob, item, "bob's")
    told = len(events())
    say(60)
    said = {data["session_id"] for _, _, data in events()[told:]}
    assert said == {str(held.pk), str(other.pk)}
    assert kinds_since(told) == ["edit.session_idle"] * 2
    assert listed(mine) == [None]


@pytest.mark.parametrize("later", [60, 60 + JITTER / 2, 60 - JITTER / 2])
def test_the_same_said_again_changes_nothing(say, ada, held, later):
    say(60)
    before, since = counts(), listed(ada)
    assert say(later).status_code == 204
    assert (counts(), listed(ada)) == (before, since)


@pytest.mark.parametrize("later", [60 + JITTER * 2, 60 - JITTER * 2, 31, 3600])
def test_something_else_said_is_told(say, ada, held, later):
    say(60)
    told = len(events())
    a_heartbeat_later()
    say(later)
    assert kinds_since(told) == ["edit.session_idle"]
    assert idle_for(ada) == pytest.approx(later, abs=3)


@pytest.mark.parametrize("later", [600, 0])
def test_idleness_changes_are_announced_once_per_heartbeat(say, ada, held, item, later):
    """However often its client changes its mind. That somebody is there again is told at once."""
    acquire(ada, item, "another")
    told = len(events())
    for _ in range(10):
        assert say(60).status_code == 204
        assert say(later).status_code == 204
    back = [] if later else ["edit.session_active"] * 2
    assert kinds_since(told) == ["edit.session_idle"] * 2 + back
    assert listed(ada) == [A_TIME if later else None]
    a_heartbeat_later()
    told = len(events())
    say(90)
    assert kinds_since(told) == ["edit.session_idle"] * 2


def test_a_clock_that_went_back_does_not_suppress_idleness(say, ada, held):
    say(60)
    say(0)
    Workstation.objects.update(idle_told_at=Now() + timedelta(hours=1))
    told = len(events())
    say(60)
    assert kinds_since(told) == ["edit.session_idle"]


def test_a_creeping_idle_time_is_noticed(say, ada, held):
    told = len(events())
    for step in range(6):
        say(60 + step * JITTER * 0.7)
        a_heartbeat_later()
    assert len(kinds_since(told)) > 1
    assert idle_for(ada) == pytest.approx(60 + 3.5 * JITTER, abs=JITTER + 2)


@pytest.mark.parametrize("absent", [{}, {"idle_seconds": None}])
def test_an_alive_request_without_idle_time_changes_nothing(say, ada, held, absent):
    assert say(**absent).status_code == 204
    assert listed(ada) == [None]
    say(60)
    before, since = counts(), listed(ada)
    assert since == [A_TIME]
    say(**absent)
    assert (counts(), listed(ada)) == (before, since)


def test_an_active_workstation_is_not_announced_as_active(say, held):
    before = counts()
    for _ in range(2):
        assert say(0).status_code == 204
    assert counts() == before


@pytest.mark.parametrize(("idle_seconds", "idle"), [(0.001, None), (29.9, None), (30, A_TIME)])
def test_a_workstation_touched_since_the_last_heartbeat_is_active(
    say, ada, held, idle_seconds, idle
):
    say(idle_seconds)
    assert listed(ada) == [idle]


def test_less_than_a_heartbeat_ends_idleness(say, ada, held):
    say(60)
    told = len(events())
    say(29)
    assert kinds_since(told) == ["edit.session_active"]
    assert listed(ada) == [None]


def test_idleness_without_sessions_is_noted_but_not_announced(say, ada):
    say(60)
    assert idle_for(ada) == pytest.approx(60, abs=5)
    assert events() == []


@pytest.mark.parametrize("stream", [True, False])
def test_it_keeps_the_sessions_alive_as_any_alive_does(say, held, stream):
    if stream:
        # Longer ago than the heartbeat that keeps them alive.
        EditSession.objects.update(last_heartbeat=held.last_heartbeat - timedelta(hours=1))
    else:
        Connection.objects.all().delete()
    say(60)
    assert EditSession.objects.get().last_heartbeat > held.last_heartbeat


@pytest.mark.parametrize("what", ["the same", "another", "a batch", "by the line"])
def test_an_acquire_ends_it_and_its_answer_says_so(say, ada, held, item, what):
    connect(ada)
    say(60)
    told = len(events())
    api, more = api_of(ada.user), {"part_number": "A01-0001"} if what == "a batch" else {}
    name = "Sketch001" if what == "the same" else "Sketch002"
    wanted = {"context_level": "partdesign", "object_id": name} | more
    if what == "a batch":
        body = {"workstation_id": ada.pk, "sessions": [wanted]}
        [answer] = api("POST", "/api/edit-sessions/batch", body).json()["sessions"]
    else:
        ending = "edit-session-requests" if what == "by the line" else "edit-sessions"
        body = {"workstation_id": ada.pk} | wanted
        answer = api("POST", f"/api/items/A01-0001/{ending}", body).json()
    acquired = [] if what == "the same" else ["edit.session_acquired"]
    assert kinds_since(told) == ["edit.session_active", *acquired]
    assert answer["idle_since"] is None
    assert listed(ada) == [None]


def test_an_acquire_that_is_refused_ends_nothing(say, ada, bob, held, item):
    acquire(bob, item)
    say(60)
    before = counts()
    body = {"workstation_id": ada.pk, "context_level": "sketch"}
    assert api_of(ada.user)("POST", "/api/items/A01-0001/edit-sessions", body).status_code == 409
    assert counts() == before
    assert listed(ada) == [A_TIME]


def test_an_arrival_says_nothing_of_it(say, ada, held):
    say(60)
    before, since = counts(), listed(ada)
    store.register(ProcessIdentity(), [Arrival(held.pk, ada.pk)])
    assert (counts(), listed(ada)) == (before, since)


@pytest.mark.parametrize("grace", [0, 300])
def test_a_departure_ends_it_with_a_grace_when_that_is_over(say, ada, held, monkeypatch, grace):
    monkeypatch.setattr(settings, "EVENTS_DISCONNECT_GRACE", timedelta(seconds=grace))
    say(60)
    depart(ada)
    if grace:
        assert listed(ada) == [A_TIME]
        Workstation.objects.update(away_since=Now() - timedelta(hours=1))
        backend().time_passes()
    assert idle_for(ada) is None
    assert not EditSession.objects.exists()


@pytest.mark.parametrize("way", ["its turn", "a hand-off"])
def test_a_session_granted_to_an_idle_workstation_is_announced_as_idle(say, ada, bob, item, way):
    connect(ada)
    theirs = acquire(bob, item).session
    stand(ada, item)
    say(60)
    told = len(events())
    if way == "its turn":
        let_go(theirs.pk)
    else:
        operations.handoff.hand_off(bob.user, theirs.pk, ada.pk)
    assert kinds_since(told) == [
        "edit.session_released",
        "edit.session_acquired",
        "edit.session_granted",
        "edit.session_idle",
        "edit.line_changed",
    ]
    _, (_, watching, _), (_, _, granted), (_, channels, idle), _ = events()[told:]
    assert channels == watching
    assert listed(ada) == [idle["idle_since"]] == [granted["idle_since"]] == [A_TIME]


@pytest.mark.parametrize(
    "wrong", ["-1", "-0.001", "NaN", "Infinity", "1e10", '"soon"', "[]", "{}", "31622401"]
)
def test_bad_values_are_refused(ada, held, wrong):
    before = counts()
    body = '{"idle_seconds": ' + wrong + "}"
    answer = api_of(ada.user)("POST", f"/api/workstations/{ada.pk}/alive", body)
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid")
    assert (counts(), listed(ada)) == (before, [None])


def test_the_longest_that_is_taken_is_a_year_and_a_day(say, ada, held):
    assert say(366 * 24 * 3600).status_code == 204
    assert listed(ada) == [A_TIME]
