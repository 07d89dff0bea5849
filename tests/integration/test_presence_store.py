"""Who has departed, and who has only changed the connection: one server process's sets, at the store."""

import uuid
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from events_app.database.round_trip import Statement, rows_of
from events_app.models import Connection, Observation, ServerProcess
from events_app.presence import clean_up, server_processes, store
from events_app.presence.server_processes import NotRegistered, ProcessIdentity
from events_app.presence.store import Arrival, Departure
from sessions_app.models import EditSession, Workstation
from tests.factories import acquire, make_item, make_user, make_workstation

pytestmark = pytest.mark.django_db


class Opened(Arrival):
    """A stream that was opened so many seconds ago."""

    ago = 0

    @property
    def age(self) -> float:
        return self.ago


@pytest.fixture
def station():
    return make_workstation(make_user())


@pytest.fixture
def server():
    def make(*streams):
        process = ProcessIdentity()
        store.register(process, streams)
        return process

    return make


@pytest.fixture
def nothing_compiled():
    """The store's statements are compiled at their next use."""
    for one in vars(store).values():
        if isinstance(one, Statement):
            vars(one).pop("_compiled", None)


def stream(station, ago=0):
    opened = Opened(uuid.uuid4(), station.pk)
    object.__setattr__(opened, "ago", ago)
    return opened


def end(process, opened, by_client=True):
    store.depart(process, [Departure(opened.connection_id, opened.key, by_client)])


def departed(station) -> bool:
    station.refresh_from_db()
    return station.departed_at is not None


def test_the_last_stream_of_a_workstation_is_a_departure(station, server):
    only = stream(station)
    process = server(only)
    acquire(station, make_item())
    end(process, only)
    assert departed(station)
    assert not EditSession.objects.exists()


def test_an_old_stream_that_ends_after_a_newer_one_came_is_none(station, server):
    old, new = stream(station, ago=60), stream(station)
    process = server(old, new)
    acquire(station, make_item())
    end(process, old)
    assert not departed(station)
    assert EditSession.objects.exists()


def test_the_newest_one_is_one_but_releases_nothing_while_another_is_there(station, server):
    old, new = stream(station, ago=60), stream(station)
    process = server(old, new)
    acquire(station, make_item())
    end(process, new)
    assert departed(station)
    assert EditSession.objects.exists()


def test_a_stream_closed_by_the_server_is_no_departure_and_forgets_an_earlier_one(station, server):
    old, new = stream(station, ago=60), stream(station)
    process = server(old, new)
    acquire(station, make_item())
    end(process, new)
    end(process, old, by_client=False)
    assert not departed(station)
    assert EditSession.objects.exists()
    assert not Connection.objects.exists()


def test_leaving_a_stream_the_server_just_closed_is_no_departure(station, server):
    old, new = stream(station, ago=60), stream(station)
    process = server(old, new)
    acquire(station, make_item())
    store.depart(
        process,
        [Departure(old.connection_id, old.key, True), Departure(new.connection_id, new.key, False)],
    )
    assert not departed(station)
    assert EditSession.objects.exists()


def test_a_process_that_registers_again_does_not_make_its_streams_younger(station, server):
    old, new = stream(station, ago=60), stream(station)
    server(new)
    other = server()
    clean_up.unregister(other)
    again = server(old)
    end(again, old)
    assert not departed(station)


def test_who_inspects_finds_out_where_both_ends_are(station, settings):
    settings.EVENTS_VERSION = "9.8.7"
    process = ProcessIdentity(port=8123)
    store.register(process, [Arrival(uuid.uuid4(), station.pk, address="192.0.2.7")])
    assert Connection.objects.get().address == "192.0.2.7"
    server = ServerProcess.objects.get()
    assert (server.port, server.version) == (8123, "9.8.7")
    for reason in ("the relay has no connection", ""):
        process.why_unready = lambda reason=reason: reason
        server_processes.beat(process, timedelta(seconds=10))
        server.refresh_from_db()
        assert server.unready == reason


def test_a_set_that_is_written_twice_changes_nothing(station, server):
    opened = stream(station)
    process = server()
    store.arrive(process, [opened])
    store.arrive(process, [opened])
    assert Connection.objects.count() == 1
    end(process, opened)
    first = Workstation.objects.get().departed_at
    end(process, opened)
    assert Workstation.objects.get().departed_at == first


def test_an_unregistered_process_writes_nothing(station):
    process = ProcessIdentity()
    for write in (
        lambda: store.arrive(process, [stream(station)]),
        lambda: end(process, stream(station)),
        lambda: server_processes.beat(process, timedelta(seconds=10)),
    ):
        with pytest.raises(NotRegistered):
            write()
    assert not Connection.objects.exists()


def test_an_unknown_key_is_left_out(station, server):
    stranger = Arrival(uuid.uuid4(), uuid.uuid4())
    process = server()
    assert store.arrive(process, [stream(station), stranger]).known == {station.pk}
    assert Connection.objects.count() == 1


def test_a_key_of_another_user_is_left_out_and_keeps_its_machine(station, server):
    theirs = Arrival(uuid.uuid4(), station.pk, machine="m", user_id=make_user("eve").pk)
    ours = Arrival(uuid.uuid4(), station.pk, user_id=station.user_id)
    unknown = Arrival(uuid.uuid4(), uuid.uuid4(), user_id=station.user_id)
    arrived = store.arrive(server(), [theirs, ours, unknown])
    assert [arrived.has(one) for one in (theirs, ours, unknown)] == [False, True, False]
    assert arrived.foreign == {theirs.connection_id}
    assert list(Connection.objects.values_list("pk", "machine")) == [(ours.connection_id, "")]
    station.refresh_from_db()
    assert station.machine == ""


def test_an_arrival_that_is_written_again_has_the_new_process_and_its_age(station, server):
    opened = stream(station, ago=60)
    server(opened)
    other = server(opened)
    (row,) = Connection.objects.annotate(age=Now() - F("opened_at"))
    assert row.process_id == other.id
    assert timedelta(seconds=60) <= row.age < timedelta(seconds=90)


def test_a_clean_stop_forgets_departures_and_keeps_the_sessions(station, server):
    old, new = stream(station, ago=60), stream(station)
    process = server(old, new)
    acquire(station, make_item())
    end(process, new)
    clean_up.unregister(process)
    assert not departed(station)
    assert EditSession.objects.exists()
    assert not ServerProcess.objects.exists()


def test_the_first_beat_after_a_gap_ends_the_outage_and_no_other(server):
    process = server()
    dead = timedelta(seconds=10)
    server_processes.beat(process, dead)
    first = Observation.objects.get().since
    server_processes.beat(process, dead)
    assert Observation.objects.get().since == first
    server_processes.beat(process, timedelta(0))
    assert Observation.objects.get().since > first


class TestAcknowledgements:
    @pytest.fixture
    def opened(self, station, server):
        opened = Arrival(uuid.uuid4(), station.pk, ack=True)
        self.process = server(opened)
        self.key, self.connection_id = station.pk, opened.connection_id
        return opened

    def touch(self):
        return store.touch(self.process, [self.key], [self.connection_id]).asked

    def acknowledge(self, connection_id, key=None):
        claims = {(key or self.key, connection_id)}
        streams = rows_of(store.STREAMS([key for key, _ in claims]))
        if statement := store.acknowledging(streams, claims):
            rows_of(statement)
        return {(key, stream) for key, stream, _ in streams}

    def test_a_silent_stream_is_not_asked_again(self, opened):
        assert store.silent([opened.connection_id]) == {opened.connection_id}
        assert self.touch() == set()

    def test_a_stream_that_answered_is_asked_again(self, opened):
        assert self.acknowledge(opened.connection_id) == {(self.key, opened.connection_id)}
        assert store.silent([opened.connection_id]) == set()
        assert self.touch() == {opened.connection_id}
        assert store.silent([opened.connection_id]) == {opened.connection_id}

    def test_an_answer_without_a_connection_is_for_all(self, opened):
        assert self.acknowledge(None)
        assert store.silent([opened.connection_id]) == set()

    def test_an_answer_for_a_stream_that_ended_is_none(self, opened):
        assert self.acknowledge(uuid.uuid4()) == {(self.key, opened.connection_id)}
        assert store.silent([opened.connection_id]) == {opened.connection_id}

    def test_an_answer_for_another_key_acknowledges_nothing(self, opened):
        other = make_workstation(make_user("bob"))
        assert self.acknowledge(opened.connection_id, other.pk) == set()
        assert store.silent([opened.connection_id]) == {opened.connection_id}

    def test_an_answer_counts_where_the_clock_of_the_database_goes_back(self, opened):
        Connection.objects.update(heartbeat_at=Now() + timedelta(hours=1))
        assert self.acknowledge(opened.connection_id)
        assert store.silent([opened.connection_id]) == set()
        assert self.touch() == {opened.connection_id}

    @pytest.mark.usefixtures("committed_db", "nothing_compiled")
    def test_each_statement_is_compiled_in_the_transaction_that_runs_it(self, opened):
        """A test's own transaction would hide one that locks rows and is compiled before the store's begins."""
        with transaction.atomic():
            assert self.acknowledge(opened.connection_id)
        assert self.touch() == {opened.connection_id}
        end(self.process, opened)
        assert not Connection.objects.exists()

    def test_only_those_whose_turn_it_is_are_asked(self, opened):
        assert self.acknowledge(opened.connection_id)
        assert store.touch(self.process, [self.key], []).asked == set()
        assert store.silent([opened.connection_id]) == set()
