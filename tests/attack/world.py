"""What is attacked: a database, servers and a sweeper of the tests' own, and who uses them.

`SILO_ATTACK_TREE` names another checkout, with a `.venv` of its own, whose server and client are tried instead.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import psycopg
from psycopg import sql

from tests.faults.own_postgres import Made
from tests.processes.service import ROOT, Process
from tests.waiting import eventually

TREE = Path(os.environ.get("SILO_ATTACK_TREE") or ROOT)
PYTHON = sys.executable if TREE == ROOT else str(TREE / ".venv" / "bin" / "python")

# A fifth of the defaults' heartbeat and a third of their dead peer: an attack of twenty seconds is longer than
# an honest client may be kept from acknowledging.
TIMINGS = {
    "SILO_HEARTBEAT_SECONDS": "6",
    "SILO_DEAD_PEER_SECONDS": "15",
    "SILO_SWEEP_SECONDS": "2",
    "SILO_SESSION_TIMEOUT_MINUTES": "0.5",
}

# Names and roles of the accounts. The first four are honest.
ACCOUNTS = {
    "ada": "editor",
    "bob": "editor",
    "cyd": "editor",
    "wat": "viewer",
    "mal": "editor",
    "vic": "viewer",
    "adm": "admin",
} | {f"crew{number}": "editor" for number in range(10)}

# What the node keys begin with: they are as long as paths in an assembly are.
NODE = "assembly/" * 10

# `mal-viewer` is a token of mal's that allows only what a viewer may do.
MAKE_TOKENS = """
import io, json
from django.core.management import call_command
def token(user, role):
    out = io.StringIO()
    call_command("createtoken", user, "--role", role, "--create-user", stdout=out)
    return out.getvalue().strip().splitlines()[-1]
accounts = json.loads({accounts!r})
tokens = {{user: token(user, role) for user, role in accounts.items()}}
tokens["mal-viewer"] = token("mal", "viewer")
print("tokens " + json.dumps(tokens))
"""


class Template(Made):
    """The PostgreSQL, and in it a migrated database with the accounts, from which every attack gets a copy."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: dict[str, str] = {}
        self._copies = 0

    def _make(self) -> None:
        super()._make()
        script = MAKE_TOKENS.format(accounts=json.dumps(ACCOUNTS))
        printed = self.manage("shell", "-c", script)
        line = next(line for line in printed.splitlines() if line.startswith("tokens "))
        self.tokens = json.loads(line.removeprefix("tokens "))

    def manage(self, *arguments: str) -> str:
        """Run a management command of the tree that is tried; return what it prints."""
        done = subprocess.run(
            [PYTHON, "manage.py", *arguments],
            cwd=TREE,
            env=environment(self.url),
            check=False,
            capture_output=True,
            text=True,
        )
        assert not done.returncode, done.stderr
        return done.stdout.strip()

    @property
    def folder(self) -> Path:
        """Where it is, for `SILO_VAR`."""
        return self._folder

    def copy(self) -> str:
        """Make another database with the accounts; return its URL."""
        self._copies += 1
        name = f"attack{self._copies}"
        make = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(self.url, dbname="postgres", autocommit=True) as connection:
            connection.execute(make.format(sql.Identifier(name), sql.Identifier("silo")))
        query = {"host": self._params.host, "port": self._params.port, "user": self._params.user}
        return f"postgresql:///{name}?{urlencode(query)}"


def environment(database: str, **more: str) -> dict[str, str]:
    """Return the environment of the service on a database, with its own settings and not those of the tests."""
    ours = {
        "DATABASE_URL": database,
        "DJANGO_SETTINGS_MODULE": "silo.settings",
        "PYTHONUNBUFFERED": "1",
    }
    return os.environ | TIMINGS | ours | more


class Beside(Process):
    """What is not measured: it begins with the libraries loaded."""

    warm = True


class Server(Process):
    """`manage.py serve`."""

    def __init__(self, database: str, *before: str, **env: str) -> None:
        command = (*before, PYTHON, "manage.py", "serve", "--port", "0")
        super().__init__(*command, env=environment(database, **env), cwd=TREE)
        self.url = self.line("Listening on").split()[-1]

        def ready() -> bool:
            assert self.running, self.output
            with suppress(httpx.TransportError):
                return httpx.get(f"{self.url}/ready").status_code == 200
            return False

        eventually(ready, "ready")

    def memory(self, what: str = "VmRSS") -> float:
        """Return how much it has in memory, in MB; with `VmHWM` the most since `forget_peak`."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def forget_peak(self) -> None:
        """Count the most memory from now on."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


class World:
    """A server and a sweeper on a database of their own.

    Args:
        tokens: of the accounts.
        database: its URL.
        processes: ends what is started.
        before: what the server's command begins with.
        env: of server and sweeper, besides.
    """

    def __init__(
        self,
        tokens: dict[str, str],
        database: str,
        processes: ExitStack,
        *before: str,
        **env: str,
    ) -> None:
        self.tokens = tokens
        self.database = database
        self._processes = processes
        sweeper = (PYTHON, "-W", "error", "manage.py", "runsweeper")
        self.sweeper = Beside(*sweeper, env=environment(self.database, **env), cwd=TREE)
        processes.callback(self.sweeper.close)
        self.server = Server(self.database, *before, **env)
        processes.callback(self.server.close)

    @property
    def url(self) -> str:
        return self.server.url

    def run(self, script: str, *arguments: str, **env: str) -> Process:
        """Start a script beside this file, on the Python of the tree that is tried."""
        path = str(Path(__file__).with_name(script))
        own = os.environ | {"PYTHONUNBUFFERED": "1"} | env
        process = Beside(PYTHON, "-W", "error", path, *arguments, env=own, cwd=TREE)
        self._processes.callback(process.close)
        return process

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement on the database."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def ask(self, user: str, method: str, path: str, body: Any = None) -> httpx.Response:
        """Call the API as a user, without hurry."""
        headers = {"Authorization": f"Bearer {self.tokens[user]}"}
        return httpx.request(method, self.url + path, json=body, headers=headers, timeout=60)

    # -- what is there before an attack begins: written at once, as thousands of requests would take too long --

    def user_id(self, user: str) -> int:
        return int(self.query("SELECT id FROM auth_user WHERE username = %s", user)[0][0])

    def make_items(self, prefix: str, count: int) -> None:
        """Make items `<prefix>-1` to `<prefix>-<count>`."""
        self.query(
            """
            INSERT INTO sessions_app_item (id, part_number, key, description, item_type)
            SELECT gen_random_uuid(), %s || n, lower(%s || n), '', '' FROM generate_series(1, %s) n
            """,
            *(f"{prefix}-", f"{prefix}-", count),
        )

    def make_workstations(self, user: str, prefix: str, count: int) -> list[str]:
        """Make workstations of a user; return their ids."""
        made = self.query(
            """
            INSERT INTO sessions_app_workstation (id, user_id, name, fingerprint)
            SELECT gen_random_uuid(), %s, %s || n, %s || n FROM generate_series(1, %s) n RETURNING id
            """,
            *(self.user_id(user), f"{prefix}-", f"{prefix}-", count),
        )
        return [str(row[0]) for row in made]

    def make_sessions(
        self, workstations: list[str], part_number: str, each: int = 1, keys: int = 0
    ) -> None:
        """Have workstations hold sessions on an item, each object at the level `sketch`.

        Args:
            workstations: who holds them.
            part_number: the item's.
            each: how many each of them holds.
            keys: how many node keys the cone has, which is the same for all of them.
        """
        self.query(
            """
            INSERT INTO sessions_app_editsession
                (id, item_id, workstation_id, user_id, context_level, object_id, dependency_cone)
            SELECT gen_random_uuid(), i.id, w.id, w.user_id, 'sketch', w.id || '/' || n,
                ARRAY(SELECT %s || k FROM generate_series(1, %s) k)
            FROM sessions_app_item i, sessions_app_workstation w, generate_series(1, %s) n
            WHERE i.part_number = %s AND w.id = ANY(%s::uuid[])
            """,
            *(NODE, keys, each, part_number, workstations),
        )

    def held_by(self, workstations: list[str]) -> int:
        """Return how many sessions these workstations hold."""
        count = (
            "SELECT count(*) FROM sessions_app_editsession WHERE workstation_id = ANY(%s::uuid[])"
        )
        return int(self.query(count, workstations)[0][0])

    def events(self, part: str = "") -> int:
        """Return how many events the log has, or of how many the data has a text in it."""
        count = "SELECT count(*) FROM events_app_logentry WHERE position(%s in data) > 0 OR %s = ''"
        return int(self.query(count, part, part)[0][0])
