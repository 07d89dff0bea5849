"""`manage.py upgrade` on a database that is taken back to a state of before."""

import io
import re

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from events_app.database import others, sql
from silo import dumps
from silo.doctor import upgrading
from silo.doctor.findings import Level
from tests.programs import path_with_them
from tests.waiting import eventually

# Of before 1.4, whose servers must not run beside older ones.
OLD = [("events_app", "0006_acknowledged_or_not"), ("sessions_app", "0013_record_not_emptied")]
# Without the latest migration, beside which older servers may run.
RECENT = [("events_app", "0008_addresses")]

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def taken_back():
    """Take the database back to a state of before; it is migrated again afterwards."""

    def run(targets):
        MigrationExecutor(connection).migrate(targets)
        return sql.applied_migrations()

    yield run
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE name = '9999_later'")
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


@pytest.fixture
def connect():
    """Connect under a name."""
    opened = []

    def run(name):
        parameters = sql.parameters_for("") | {"application_name": name}
        opened.append(psycopg.connect(**parameters))
        return opened[-1]

    yield run
    for one in opened:
        one.close()


def upgrade(**options):
    """Run the command; return what it prints, and why it failed."""
    printed = io.StringIO()
    try:
        call_command("upgrade", stdout=printed, **options)
    except CommandError as error:
        return printed.getvalue(), str(error)
    return printed.getvalue(), ""


def problems(said):
    return [line.split()[1] for line in said.splitlines() if line.startswith("PROBLEM")]


def test_an_old_database_is_looked_at_backed_up_and_migrated(
    taken_back, connect, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", path_with_them())
    file = tmp_path / "before.dump"
    before = taken_back(OLD)
    said, wrong = upgrade()
    assert not wrong, said
    assert "events_app.0009_unready\n    Add field unready to serverprocess" in said
    assert said.endswith("Nothing was changed. --backup FILE takes a backup, and does this.\n")
    # Nothing is done beside servers that cannot go on. Those of 1.3 and before give no name.
    running = connect("plant two relay"), connect(""), connect("psql")
    said, wrong = upgrade(backup=file)
    assert (problems(said), "Nothing was changed." in wrong) == (["servers"], True)
    assert re.search(r"Connected: a connection without a name \(.*\), plant two relay \(", said)
    assert "psql" not in said
    assert (sql.applied_migrations(), file.exists()) == (before, False)
    for one in running:
        one.close()
    eventually(lambda: not others.services())

    said, wrong = upgrade(backup=file)
    assert f"Wrote {file}, {file.stat().st_size} bytes." in said
    assert "All migrations are applied." in said
    # The tests' database may forget on purpose.
    assert problems(said) == (["durability"] if wrong else [])
    assert ("Upgraded. Restart the servers" in said) == (not wrong)
    assert ("The database is migrated." in wrong) == bool(wrong)
    assert sql.applied_migrations() > before
    # Nothing is left to do, not even a backup.
    said, wrong = upgrade(backup=file)
    assert (wrong, "All are applied." in said) == ("", True)
    assert "so no backup was taken." in said


def test_a_long_transaction_is_found_and_a_late_one_not_waited_for(
    taken_back, connect, monkeypatch
):
    before = taken_back(RECENT)
    connect("silo serve")
    holding = connect("psql")
    said, wrong = upgrade()
    assert not wrong, said
    assert "They may go on meanwhile, and are restarted afterwards: silo serve (" in said

    # As anybody's else, who does not connect with the service's time-outs.
    holding.execute("SET idle_in_transaction_session_timeout = 0")
    holding.execute("SELECT FROM events_app_serverprocess")
    monkeypatch.setattr(others, "LONG_SECONDS", 0.1)
    said, wrong = upgrade(no_backup=True)
    assert (problems(said), "Nothing was changed." in wrong) == (["locks"], True)
    assert re.search(r"locks on tables for 0.1 s or more: psql \(", said)
    assert f"with the pid {holding.info.backend_pid}." in said

    # As if it had begun after the look.
    monkeypatch.setattr(others, "long_locking", list)
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '0.1s'")
    said, wrong = upgrade(no_backup=True)
    assert re.match(r"Not all is applied: .*lock timeout.* type it again with --no-backup\.", wrong)
    assert sql.applied_migrations() == before
    holding.rollback()
    said, wrong = upgrade(no_backup=True)
    assert ("All migrations are applied." in said, "Wrote" in said) == (True, False)


def test_a_server_that_starts_during_the_backup_is_found(
    taken_back, connect, monkeypatch, tmp_path
):
    before, file = taken_back(OLD), tmp_path / "before.dump"

    def write(into):
        into.touch()
        connect("silo serve")

    monkeypatch.setattr(dumps, "write", write)
    said, wrong = upgrade(backup=file)
    assert wrong == "There is a problem. Nothing was migrated; the backup is there."
    assert problems(said) == ["servers"]
    assert sql.applied_migrations() == before


def test_a_database_of_a_newer_version_is_left_alone(taken_back):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('events_app', '9999_later', now())"
        )
    said, wrong = upgrade(no_backup=True)
    assert (problems(said), "Nothing was changed." in wrong) == (["migrations"], True)
    assert "it has events_app.9999_later." in said


def test_an_empty_database_is_none_to_upgrade(monkeypatch):
    monkeypatch.setattr(sql, "applied_migrations", frozenset)
    [found] = upgrading.findings()
    assert (found.level, found.subject) == (Level.PROBLEM, "migrations")
    assert "For a first installation run manage.py migrate." in found.advice


def test_what_must_not_run_beside_older_servers_is_a_migration():
    executor = MigrationExecutor(connection)
    assert executor.loader.disk_migrations.keys() >= upgrading.ALONE
