"""Django's own commands on a database of their own, as people run them; a server starts after each."""

import platform
import re
import sys
import uuid

import django
import httpx
import pytest
from django.db import connection

import silo
from sessions_app.models.api_token import TOKEN_FORM
from tests.processes import warm
from tests.processes.service import Serve, database_url, environment


@pytest.fixture
def database(processes):
    """The URL of an empty database beside the tests' one."""
    name = f"test_management_{uuid.uuid4().hex}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    processes.callback(drop, name)
    return f"postgresql:///{name}?{database_url().partition('?')[2]}"


def drop(name):
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def manage(database):
    """Run a management command on that database; return its exit code and what it prints."""

    def run(*arguments):
        command = (sys.executable, "-W", "error", "manage.py", *arguments)
        # The tests' own settings let it empty the record.
        own = environment(DATABASE_URL=database, DJANGO_SETTINGS_MODULE="silo.settings")
        done = warm.run(command, own)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def use(manage, database, processes):
    """Start a server on it; acquire a session and release it. Return its fencing token."""

    def run():
        code, said = manage("createtoken", "ada", "--create-user", "--role", "editor")
        assert code == 0, said
        # The log names its prefix.
        [token] = TOKEN_FORM.findall(said)
        server = Serve(DATABASE_URL=database)
        processes.callback(server.close)
        server.ready()
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}) as api:
            name = uuid.uuid4().hex
            api.post("/api/items", json={"part_number": name}).raise_for_status()
            known = api.post("/api/workstations", json={"name": name, "fingerprint": name}).json()
            body = {"workstation_id": known["id"], "context_level": "sketch"}
            path = f"/api/items/{name}/edit-sessions"
            session = api.post(path, json=body).raise_for_status().json()
            api.delete(f"{path}/{session['session_id']}").raise_for_status()
        server.close()
        return session["fencing_token"]

    return run


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_version_names_the_server_and_what_it_runs_on(manage, arguments):
    code, said = manage(*arguments)
    assert code == 0
    server, python, django_version, database_version = said.splitlines()
    assert server == f"Silo Sessions {silo.__version__}"
    assert python == f"Python {platform.python_version()}"
    assert django_version == f"Django {django.get_version()}"
    assert re.fullmatch(r"PostgreSQL \d+\.\d+.*", database_version)


# Only the collector of garbage frees an object in a circle.
CIRCLE = """
class Circle:
    def __init__(self):
        self.itself = self

    def __del__(self):
        print("collected")

Circle()
"""


@pytest.mark.parametrize(
    ("more", "printed"), [("import gc; gc.collect()", "collected\n"), ("", "")]
)
def test_a_command_collects_no_garbage_at_its_end(manage, more, printed):
    """With all the objects of Django that takes most of a second."""
    assert manage("shell", "-v", "0", "-c", CIRCLE + more) == (0, printed)


def test_commands_that_destroy_are_refused_or_leave_a_database_on_which_a_server_starts(
    manage, use, tmp_path
):
    def works(*arguments):
        code, said = manage(*arguments)
        assert code == 0, said

    works("migrate", "--verbosity", "0")
    tokens = [use()]
    for refused in (["flush", "--no-input"], ["migrate", "sessions_app", "zero"]):
        code, said = manage(*refused)
        assert code == 1
        assert "Traceback" not in said
        assert "--yes-delete-the-record" in said
    dump = tmp_path / "dump.json"
    # As docs/administration.md says.
    excluded = [
        f"--exclude={name}" for name in ("contenttypes", "auth.permission", "admin", "sessions")
    ]
    works("dumpdata", "--natural-foreign", *excluded, "--output", str(dump))
    works("flush", "--no-input", "--yes-delete-the-record")
    # Back to before everything and forth again.
    works("migrate", "sessions_app", "zero", "--verbosity", "0")
    works("migrate", "events_app", "zero", "--verbosity", "0")
    works("migrate", "--verbosity", "0")
    tokens.append(use())
    works("flush", "--no-input", "--yes-delete-the-record")
    works("loaddata", str(dump))
    tokens.append(use())
    # No token came a second time, whatever was done.
    assert tokens == sorted(set(tokens))
