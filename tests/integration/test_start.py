"""What `serve` and `runsweeper` look at before they begin."""

import logging
import os

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.migrations.loader import MigrationLoader

from events_app.database import sql, start
from events_app.database.probe import WriteCheck

UNKNOWN = frozenset({("events_app", "9999_tomorrow")})


@pytest.fixture
def parameters(monkeypatch, committed_db):
    """Have some parameters of the connection changed."""
    real = sql.listen_parameters()

    def change(**changed):
        monkeypatch.setattr(sql, "listen_parameters", lambda: real | changed)

    return change


def unreachable():
    with pytest.raises(start.Unreachable) as caught:
        start.look()
    return caught.value


def test_the_migrations_of_this_version_are_known_without_loading_them():
    assert start.needed() == MigrationLoader(None).disk_migrations.keys()


def test_a_migrated_database_is_good(committed_db, caplog):
    start.look()
    assert start.lacking() == ""
    assert not caplog.records


def test_one_that_lacks_a_migration_is_not(committed_db, monkeypatch):
    needed = start.needed() | UNKNOWN
    monkeypatch.setattr(start, "needed", lambda: needed)
    said = r"lacks 1 migrations, such as events_app\.9999_tomorrow\): run `manage\.py migrate`"
    with pytest.raises(start.NotMigrated, match=said):
        start.look()
    # Nor does a server that runs go on saying that it is ready.
    assert "run `manage.py migrate`" in WriteCheck().run()


def test_one_without_a_row_that_migrate_makes_is_not(committed_db, monkeypatch):
    monkeypatch.setattr(sql, "SINGLE_ROWS", "SELECT true, false")
    with pytest.raises(start.NotMigrated, match="lacks rows that"):
        start.look()


def test_one_that_is_newer_than_this_version_is_warned_of(committed_db, monkeypatch, caplog):
    known = start.needed()
    newest = ("sessions_app", max(name for app, name in known if app == "sessions_app"))
    monkeypatch.setattr(start, "needed", lambda: known - {newest})
    start.look()
    [record] = caplog.records
    assert record.message == "the database is newer than this version"
    assert (record.levelno, record.newest) == (logging.WARNING, ".".join(newest))
    assert WriteCheck().run() == ""


def test_a_database_without_any_table_lacks_all(committed_db):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_migrations RENAME TO django_migrations_away")
        assert "run `manage.py migrate`" in start.lacking()
        transaction.set_rollback(True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"dbname": "silo_nowhere"}, "the database that DATABASE_URL names does not exist"),
        ({"user": "silo_nobody"}, "the user that DATABASE_URL names does not exist"),
    ],
)
def test_a_url_that_leads_nowhere_says_what_is_wrong(parameters, changed, said):
    parameters(**changed)
    error = unreachable()
    assert (error.is_wrong, str(error)) == (True, said)


@pytest.mark.parametrize(
    ("told", "wrong", "said"),
    [
        (
            'connection failed: FATAL:  password authentication failed for user "silo"',
            True,
            "the database refuses the user or the password of DATABASE_URL",
        ),
        (
            "failed to resolve host 'db.example': [Errno -2] Name or service not known",
            True,
            "the host that DATABASE_URL names is unknown",
        ),
        (
            "failed to resolve host 'db.example': [Errno -3] Temporary failure in name resolution",
            False,
            "the database cannot be reached",
        ),
        (
            "connection to server failed: Connection refused",
            False,
            "the database cannot be reached",
        ),
        ("FATAL:  the database system is starting up", False, "the database cannot be reached"),
    ],
)
def test_a_wrong_url_is_told_from_an_absence(told, wrong, said):
    error = start.Unreachable(psycopg.OperationalError(told))
    assert (error.is_wrong, str(error)) == (wrong, said)


def test_each_reason_is_an_error_once(caplog):
    wrong = start.Unreachable(psycopg.OperationalError('role "x" does not exist'))
    away = start.Unreachable(psycopg.OperationalError("Connection refused"))
    wait = start.Wait("server")
    for one in (away, away, wrong, wrong):
        wait.log(one, 0.2)
    levels = [logging.WARNING, logging.WARNING, logging.ERROR, logging.WARNING]
    assert [record.levelno for record in caplog.records] == levels


@pytest.mark.parametrize("command", ["serve", "runsweeper"])
def test_timings_that_do_not_fit_end_a_service_with_the_code_of_its_configuration(
    settings, command
):
    settings.EVENTS_DEAD_PEER_SECONDS = settings.EVENTS_HEARTBEAT_SECONDS
    with pytest.raises(CommandError, match="dead_peer_seconds is") as caught:
        call_command(command, skip_checks=False)
    assert caught.value.returncode == os.EX_CONFIG
