"""What README.md and docs/*.md show works as it stands there, in the order of each page, on the data of `make run`.

One server serves all pages. A block with `<!-- not run: reason -->` before it is not typed; all are read by
tests/unit/test_documents.py.
"""

import json
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from django.core.management import call_command

from silo import config
from silo_client import Workstation
from tests.documents import PAGES, ROOT, blocks_of, commands_of
from tests.processes.service import Process, environment

# It has more commands of the kind; its Python is run by client/test_client_readme.py.
ALL_PAGES = [*PAGES, ROOT / "client/README.md"]
# Would be used instead of what `silo login` keeps.
LOGIN = ("SILO_URL", "SILO_TOKEN", "SILO_CA_FILE")
# Those that run until they are ended, and what they say when they do.
SERVICES = {"serve": "Listening on", "runsweeper": "sweeper started"}
FUNCTION = re.compile(r"\w+\(\) *\{.*\}\s*$")
SECONDS = 60


@pytest.fixture
def server(serve, settings, tmp_path):
    """A server with the data of `make run`."""
    settings.VAR_DIR = tmp_path
    call_command("createdemo", verbosity=0)
    return serve()


@pytest.fixture
def terminal(server, tmp_path, processes):
    """Type a command as it stands there, but for what is this test's: server, folders, editor and ports."""
    here = {
        "http://127.0.0.1:8000": server.url,
        "var/": f"{shlex.quote(str(tmp_path))}/",
        ".venv/bin/": f"{shlex.quote(str(Path(sys.executable).parent))}/",
        "vim part.txt": "true",
        "--port 8001": "--port 0",
    }
    own = {
        "HOME": str(tmp_path),
        "SILO_STATE": str(tmp_path / "state"),
        "SILO_CONFIG_HOME": str(tmp_path / "config"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
    }
    env = {name: value for name, value in (environment() | own).items() if name not in LOGIN}

    def type_line(command, functions):
        command, functions = replaced(command, here), replaced(functions, here)
        service = SERVICES.keys() & set(shlex.split(command, comments=True))
        if service:
            run_for_a_moment(command, SERVICES[service.pop()])
            return ""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{functions}\n{command}"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def run_for_a_moment(command, said):
        process = Process("bash", "-c", f"exec {command}", env=env)
        processes.callback(process.close)
        process.line(said)
        process.signal(signal.SIGTERM)
        assert process.wait() == 0, process.output

    type_line.here = here
    return type_line


def replaced(text, here):
    """Put what is this test's in the place of what the page names, but for what is in the middle of another path."""
    for there, instead in here.items():
        found = re.compile(rf"(?<![\w./]){re.escape(there)}")
        text = found.sub(lambda _, instead=instead: instead, text)
    return text


def test_every_block_that_is_to_be_run_works(server, terminal, tmp_path, subtests):
    said = {}
    for page in ALL_PAGES:
        typed, names = Shell(terminal), {}
        for block in blocks_of(page):
            if block.reason or (block.language == "python" and page not in PAGES):
                continue
            with subtests.test(str(block)):
                match block.language:
                    case "sh":
                        typed.type(block.code)
                    case "python":
                        names |= surroundings(server, tmp_path) if not names else {}
                        code = replaced(block.code, terminal.here)
                        exec(compile(code, str(block), "exec"), names)
                    case "yaml":
                        load_configuration(block.code, tmp_path / "silo.yaml")
                    case "json":
                        # It shows what the command before has answered.
                        assert shape(json.loads(typed.said[-1])) == shape(json.loads(block.code))
        said[page.name if page.parent == ROOT else page.parent.name] = typed.said
        if page.name == "fencing.md":
            with subtests.test("the vault of docs/fencing.md"):
                the_vault_refuses_late_writers(names, server, tmp_path)
    # The examples are on parts that are there, and did something.
    assert "released" in "".join(said["README.md"])
    assert "A01-0002" in "".join(said["README.md"])


def shape(value):
    """What is there, without the values."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    return type(value).__name__


class Shell:
    """A page's commands, with the functions that it has defined before."""

    def __init__(self, terminal):
        self._terminal = terminal
        self._functions = ""
        self.said = []

    def type(self, code):
        for command in commands_of(code):
            if FUNCTION.match(command):
                self._functions += command + "\n"
            else:
                self.said.append(self._terminal(command, self._functions))


def load_configuration(text, file):
    file.write_text(text)
    config.load(file, required=True)


# -- the vault of docs/fencing.md --


class RefusedError(Exception):
    pass


class Database:
    """SQLite in the place of the vault's database: it knows the same statement."""

    def __init__(self, file):
        self._connection = sqlite3.connect(file)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS fences (part_number TEXT, context_level TEXT, object_id TEXT,"
            " token INTEGER, PRIMARY KEY (part_number, context_level, object_id))"
        )

    @contextmanager
    def transaction(self):
        with self._connection:
            yield

    def execute(self, statement, values):
        return self._connection.execute(statement.replace("%s", "?"), values).fetchall()

    def close(self):
        self._connection.close()


def token_of(folder):
    return (folder / "demo-token").read_text().strip()


def surroundings(server, folder):
    """What a vault has of its own."""
    stored = {}
    return {
        "SILO": server.url,
        "VAULT_CREDENTIALS": {"Authorization": f"Bearer {token_of(folder)}"},
        "httpx": httpx,
        "quote": quote,
        "Refused": RefusedError,
        "database": Database(folder / "vault.sqlite"),
        "stored": stored,
        "store": stored.__setitem__,
    }


def the_vault_refuses_late_writers(names, server, folder):
    save, stored = names["save"], names["stored"]
    with Workstation.connect(server.url, token_of(folder), numbered=True) as workstation:
        with workstation.edit("A01-0002", level="sketch") as first:
            save("A01-0002", first.id, first.fencing_token, "first", "demo")
            with pytest.raises(RefusedError, match="somebody else's"):
                save("A01-0002", first.id, first.fencing_token, "stolen", "eve")
        with workstation.edit("A01-0002", level="sketch") as second:
            with pytest.raises(RefusedError, match="has ended"):
                save("A01-0002", first.id, first.fencing_token, "late", "demo")
            names["database"].execute("UPDATE fences SET token = token + ?", (100,))
            with pytest.raises(RefusedError, match="later session"):
                save("A01-0002", second.id, second.fencing_token, "late", "demo")
    names["database"].close()
    assert stored == {"A01-0002": "first"}
