"""The database's clock goes back, or forward: each clock that ends sessions begins anew, and nobody's lock is lost.

That the clock has gone back an hour is the same as that all that was noted lies an hour further in the future.
"""

import logging
import uuid
from datetime import timedelta

import pytest
from django.db.models import DateTimeField, F
from django.db.models.functions import Now

from events_app.models import Connection, Observation, ServerProcess
from events_app.presence import clean_up, outages, server_processes, store
from events_app.presence.database_clock import DatabaseClock
from events_app.presence.outages import ClockWentBack
from events_app.presence.server_processes import ProcessIdentity
from events_app.presence.store import Arrival, Departure
from sessions_app import clock, operations
from sessions_app.models import EditSession, PlaceInLine, Workstation
from sessions_app.presence_backend import WorkstationPresence
from sessions_app.sweeper import Sweep
from tests.factories import acquire, clean_up_one, make_item, make_user, make_workstation

pytestmark = pytest.mark.django_db

HOUR, MINUTE, NEVER = timedelta(hours=1), timedelta(minutes=1), timedelta(days=100)
DEAD = timedelta(seconds=10)
MODELS = (Workstation, EditSession, PlaceInLine, Connection, ServerProcess, Observation)


def clock_goes(by):
    """Have the database's clock go forward, or back: all that was noted moves the other way."""
    for model in MODELS:
        times = [one.name for one in model._meta.fields if isinstance(one, DateTimeField)]
        moved = {name: F(name) - by for name in times}
        model.objects.update(**moved)


def ahead():
    """What lies in the future, by model and field."""
    return {
        (model.__name__, one.name)
        for model in MODELS
        for one in model._meta.fields
        if isinstance(one, DateTimeField)
        and model.objects.filter(**{f"{one.name}__gt": Now()}).exists()
    }


# What only shows when something began, and nothing is judged by.
SHOWN = {
    ("Workstation", "created_at"),
    ("PlaceInLine", "requested_at"),
    ("ServerProcess", "started_at"),
}
# Whose stream is open writes these anew, by a clock of its own.
OF_STREAMS = {("Connection", name) for name in ("opened_at", "heartbeat_at", "acked_at")}


def sweep(**changed):
    swept = Sweep(**{"timeout": 15 * MINUTE, "idle_timeout": HOUR, "retention": NEVER} | changed)
    while swept.step():
        pass
    return swept.counts


def repair():
    while outages.repair_step():
        pass


@pytest.fixture
def server():
    process = ProcessIdentity()
    store.register(process)
    server_processes.beat(process, DEAD)
    Observation.objects.update(since=Now() - 2 * HOUR)
    return process


@pytest.fixture
def station():
    return make_workstation(make_user())


def test_a_clock_that_went_back_is_found_by_the_next_beat_and_by_how_much(server):
    clock_goes(-HOUR)
    with pytest.raises(ClockWentBack) as found:
        server_processes.beat(server, DEAD)
    assert 3500 < found.value.seconds < 3700
    repair()
    server_processes.beat(server, DEAD)
    assert outages.last_beat_ahead_seconds() == 0


def test_nothing_by_which_anybody_is_judged_stays_in_the_future(server, station):
    acquire(station, make_item())
    Workstation.objects.update(away_since=Now(), departed_at=Now(), idle_since=Now())
    clock_goes(-HOUR)
    assert ("Workstation", "idle_since") in ahead()
    repair()
    sweep()
    assert ahead() - SHOWN - OF_STREAMS == set()


def test_the_sweeper_finds_it_without_a_server(station, caplog):
    """Nobody beats: what a former server has noted tells."""
    server = ProcessIdentity()
    store.register(server)
    server_processes.beat(server, DEAD)
    clean_up.unregister(server)
    acquire(station, make_item())
    clock_goes(-HOUR)
    sweep()
    assert ahead() - SHOWN == set()
    (warned,) = (one for one in caplog.records if "clock went back" in one.message)
    assert warned.levelno == logging.WARNING
    assert 3500 < warned.seconds < 3700


def test_and_where_there_never_was_one(station):
    acquire(station, make_item())
    clock_goes(-HOUR)
    sweep()
    assert ("EditSession", "last_heartbeat") not in ahead()
    EditSession.objects.update(last_heartbeat=Now() - HOUR)
    assert sweep()["expired"] == 1


def test_a_silent_session_costs_one_time_out_and_not_the_jump(server, station):
    acquire(station, make_item())
    clock_goes(-HOUR)
    repair()
    sweep()
    # One time-out later, in which the server has beaten.
    clock_goes(16 * MINUTE)
    Observation.objects.update(last_beat=Now())
    assert sweep()["expired"] == 1


def test_an_end_of_a_grace_and_of_idleness_too(server, station, settings):
    settings.EVENTS_DISCONNECT_GRACE = MINUTE
    acquire(station, make_item())
    stream = Arrival(uuid.uuid4(), station.pk)
    store.arrive(server, [stream])
    store.depart(server, [Departure(stream.connection_id, station.pk, True)])
    clock_goes(-HOUR)
    repair()
    assert not operations.presence.end_grace(MINUTE, 10)
    clock_goes(2 * MINUTE)
    Observation.objects.update(last_beat=Now())
    WorkstationPresence().time_passes()
    assert not EditSession.objects.exists()


def test_a_dead_server_is_found_one_time_out_later(server):
    other = ProcessIdentity()
    store.register(other)
    clock_goes(-HOUR)
    repair()
    assert not clean_up_one(DEAD)
    clock_goes(2 * DEAD)
    server_processes.beat(server, DEAD + HOUR)
    assert clean_up_one(DEAD)
    assert list(ServerProcess.objects.values_list("pk", flat=True)) == [server.id]


def test_a_departure_before_a_beat_stays_so_when_the_clock_goes_back(server, station):
    """It has another stream on that server, which beat after the departure: it is waited for."""
    acquire(station, make_item())
    other = ProcessIdentity()
    store.register(other, [Arrival(uuid.uuid4(), station.pk)])
    newer = Arrival(uuid.uuid4(), station.pk)
    store.arrive(server, [newer])
    store.depart(server, [Departure(newer.connection_id, station.pk, True)])
    server_processes.beat(other, DEAD)
    clock_goes(-HOUR)
    repair()
    clock_goes(2 * DEAD)
    server_processes.beat(server, DEAD + HOUR)
    while clean_up_one(DEAD):
        pass
    assert not ServerProcess.objects.filter(pk=other.id).exists()
    assert EditSession.objects.exists()


def test_streams_that_are_written_anew_are_as_old_as_they_are(server, station):
    """Their order is judged by times of before and after: who closes an old stream has not departed."""
    old = Arrival(uuid.uuid4(), station.pk)
    store.arrive(server, [old])
    acquire(station, make_item())
    clock_goes(-HOUR)
    repair()
    new = Arrival(uuid.uuid4(), station.pk)
    store.arrive(server, [new])
    # As the writer does when it learns of the jump.
    store.arrive(server, [old])
    store.depart(server, [Departure(old.connection_id, station.pk, True)])
    station.refresh_from_db()
    assert station.departed_at is None


def test_an_hour_forward_ends_nobodys_session(server, station, settings):
    settings.EVENTS_DISCONNECT_GRACE = MINUTE
    acquire(station, make_item())
    away = make_workstation(make_user("bob"), "away")
    acquire(away, make_item("B-1"))
    Workstation.objects.filter(pk=away.pk).update(away_since=Now(), departed_at=Now())
    clock_goes(HOUR)
    # Before anybody has beaten, and after.
    for _ in range(2):
        sweep()
        WorkstationPresence().time_passes()
        assert not clean_up_one(DEAD)
        server_processes.beat(server, DEAD)
    assert EditSession.objects.count() == 2


def test_a_live_server_is_not_taken_for_dead_after_a_clock_jump(server, station):
    """It lives, and its workstation departed elsewhere, seemingly after its last beat."""
    acquire(station, make_item())
    other = ProcessIdentity()
    store.register(other, [Arrival(uuid.uuid4(), station.pk)])
    clock_goes(HOUR)
    server_processes.beat(server, DEAD)
    assert not clean_up_one(DEAD)
    server_processes.beat(other, DEAD)
    assert EditSession.objects.exists()


def test_a_batch_is_bounded(monkeypatch):
    monkeypatch.setattr(clock, "REPAIR_BATCH", 2)
    user = make_user()
    for number in range(5):
        make_workstation(user, f"cad-{number}")
    clock_goes(-HOUR)
    left = []
    while outages.repair_step():
        left.append(Workstation.objects.filter(last_seen__gt=Now()).count())
    assert left == [3, 1]
    assert ("Workstation", "last_seen") not in ahead()


@pytest.mark.parametrize(
    ("seconds", "went"),
    [
        ([0, 1, 2], 0),
        ([0, 100, 200], 0),  # forward, or this process slept
        ([0, 1, -3598], 3600),
        ([0, 1, 1.5], 0.5),
    ],
)
def test_a_process_tells_by_its_own_clock_how_far_it_went_back(seconds, went):
    told = DatabaseClock()
    backs = [told.note(1e9 + one, float(at), float(at)) for at, one in enumerate(seconds)]
    assert max(backs) == pytest.approx(went)


def test_an_answer_that_was_slow_is_no_jump():
    told = DatabaseClock()
    assert told.note(1000.0, 0.0, 5.0) == 0
    assert told.note(1001.0, 6.0, 6.0) == 0
