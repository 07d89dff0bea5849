"""`manage.py flush`, `sqlflush` and `migrate`: what they would destroy they refuse, what is missing they put right."""

import builtins
from io import StringIO

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from events_app.log import event_log
from events_app.models import EventLog, Observation
from sessions_app import migrating
from sessions_app.models import EditSession, EndedSession, Item
from sessions_app.roles import Role
from tests.factories import acquire, let_go, make_user, make_workstation

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def in_production():
    """A connection without what tests may do."""
    with connection.cursor() as cursor:
        cursor.execute("SET silo.empty_the_record = ''")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET silo.empty_the_record = 'yes'")


@pytest.fixture
def session(item):
    return acquire(make_workstation(make_user()), item).session


@pytest.fixture
def record(session):
    let_go(session.pk)
    return EndedSession.objects.get()


def flush(*arguments):
    out = StringIO()
    call_command("flush", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("there", ["record", "session"])
def test_it_refuses_to_delete_what_nobody_may(in_production, request, there):
    request.getfixturevalue(there)
    with pytest.raises(CommandError, match=r"Nothing was deleted: there is .*--yes-delete"):
        flush("--no-input")
    assert Item.objects.exists()


def test_a_confirmed_flush_deletes_the_record_and_keeps_what_servers_need(in_production, record):
    before, token = event_log.state(), record.fencing_token
    flush("--no-input", "--yes-delete-the-record")
    assert not EndedSession.objects.exists()
    assert not Item.objects.exists()
    assert Observation.objects.get().last_beat is None
    assert set(Group.objects.values_list("name", flat=True)) == {role.group for role in Role}
    # What anybody has read of the old log cannot be continued, and no token comes a second time.
    assert event_log.state().head.epoch != before.head.epoch
    item = Item.objects.create(part_number="A-1")
    assert acquire(make_workstation(make_user()), item).session.fencing_token > token
    # And nobody else may empty the record now.
    let_go(EditSession.objects.get().pk)
    with pytest.raises(CommandError, match="Nothing was deleted"):
        flush("--no-input")


def test_a_database_without_a_record_is_emptied_as_ever(in_production, item):
    flush("--no-input")
    assert not Item.objects.exists()
    assert EventLog.objects.count() == Observation.objects.count() == 1


@pytest.mark.parametrize(("typed", "left"), [("no", True), ("yes", False)])
def test_it_asks_first(in_production, item, monkeypatch, typed, left):
    monkeypatch.setattr(builtins, "input", lambda text: typed)
    assert ("cancelled" in flush()) == left
    assert Item.objects.exists() == left


@pytest.mark.parametrize("statement", ["TRUNCATE sessions_app_endedsession", "sqlflush"])
def test_the_database_itself_refuses_to_empty_the_record(in_production, record, statement):
    if statement == "sqlflush":
        out = StringIO()
        call_command("sqlflush", stdout=out)
        statement = out.getvalue()
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert EndedSession.objects.exists()


def test_migrate_puts_right_what_is_missing():
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM events_app_eventlog; DELETE FROM events_app_observation")
    Group.objects.all().delete()
    call_command("migrate", verbosity=0)
    assert EventLog.objects.count() == Observation.objects.count() == 1
    assert Group.objects.count() == len(Role)


def test_other_commands_of_django_change_nothing_of_ours(record, monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "only-for-tests")
    user = {"username": "root", "email": "root@example.com", "verbosity": 0}
    before = event_log.state()
    call_command("createsuperuser", interactive=False, **user)
    call_command("clearsessions")
    call_command("remove_stale_contenttypes", interactive=False, verbosity=0)
    call_command("sqlsequencereset", "sessions_app", "events_app", stdout=StringIO())
    assert EndedSession.objects.get() == record
    assert event_log.state() == before


@pytest.mark.parametrize("there", ["record", "session"])
@pytest.mark.parametrize("target", ["zero", "0001"])
def test_migrate_does_not_undo_what_keeps_the_record(request, there, target):
    request.getfixturevalue(there)
    with pytest.raises(CommandError, match="Nothing was undone"):
        call_command("migrate", "sessions_app", target, verbosity=0)
    assert migrating.what_would_be_lost("default")
