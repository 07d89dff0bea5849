"""An item whose lock somebody keeps is set aside by the sweep, which ends everybody else's sessions."""

import select
from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import connection
from django.db.models.functions import Now

from events_app.database import sql
from sessions_app import operations, sweeper
from sessions_app.interference import conflicts
from sessions_app.models import EditSession, EndedSession, Item, Workstation
from sessions_app.models.results import Wanted
from sessions_app.presence_backend import WorkstationPresence
from tests.factories import acquire, connect, make_item, make_user, make_workstation, stand
from tests.integration.keeping import kept
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("committed_db")

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def impatient(committed_db):
    """Wait for a lock for a moment only."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    yield
    connection.close()


@pytest.fixture
def items():
    return [make_item(f"A01-{number:04}") for number in range(30)]


def fill(workstation, items):
    wanted = [Wanted(item.part_number, "sketch") for item in items]
    operations.acquire.acquire_all(workstation.user, workstation.pk, wanted)


def sweep():
    current = sweeper.Sweep(timedelta(minutes=15), timedelta(0), timedelta(hours=24))
    while current.step():
        pass
    return current.counts


def errors(caplog):
    return [record for record in caplog.records if record.levelname == "ERROR"]


def test_stale_sessions_on_other_items_end(ada, items, caplog):
    fill(ada, items)
    for name in "ABC":
        acquire(ada, items[7], name)
    EditSession.objects.update(last_heartbeat=Now() - HOUR)
    with kept(Item.objects.filter(pk=items[7].pk)):
        assert sweep() == {"expired": 29}
        assert [record.item for record in errors(caplog)] == ["A01-0007"] * 2
        assert set(EditSession.objects.values_list("item", flat=True)) == {items[7].pk}
    assert sweep() == {"expired": 4}


def test_sessions_of_deactivated_users_on_other_items_end(ada, items, caplog):
    fill(ada, items)
    type(ada.user).objects.update(is_active=False)
    with kept(Item.objects.filter(pk=items[7].pk)):
        assert sweep() == {"deactivated": 29}
    assert [record.item for record in errors(caplog)] == ["A01-0007"]


def test_other_graces_end(items, caplog):
    workstations = [make_workstation(make_user(f"user {n}"), f"cad-{n}") for n in range(12)]
    for workstation, item in zip(workstations, items, strict=False):
        acquire(workstation, item)
    Workstation.objects.update(departed_at=Now() - HOUR, away_since=Now() - HOUR)
    domain = WorkstationPresence()
    with kept(Item.objects.filter(pk=items[7].pk)):
        while domain.time_passes():
            pass
    assert [record.workstation for record in errors(caplog)] == ["cad-7"]
    assert EditSession.objects.get().workstation == workstations[7]
    # It is tried again, but not at once.
    assert not domain.time_passes()


def test_other_turns_come(ada, items, caplog):
    connect(ada)
    holder = make_workstation(make_user("holder"))
    for item in items[:12]:
        acquire(holder, item)
        stand(ada, item)
    EditSession.objects.all().delete()
    domain = WorkstationPresence()
    with kept(Item.objects.filter(pk=items[7].pk)):
        while domain.time_passes():
            pass
    assert [record.item for record in errors(caplog)] == ["A01-0007"]
    assert EditSession.objects.filter(workstation=ada).count() == 11


def test_a_connection_that_the_database_ended_is_opened_again(ada, items, caplog, monkeypatch):
    """As it does with one that is idle in its transaction for too long."""
    fill(ada, items)
    EditSession.objects.update(last_heartbeat=Now() - HOUR)
    poisoned = EditSession.objects.get(item=items[7]).pk
    few = conflicts.few_to_end

    def few_to_end(ending, holders):
        if poisoned in {session.pk for session in ending}:
            sql.set_for_transaction("idle_in_transaction_session_timeout", "1ms")
            eventually(was_ended)
        return few(ending, holders)

    monkeypatch.setattr(conflicts, "few_to_end", few_to_end)
    assert sweep() == {"expired": 29}
    assert [record.session for record in errors(caplog)] == [poisoned]


def was_ended():
    """Whether the database has sent its last words to this connection."""
    return bool(select.select([connection.connection.pgconn.socket], [], [], 0)[0])


def test_a_session_expires_whose_item_is_merged_after_it_was_found(ada, items, monkeypatch):
    monkeypatch.setattr(sweeper, "Pace", lambda: SimpleNamespace(size=1, step=nullcontext))
    for item in items[:4]:
        acquire(ada, item, item.part_number)
    EditSession.objects.update(last_heartbeat=Now() - HOUR)
    current = sweeper.Sweep(timedelta(minutes=15), timedelta(0), timedelta(hours=24))
    while not current.counts:
        assert current.step()
    keep, other, _ = EditSession.objects.order_by("item_id").values_list("item_id", flat=True)
    operations.merge.merge(keep, [other])
    while current.step():
        pass
    assert current.counts["expired"] == 4
    assert EndedSession.objects.filter(item_id=keep).count() == 2
