"""Servers and sweepers are seen by their connections, and keep a restore from beginning."""

import psycopg
import pytest

from events_app.database import others
from sessions_app.models import SweeperProcess
from tests.waiting import eventually


@pytest.fixture
def connect(processes):
    """Connect to a database under a name."""

    def run(url, name):
        opened = psycopg.connect(url, application_name=name)
        processes.callback(opened.close)
        return opened

    return run


def test_nothing_is_restored_while_a_server_or_sweeper_is_connected(
    empty_database, manage, connect, tmp_path
):
    new, file = empty_database(), tmp_path / "silo.dump"
    file.touch()
    with connect(new, "silo relay"), connect(new, "silo sweeper"), connect(new, "psql"):
        code, said = manage(new, "restore", file)
    assert code == 1
    named = "silo relay (a local socket), silo sweeper (a local socket)"
    assert f"Connected to this database: {named}. Nothing was changed." in said
    with psycopg.connect(new) as opened:
        tables = opened.execute("SELECT FROM pg_tables WHERE schemaname = 'public'")
        assert tables.rowcount == 0


def test_real_servers_and_sweepers_are_seen(serve, runsweeper):
    """A sweeper between two sweeps, too."""
    serve()
    sweeper = runsweeper(SILO_SWEEP_SECONDS="60")
    sweeper.line("sweeper started")
    eventually(lambda: SweeperProcess.objects.filter(sweep_ended__isnull=False).exists())
    names = {one.name for one in others.services()}
    assert {"silo serve", "silo relay", "silo sweeper"} <= names
