"""How much one transaction of the presence does, however much there is: rows that are inserted, deleted, read."""

import uuid
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from events_app.models import Connection, Observation, ServerProcess
from events_app.presence import clean_up, server_processes, store
from events_app.presence.clean_up import Cleaner
from events_app.presence.server_processes import NotRegistered, ProcessIdentity
from events_app.presence.store import Arrival, Departure
from sessions_app import presence_backend as domain_presence
from sessions_app import snapshots
from sessions_app.models import EditSession, Workstation
from sessions_app.presence_backend import WorkstationPresence
from tests.factories import acquire, clean_up_one, make_item, make_user, make_workstation

pytestmark = pytest.mark.django_db

DEAD = timedelta(seconds=10)


@pytest.fixture
def stations():
    user = make_user()
    return [make_workstation(user, f"cad-{number}") for number in range(10)]


@pytest.fixture
def dead(stations):
    """A process with a stream of each, that has ceased to beat; another one beats."""
    process, other = ProcessIdentity(), ProcessIdentity()
    store.register(process, [Arrival(uuid.uuid4(), one.pk) for one in stations])
    store.register(other)
    server_processes.beat(other, DEAD)
    Observation.objects.update(since=Now() - timedelta(minutes=1))
    ServerProcess.objects.filter(pk=process.id).update(last_beat=Now() - timedelta(minutes=1))
    return process


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(server_processes, "KEYS_AT_ONCE", 4)


def left(process):
    return Connection.objects.filter(process=process.id).count()


def test_a_dead_process_is_removed_in_steps(dead, few):
    counts = []
    while clean_up_one(DEAD):
        counts.append(left(dead))
    assert counts == [6, 2, 0]
    assert not ServerProcess.objects.filter(pk=dead.id).exists()


def test_a_process_that_returns_between_steps_registers_anew_and_loses_nobody(dead, few, stations):
    streams = {one.pk: one.key for one in Connection.objects.all()}
    assert clean_up_one(DEAD)
    for write in (
        lambda: server_processes.beat(dead, DEAD),
        lambda: store.arrive(dead, [Arrival(uuid.uuid4(), stations[0].pk)]),
        lambda: store.depart(dead, []),
    ):
        with pytest.raises(NotRegistered):
            write()
    assert not server_processes.is_registered(dead)
    former = dead.id
    dead.renew()
    store.register(dead)
    for pk, key in streams.items():
        store.arrive(dead, [Arrival(pk, key)])
    # What is left of its former self is nobody's.
    while clean_up_one(DEAD):
        pass
    assert not ServerProcess.objects.filter(pk=former).exists()
    assert dict(Connection.objects.filter(process=dead.id).values_list("pk", "key")) == streams


def test_a_stop_that_was_killed_half_way_is_finished_by_others(dead, few, monkeypatch):
    server_processes.KEYS_AT_ONCE = 4
    clean_up._forget_some(dead.id)
    assert left(dead) == 6
    while clean_up_one(DEAD):
        pass
    assert not ServerProcess.objects.filter(pk=dead.id).exists()


def test_a_stop_that_others_go_on_with_is_no_departure_either(dead, few, stations):
    """One of a workstation's two windows was closed, on another server, since the last beat of the one that stops."""
    last = max(stations, key=lambda one: one.pk)
    acquire(last, make_item())
    other, newer = ProcessIdentity(), Arrival(uuid.uuid4(), last.pk)
    ServerProcess.objects.filter(pk=dead.id).update(last_beat=Now() - timedelta(seconds=2))
    store.register(other, [newer])
    store.depart(other, [Departure(newer.connection_id, last.pk, by_client=True)])
    clean_up._forget_some(dead.id)
    while clean_up_one(DEAD):
        pass
    assert not ServerProcess.objects.filter(pk=dead.id).exists()
    assert EditSession.objects.exists()


def clean(cleaner):
    while cleaner.step():
        pass


@pytest.mark.parametrize("place", [0, 5, 9])
def test_a_key_that_cannot_be_cleaned_up_keeps_no_other_one_from_it(
    dead, stations, monkeypatch, caplog, place
):
    doomed = sorted(one.pk for one in stations)[place]
    died = WorkstationPresence.server_died

    def server_died(self, gone, *args):
        if doomed in gone:
            raise OperationalError("given up")
        died(self, gone, *args)

    monkeypatch.setattr(domain_presence.WorkstationPresence, "server_died", server_died)
    cleaner = Cleaner(DEAD)
    with pytest.raises(OperationalError):
        clean(cleaner)
    assert list(Connection.objects.values_list("key", flat=True)) == [doomed]
    assert [one.key for one in caplog.records if one.levelname == "ERROR"] == [doomed]
    monkeypatch.setattr(domain_presence.WorkstationPresence, "server_died", died)
    clean(cleaner)
    assert not Connection.objects.exists()


def test_a_snapshot_says_where_the_others_are(stations, monkeypatch):
    monkeypatch.setattr(snapshots, "SESSIONS_AT_ONCE", 3)
    item = make_item()
    for number in range(5):
        acquire(stations[0], item, f"Sketch{number}")
    shown = store.snapshot([stations[0].pk]).held[stations[0].pk]
    assert [one["object_id"] for one in shown["sessions"]] == ["Sketch0", "Sketch1", "Sketch2"]
    others = EditSession.objects.filter(fencing_token__gt=shown["next"])
    assert sorted(others.values_list("object_id", flat=True)) == ["Sketch3", "Sketch4"]


def test_snapshots_are_read_together_only_up_to_a_bound(stations, monkeypatch):
    monkeypatch.setattr(snapshots, "SESSIONS_TOGETHER", 5)
    item = make_item()
    for station in stations:
        for number in range(2):
            acquire(station, item, f"Sketch{number} of {station.pk}")
    waiting, read = {one.pk for one in stations}, []
    while waiting:
        held = store.snapshot(waiting).held
        assert all(len(one["sessions"]) == 2 and one["next"] is None for one in held.values())
        read.append(len(held))
        waiting -= held.keys()
    assert read == [2] * 5


def test_no_more_rows_are_fetched_than_are_shown(stations, monkeypatch):
    monkeypatch.setattr(snapshots, "SESSIONS_AT_ONCE", 3)
    item = make_item()
    for number in range(9):
        acquire(stations[0], item, f"Sketch{number}")
    with CaptureQueriesContext(
        connection,
    ) as queries:
        store.snapshot([one.pk for one in stations])
    fetched = [one["sql"] for one in queries if 'FROM "sessions_app_editsession"' in one["sql"]]
    assert any("LIMIT 3" in one for one in fetched)
    assert len(queries) < 12


def test_departures_of_a_former_self_do_not_hurt(dead, stations):
    """The row of a stream is its process' as it is registered now; its departure is written as any other."""
    row = Connection.objects.filter(key=stations[0].pk).get()
    acquire(stations[0], make_item())
    ServerProcess.objects.filter(pk=dead.id).update(given_up=True)
    dead.renew()
    store.register(dead)
    store.arrive(dead, [Arrival(row.pk, row.key)])
    store.depart(dead, [Departure(row.pk, row.key, by_client=True)])
    assert not EditSession.objects.exists()
    assert Workstation.objects.get(pk=stations[0].pk).departed_at is not None
