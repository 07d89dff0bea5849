"""`manage.py backup` and `restore`, from one database into another one."""

import re
import stat
import sys

import httpx
import psycopg
import pytest

from sessions_app.models.api_token import TOKEN_FORM
from tests.processes.service import Serve
from tests.programs import path_with_them
from tests.waiting import eventually


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
    with psycopg.connect(empty) as other:
        assert other.execute("SHOW default_transaction_read_only").fetchone() == ("off",)
    code, said = manage(empty, "backup", tmp_path / "silo.dump", path="/nonexistent")
    assert (code, "There is no pg_dump on the PATH" in said) == (1, True), said
    code, said = manage(empty, "backup", tmp_path / "none/silo.dump")
    assert code == 1
    assert "pg_dump: error" in said
    assert list(tmp_path.iterdir()) == [broken]


# Runs pg_restore, and then does as a server that comes at that moment: it writes down what it hears, and stays.
MEANWHILE = """#!{python}
import os, select, subprocess, sys
import psycopg
subprocess.run(["{folder}/pg_restore", *sys.argv[1:]], check=True)
[database] = [one.partition("=")[2] for one in sys.argv if one.startswith("--dbname=")]
# A server does not say the one, and this one not the other: with it, it could not even connect.
del os.environ["PGOPTIONS"], os.environ["PGTARGETSESSIONATTRS"]
if os.fork():
    sys.exit()
server = psycopg.connect(dbname=database, application_name="silo serve", autocommit=True)
with open("{heard}", "w", buffering=1) as heard:
    try:
        server.execute("SELECT nextval('sessions_app_fencing_token')")
    except psycopg.Error as error:
        print(type(error).__name__, file=heard)
    # What the command waits for.
    for stream in (sys.stdout, sys.stderr):
        os.close(stream.fileno())
    if select.select([server], [], [], 30)[0]:
        print("ended", file=heard)
os._exit(0)
"""


def test_a_server_that_comes_meanwhile_writes_nothing(empty_database, manage, tmp_path):
    old, new, file = empty_database(), empty_database(), tmp_path / "silo.dump"
    heard, program = tmp_path / "heard", tmp_path / "pg_restore"
    path = path_with_them()
    texts = {"python": sys.executable, "folder": path.partition(":")[0], "heard": heard}
    program.write_text(MEANWHILE.format(**texts))
    program.chmod(0o755)
    code, said = manage(old, "migrate", "--verbosity", "0")
    assert code == 0, said
    code, said = manage(old, "backup", file)
    assert code == 0, said
    # As with HAProxy; the command's own connections may write.
    url = f"{new}&target_session_attrs=read-write"
    code, said = manage(url, "restore", file, path=f"{tmp_path}:{path}")
    assert (code, f"Restored {file}." in said) == (0, True), said
    # Its connection would never write.
    eventually(lambda: heard.read_text().split() == ["ReadOnlySqlTransaction", "ended"])
    with psycopg.connect(new) as server:
        assert server.execute("SELECT nextval('sessions_app_fencing_token') > 2^32").fetchone()[0]


# The same, and takes away what a new epoch needs.
WITHOUT_SESSIONS = """#!{python}
import subprocess, sys
import psycopg
subprocess.run(["{folder}/pg_restore", *sys.argv[1:]], check=True)
[database] = [one.partition("=")[2] for one in sys.argv if one.startswith("--dbname=")]
with psycopg.connect(dbname=database) as server:
    server.execute("DROP TABLE sessions_app_editsession CASCADE")
"""


def test_without_a_new_epoch_nobody_writes(empty_database, manage, tmp_path):
    old, new, file = empty_database(), empty_database(), tmp_path / "silo.dump"
    path, program = path_with_them(), tmp_path / "pg_restore"
    texts = {"python": sys.executable, "folder": path.partition(":")[0]}
    program.write_text(WITHOUT_SESSIONS.format(**texts))
    program.chmod(0o755)
    for words in (("migrate", "--verbosity", "0"), ("backup", file)):
        code, said = manage(old, *words)
        assert code == 0, said
    code, said = manage(new, "restore", file, path=f"{tmp_path}:{path}")
    [typed] = re.findall(r"type `(.*)` into psql", said)
    assert code == 1
    with psycopg.connect(new, autocommit=True) as server:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            server.execute("CREATE TEMPORARY TABLE probe ()")
        server.execute(typed)
    with psycopg.connect(new) as server:
        assert server.execute("SHOW default_transaction_read_only").fetchone() == ("off",)


def test_whoever_does_not_own_the_database_cannot_restore_it(empty_database, manage, tmp_path):
    url, file = empty_database(), tmp_path / "silo.dump"
    file.touch()
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("CREATE ROLE test_backup_guest LOGIN")
        try:
            guest = re.sub(r"user=\w+", "user=test_backup_guest", url)
            code, said = manage(guest, "restore", file)
        finally:
            owner.execute("DROP ROLE test_backup_guest")
    assert (code, "has to own the database" in said) == (1, True), said
