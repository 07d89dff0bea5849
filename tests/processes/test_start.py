"""Servers and sweepers on a database that is empty, or that is not there yet."""

import os
import re
import sys

import httpx
import psycopg
import pytest
from django.db import connection

from events_app.database import sql
from tests.processes import warm
from tests.processes.service import Serve, database_url, environment
from tests.waiting import eventually


@pytest.fixture
def other(committed_db):
    """The name of a database that does not exist yet."""
    name = f"{connection.settings_dict['NAME']}_empty"
    yield name
    run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def run(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


def names_in(database):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT application_name FROM pg_stat_activity WHERE datname = %s", [database]
        )
        return {name for (name,) in cursor.fetchall()}


def url_of(name):
    return re.sub(r"///[^?]*", f"///{name}", database_url())


@pytest.mark.parametrize(
    "command",
    [
        ["serve", "--port", "0"],
        ["serve", "--port", "0", "--workers", "2"],
        ["runsweeper"],
        ["runsweeper", "--once"],
    ],
    ids=" ".join,
)
def test_nothing_starts_on_a_database_that_is_not_migrated(other, command):
    run(f'CREATE DATABASE "{other}"')
    program = (sys.executable, "-W", "error", "manage.py", *command)
    done = warm.run(program, environment(DATABASE_URL=url_of(other)))
    assert done.returncode == os.EX_CONFIG
    assert "The database has no tables yet: run `manage.py migrate`." in done.stderr
    assert "Traceback" not in done.stderr
    assert "Listening" not in done.stdout


class ServeWorkers(Serve):
    """`manage.py serve --workers 2`."""

    def start_command(self, *command):
        return [*command, "--workers", "2"]


@pytest.fixture
def start(processes):
    """Start a server, and do not wait."""

    def start(kind, **env):
        server = kind(**env)
        processes.callback(server.close)
        return server

    return start


MISSING = "the database that DATABASE_URL names does not exist"


def test_a_server_waits_for_its_database_and_says_which(start, other):
    server = start(Serve, DATABASE_URL=f"{url_of(other)}&application_name=plant")

    def ready():
        return httpx.get(f"{server.url}/ready")

    eventually(lambda: ready().json().get("reason") == MISSING)
    assert ready().status_code == 503
    assert ready().json()["database"] == "unavailable"
    assert f'reason="{MISSING}"' in server.line(" ERROR ")
    source = connection.settings_dict["NAME"]
    # A database that is copied has no connections.
    connection.close()
    with psycopg.connect(
        **sql.listen_parameters() | {"dbname": "postgres"}, autocommit=True
    ) as one:
        one.execute(f'CREATE DATABASE "{other}" TEMPLATE "{source}"'.encode())
    server.ready()
    # Its own connections, those to listen among them, say what they are.
    assert {"plant serve", "plant relay", "plant notifications"} <= names_in(other)
    assert server.output.count(" ERROR ") == 1


def test_servers_that_waited_do_not_start_on_one_that_is_not_migrated(start, other):
    servers = start(ServeWorkers, DATABASE_URL=url_of(other))
    servers.line("Listening on")
    run(f'CREATE DATABASE "{other}"')
    assert servers.wait() == os.EX_CONFIG
    assert "The database has no tables yet: run `manage.py migrate`." in servers.output
    assert "Traceback" not in servers.output
    assert "unregistering" not in servers.output
