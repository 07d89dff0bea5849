"""A workstation is one machine at a time: two that live at once never have one session and one fencing token."""

import uuid
from datetime import timedelta

import pytest
from django.db.models import F, Value
from django.db.models.functions import Now

from events_app.models import Connection, Observation, ServerProcess
from events_app.presence import clean_up, server_processes, store
from events_app.presence.server_processes import ProcessIdentity
from events_app.presence.store import Arrival, Departure
from sessions_app.errors import IdentityInUse
from sessions_app.models import EditSession, EndedSession, PlaceInLine, Workstation
from sessions_app.operations.workstations import register
from tests.factories import A_SENTENCE, acquire, api_of, make_item, make_user, stand
from tests.integration import interleaving

BODY = {"name": "cad-1", "fingerprint": "4c4c4544"}
FIRST, COPY = "first", "copy"
HOUR = Value(timedelta(hours=1))


@pytest.fixture
def ada(db):
    return make_user("ada")


@pytest.fixture
def ask(ada):
    api = api_of(ada)

    def ask(machine=""):
        return api("POST", "/api/workstations", BODY, headers={"Silo-Machine": machine})

    return ask


@pytest.fixture
def server(db):
    process = ProcessIdentity()
    store.register(process, [])
    server_processes.beat(process, timedelta(seconds=10))
    return process


@pytest.fixture
def first(ada):
    """The workstation, as the first machine has registered it."""
    return register(ada, "cad-1", "4c4c4544", FIRST)[0]


def stream(workstation, machine=FIRST):
    return Arrival(uuid.uuid4(), workstation.pk, machine=machine)


def arrives(server, arrival):
    return store.arrive(server, [arrival]).has(arrival)


def an_hour_later(workstation):
    """Nothing was heard of it since, though there was somebody to hear."""
    Workstation.objects.filter(pk=workstation.pk).update(last_seen=F("last_seen") - HOUR)
    Observation.objects.update(since=Now() - HOUR, last_beat=Now())


def is_machine(workstation, machine):
    workstation.refresh_from_db()
    return workstation.machine == machine


# -- registering --


def test_a_copy_of_a_machine_that_is_connected_is_refused(ask, first, server):
    assert arrives(server, stream(first))
    answer = ask(COPY)
    assert answer.status_code == 409
    assert answer.json() == {
        "error": "identity_in_use",
        "message": A_SENTENCE,
        "workstation": {"id": str(first.pk), "name": "cad-1"},
        "connected": True,
        "seconds": 45.0,
    }
    assert is_machine(first, FIRST)
    assert ask(FIRST).status_code == 200
    assert ask().status_code == 200, "a client that is older than this"
    assert is_machine(first, FIRST)


def test_a_second_machine_is_refused_before_the_first_connects(ask):
    assert ask(FIRST).status_code == 201
    answer = ask(COPY)
    assert (answer.status_code, answer.json()["connected"]) == (409, False)


def test_a_machine_that_never_connected_is_forgotten(ask, first):
    an_hour_later(first)
    assert ask(COPY).status_code == 200
    assert is_machine(first, COPY)


def test_an_unclaimed_workstation_belongs_to_the_first_machine_that_names_itself(ask):
    assert ask().status_code == 201
    assert ask(FIRST).status_code == 200
    assert ask(COPY).status_code == 409


def test_a_machine_that_left_has_nothing_to_lose(ask, first, server):
    opened = stream(first)
    arrives(server, opened)
    store.depart(server, [Departure(opened.connection_id, first.pk, by_client=True)])
    assert ask(COPY).status_code == 200
    assert is_machine(first, COPY)


def test_a_returning_machine_has_its_workstation_before_its_stream_is_open(ask, first, server):
    opened = stream(first)
    arrives(server, opened)
    store.depart(server, [Departure(opened.connection_id, first.pk, by_client=True)])
    assert ask(FIRST).status_code == 200
    assert ask(COPY).status_code == 409
    assert arrives(server, stream(first))


def test_a_machine_within_its_grace_keeps_its_sessions(ask, first, server, settings):
    settings.EVENTS_DISCONNECT_GRACE = timedelta(seconds=15)
    opened = stream(first)
    arrives(server, opened)
    held = acquire(first, make_item()).session
    store.depart(server, [Departure(opened.connection_id, first.pk, by_client=True)])
    answer = ask(COPY)
    assert (answer.status_code, answer.json()["connected"]) == (409, False)
    assert EditSession.objects.get() == held


def test_one_whose_server_stops_may_come_back(ask, first, server):
    arrives(server, stream(first))
    an_hour_later(first)
    clean_up.unregister(server)
    answer = ask(COPY)
    assert (answer.status_code, answer.json()["connected"]) == (409, False)


def test_one_on_a_server_that_is_silent_is_not_known_to_be_connected(ask, first, server):
    arrives(server, stream(first))
    an_hour_later(first)
    ServerProcess.objects.update(last_beat=Now() - HOUR)
    answer = ask(COPY)
    assert (answer.status_code, answer.json()["connected"]) == (409, False)


def test_an_outage_is_no_time_in_which_it_could_have_come_back(ask, first):
    an_hour_later(first)
    Observation.objects.update(since=Now())
    assert ask(COPY).status_code == 409


def test_sessions_end_when_another_machine_gets_the_identity(ask, first, server):
    opened = stream(first)
    arrives(server, opened)
    item, other = make_item(), make_item("B")
    held = acquire(first, item).session
    bob = register(make_user("bob"), "cad-2", "b")[0]
    acquire(bob, other)
    stand(first, other)
    clean_up.unregister(server)
    an_hour_later(first)
    assert ask(COPY).status_code == 200
    assert EndedSession.objects.get(session_id=held.pk).reason == "disconnected"
    assert not PlaceInLine.objects.exists()
    again = acquire(first, item)
    assert not again.existing
    assert again.session.fencing_token > held.fencing_token


def test_clients_that_say_nothing_are_as_before(ask, ada, server):
    workstation = register(ada, "cad-1", "4c4c4544")[0]
    assert arrives(server, stream(workstation, ""))
    assert arrives(server, stream(workstation, ""))
    assert ask().status_code == 200


@pytest.mark.parametrize("machine", ["x" * 201, "bell\a"])
def test_a_machine_has_a_name_that_can_be_kept(ask, machine):
    assert ask(machine).status_code == 422
    assert not Workstation.objects.exists()


# -- streams --


def test_a_stream_of_a_copy_is_refused_and_closes_nothing(first, server):
    ours, theirs = stream(first), stream(first, COPY)
    arrived = store.arrive(server, [theirs, ours])
    assert (arrived.has(ours), arrived.has(theirs)) == (True, False)
    assert list(Connection.objects.values_list("pk", "machine")) == [(ours.connection_id, FIRST)]


def test_a_stream_alone_makes_it_that_machines(ada, ask, server):
    workstation = register(ada, "cad-1", "4c4c4544")[0]
    one, other = stream(workstation, FIRST), stream(workstation, COPY)
    arrived = store.arrive(server, [one, other])
    assert [arrived.has(one), arrived.has(other)].count(True) == 1
    assert Connection.objects.get().machine == Workstation.objects.get().machine


def test_a_server_that_was_taken_for_dead_does_not_give_it_back(ask, ada, first, server):
    opened = stream(first)
    arrives(server, opened)
    clean_up.unregister(server)
    an_hour_later(first)
    assert ask(COPY).status_code == 200
    arrived = store.register(server, [opened])
    assert arrived.displaced == {opened.connection_id}
    assert not Connection.objects.exists()


# -- at the same moment --


@pytest.mark.usefixtures("committed_db")
@pytest.mark.parametrize("known", [False, True])
def test_one_of_two_machines_that_register_at_once_gets_the_workstation(known):
    held = True
    for before in range(30):
        if not held:
            break
        user, fingerprint = make_user(f"u{before}"), uuid.uuid4().hex
        if known:
            register(user, "cad", fingerprint)
        held, *results = interleaving.run(
            lambda user=user, of=fingerprint: register(user, "cad", of, FIRST),
            lambda user=user, of=fingerprint: register(user, "cad", of, COPY),
            before,
        )
        refused = [isinstance(result, IdentityInUse) for result in results]
        assert sorted(refused) == [False, True], results
        assert Workstation.objects.get(user=user).machine == (COPY if refused[0] else FIRST)
    assert not held
    assert before > 3


@pytest.mark.usefixtures("committed_db")
def test_a_copy_that_registers_while_the_first_ones_stream_arrives():
    servers = ProcessIdentity(), ProcessIdentity()
    for process in servers:
        store.register(process, [])
    held = True
    for before in range(30):
        if not held:
            break
        user = make_user(f"u{before}")
        workstation = register(user, "cad", "f", FIRST)[0]
        an_hour_later(workstation)
        opened = stream(workstation)
        held, arrived, registered = interleaving.run(
            lambda opened=opened: store.arrive(servers[0], [opened]),
            lambda user=user: register(user, "cad", "f", COPY),
            before,
        )
        taken = not isinstance(registered, IdentityInUse)
        assert arrived.has(opened) != taken
        theirs = stream(workstation, COPY)
        assert arrives(servers[1], theirs) == taken
        assert Connection.objects.filter(key=workstation.pk).count() == 1
    assert not held
    assert before > 3
