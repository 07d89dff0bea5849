"""`manage.py backup` and `restore`, from one database into another one."""

import os
import stat
import sys
import uuid
from pathlib import Path

import httpx
import pytest
from django.db import connection

from django_embedded_postgres import binaries
from sessions_app.models.api_token import TOKEN_FORM
from tests.processes import warm
from tests.processes.service import Serve, database_url, environment


@pytest.fixture
def empty_database(processes):
    """Make an empty database beside the tests' one; return its URL."""

    def make():
        name = f"test_backup_{uuid.uuid4().hex}"
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        processes.callback(drop, name)
        return f"postgresql:///{name}?{database_url().partition('?')[2]}"

    return make


def drop(name):
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def manage():
    """Run a management command on a database; return its exit code and what it prints."""
    version = connection.pg_version // 10_000
    embedded = binaries.installs(binaries.wheel_folder())
    install = embedded.get(version, Path(f"/usr/lib/postgresql/{version}"))

    def run(database, *arguments, path=f"{install}/bin:{os.environ['PATH']}"):
        command = (sys.executable, "-W", "error", "manage.py", *map(str, arguments))
        own = environment(DATABASE_URL=database, DJANGO_SETTINGS_MODULE="silo.settings", PATH=path)
        done = warm.run(command, own)
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def use(processes):
    """Acquire a session on a database's server, and keep it; return its fencing token."""

    def run(database, token, part):
        server = Serve(DATABASE_URL=database)
        processes.callback(server.close)
        server.ready()
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}) as api:
            api.post("/api/items", json={"part_number": part})
            known = api.post("/api/workstations", json={"name": part, "fingerprint": part}).json()
            body = {"workstation_id": known["id"], "context_level": "sketch"}
            session = api.post(f"/api/items/{part}/edit-sessions", json=body).raise_for_status()
        server.close()
        return session.json()["fencing_token"]

    return run


def test_no_fencing_token_of_a_time_that_was_taken_back_comes_again(
    empty_database, manage, use, tmp_path
):
    old, new, file = empty_database(), empty_database(), tmp_path / "silo.dump"
    code, said = manage(old, "migrate", "--verbosity", "0")
    assert code == 0, said
    code, said = manage(old, "createtoken", "ada", "--create-user", "--role", "editor")
    [token] = TOKEN_FORM.findall(said)
    first = use(old, token, "A")
    code, said = manage(old, "backup", file)
    assert (code, f"Wrote {file}, {file.stat().st_size} bytes." in said) == (0, True), said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]
    # This one is in no backup.
    lost = use(old, token, "B")
    code, said = manage(new, "restore", file)
    assert (code, f"Restored {file}." in said) == (0, True), said
    # Ada's token is restored.
    assert use(new, token, "C") > lost > first

    # What is there is never overwritten.
    code, said = manage(new, "restore", file)
    assert (code, "The database has tables; nothing was changed." in said) == (1, True), said
    kept = file.read_bytes()
    code, said = manage(new, "backup", file)
    assert (code, "exists; nothing was written." in said) == (1, True), said
    assert file.read_bytes() == kept


def test_what_is_wrong_is_said(empty_database, manage, tmp_path):
    empty, broken = empty_database(), tmp_path / "broken.dump"
    code, said = manage(empty, "restore", tmp_path / "none.dump")
    assert (code, "There is no file" in said) == (1, True), said
    broken.write_text("nothing of a dump")
    code, said = manage(empty, "restore", broken)
    assert code == 1
    assert "input file does not appear to be a valid archive" in said
    code, said = manage(empty, "backup", tmp_path / "silo.dump", path="/nonexistent")
    assert (code, "There is no pg_dump on the PATH" in said) == (1, True), said
    code, said = manage(empty, "backup", tmp_path / "none/silo.dump")
    assert code == 1
    assert "pg_dump: error" in said
    assert list(tmp_path.iterdir()) == [broken]
