"""What ends more than one transaction may: in steps, each of which commits something and is bounded."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from events_app.models import Observation
from events_app.presence import store
from events_app.presence.store import Arrival, ProcessIdentity
from sessions_app import operations, sweeper
from sessions_app.models import (
    EditSession,
    EndedSession,
    PlaceInLine,
    Workstation,
    edit_session_manager,
)
from sessions_app.models.results import Wanted
from sessions_app.operations.workstations import register
from sessions_app.presence_backend import WorkstationPresence
from tests.factories import (
    acquire,
    api_of,
    connect,
    depart,
    events,
    make_item,
)

pytestmark = pytest.mark.django_db

STEP = 20
SESSIONS = 110


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    monkeypatch.setattr(edit_session_manager, "STEP_SESSIONS", STEP)


class Records:
    """How many records each statement has inserted: each transaction that ends sessions inserts them by one."""

    def __init__(self):
        self.counts = []

    def __call__(self, execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if sql.startswith('INSERT INTO "sessions_app_endedsession"'):
            self.counts.append(context["cursor"].rowcount)
        return result


@pytest.fixture
def steps():
    records = Records()
    with connection.execute_wrapper(records):
        yield records.counts


def fill(workstation, count=SESSIONS):
    items = [make_item(f"{workstation.name} {number:03}") for number in range(count)]
    wanted = [Wanted(item.part_number, "sketch") for item in items]
    operations.acquire.acquire_all(workstation.user, workstation.pk, wanted)


def check_ended(steps, count=SESSIONS):
    """Everything has ended, once, and no step was larger than it may be."""
    assert not EditSession.objects.exists()
    assert EndedSession.objects.count() == sum(steps) == count
    assert [kind for kind, _, _ in events()].count("edit.session_released") == count
    assert max(steps) == STEP
    assert len(steps) == -(-count // STEP)


def test_all_of_a_workstation_are_released(ada, steps):
    fill(ada)
    answer = api_of(ada.user)("DELETE", f"/api/workstations/{ada.pk}/edit-sessions")
    assert answer.json() == {"released": SESSIONS}
    check_ended(steps)


def test_many_are_released(ada, steps):
    fill(ada)
    ids = list(EditSession.objects.values_list("pk", flat=True))
    answer = api_of(ada.user)("POST", "/api/edit-sessions/release", {"session_ids": ids})
    assert answer.json() == {"released": SESSIONS}
    check_ended(steps)


def test_many_are_forced(ada, steps):
    fill(ada)
    ids = list(EditSession.objects.values_list("pk", flat=True))
    assert len(operations.release.force_release_all(ids, "root", "why")) == SESSIONS
    check_ended(steps)


def test_workstations_are_deleted_with_their_last_step(ada, bob, steps):
    fill(ada)
    fill(bob, 5)
    assert operations.workstations.delete([ada.pk, bob.pk], "root") == 2
    check_ended(steps, SESSIONS + 5)
    assert not Workstation.objects.exists()
    assert set(EndedSession.objects.values_list("reason", flat=True)) == {"workstation_deleted"}


def test_a_deactivated_user_loses_all(ada, steps, django_capture_on_commit_callbacks):
    fill(ada)
    ada.user.is_active = False
    with django_capture_on_commit_callbacks(execute=True):
        ada.user.save()
    check_ended(steps)


def test_another_machine_gets_the_workstation_with_the_last_step(ada, steps):
    fill(ada)
    Workstation.objects.update(machine="a", last_seen=Now() - timedelta(hours=1))
    workstation, created = register(ada.user, ada.name, ada.fingerprint, "b")
    assert (workstation.machine, created) == ("b", False)
    check_ended(steps)


def test_the_sweeper_ends_all(ada, steps, settings):
    fill(ada)
    EditSession.objects.update(last_heartbeat=Now() - timedelta(hours=1))
    sweep = sweeper.Sweep(timedelta(minutes=15), timedelta(0), timedelta(hours=24))
    while sweep.step():
        pass
    check_ended(steps)


@pytest.fixture
def departed(ada):
    """A workstation whose departure ended the first step of what it held."""
    fill(ada)
    PlaceInLine.objects.create(item=make_item("waits"), workstation=ada, context_level="sketch")
    Observation.objects.update(last_beat=None)
    assert depart(ada)
    return ada


def left():
    return EditSession.objects.count()


def test_each_step_has_the_size_that_steps_have_then(steps, ada, bob, monkeypatch):
    """What finds the sessions of a workstation is compiled once for each size."""
    # As in a process that has not compiled it yet.
    vars(EditSession.objects).pop("_reading_held", None)
    for workstation, size in ((ada, 4), (bob, 7)):
        fill(workstation, 9)
        monkeypatch.setattr(edit_session_manager, "STEP_SESSIONS", size)
        assert depart(workstation)
    assert steps == [4, 7]


def test_a_departure_goes_on_until_nothing_is_left(steps, departed):
    assert steps == [STEP]
    assert not PlaceInLine.objects.exists()
    assert not [kind for kind, _, _ in events() if kind == "edit.session_away"]
    while WorkstationPresence().time_passes():
        pass
    check_ended(steps)
    departed.refresh_from_db()
    assert departed.away_since is None
    assert set(EndedSession.objects.values_list("reason", flat=True)) == {"disconnected"}


def arrive(workstation):
    process = ProcessIdentity()
    store.register(process, [Arrival(connect(workstation), workstation.pk)])


def acquire_more(workstation):
    acquire(workstation, make_item("more"))


def be_alive(workstation):
    operations.alive.alive(workstation.user, workstation.pk)


@pytest.mark.parametrize("sign_of_life", [arrive, acquire_more, be_alive])
def test_a_sign_of_life_keeps_what_is_left(departed, sign_of_life):
    assert operations.presence.end_grace(timedelta(0), 500)
    assert left() == SESSIONS - 2 * STEP
    sign_of_life(departed)
    before = left()
    while WorkstationPresence().time_passes():
        pass
    assert left() == before >= SESSIONS - 2 * STEP
    assert not [kind for kind, _, _ in events() if kind == "edit.session_back"]
