"""Fixtures of real processes. All end before the test database is emptied."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sessions_app.roles import Role
from silo_client import Workstation
from silo_client.identity.folders import STATE_VARIABLE
from tests.factories import make_item, make_token, make_user
from tests.processes import databases, making, warm
from tests.processes.client.cli_user import CliUser, Gate
from tests.processes.client.client_processes import ClientProgram
from tests.processes.service import Client, Process, Serve, Sweeper

make, port, venv = making.make, making.port, making.venv
empty_database, manage = databases.empty_database, databases.manage
var, migrated_once, migrated_var = making.var, making.migrated_once, making.migrated_var

if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    # Under nohup; children inherit that, but no handler.
    signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(autouse=True)
def cold_start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the processes of some tests start as a user starts them: those that are about the start, or measure."""
    if any(map(request.node.get_closest_marker, ("cold", "alone"))):
        monkeypatch.setattr(warm, "enabled", False)


@pytest.fixture
def processes(committed_db: None) -> Iterator[ExitStack]:
    """Ends what is registered with it."""
    with ExitStack() as stack:
        yield stack


def _closing(stack: ExitStack, process: Process) -> Any:
    stack.callback(process.close)
    return process


@pytest.fixture
def serve(processes: ExitStack) -> Callable[..., Serve]:
    """Start a server and wait until it is ready."""
    return lambda **env: _closing(processes, Serve(**env)).ready()


@pytest.fixture
def runsweeper(processes: ExitStack) -> Callable[..., Sweeper]:
    """Start a sweeper."""
    return lambda *arguments, **env: _closing(processes, Sweeper(*arguments, **env))


@pytest.fixture
def client_of(processes: ExitStack) -> Callable[..., Client]:
    """Make a user and its client of a server."""

    def make(server: Serve, name: str = "ada", role: Role = Role.EDITOR) -> Client:
        client = Client(server, make_token(make_user(name, role)))
        processes.callback(lambda: [stream.close() for stream in client.streams])
        return client

    return make


@pytest.fixture
def client_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The windows of these workstations, and nobody else's."""
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "client"))


@pytest.fixture
def connect(processes: ExitStack, client_state: None) -> Callable[..., Workstation]:
    """Connect a workstation of a client's user, in this process."""

    def make(client: Client, **options: Any) -> Workstation:
        workstation = Workstation.connect(client.server.url, client.token, **options)
        processes.callback(workstation.close)
        return workstation

    return make


@pytest.fixture
def run_program(processes: ExitStack, client_state: None) -> Callable[..., ClientProgram]:
    """Run a program that connects as a workstation of a client's user."""

    def run(client: Client, **options: Any) -> ClientProgram:
        return _closing(processes, ClientProgram(client.server.url, client.token, **options))

    return run


@pytest.fixture
def part(committed_db: None) -> str:
    """The part number of an item, with everything in it that a URL could stumble over."""
    return make_item("DIN 912/M5 größe").part_number


@pytest.fixture
def cli_user_of(
    client_of: Callable[..., Client], processes: ExitStack, tmp_path: Path
) -> Callable[..., CliUser]:
    """Make a user of the command `silo` at a server."""

    def make(server: Serve, name: str = "ada", role: Role = Role.EDITOR) -> CliUser:
        user = CliUser(client_of(server, name, role), tmp_path / name)
        processes.callback(lambda: [process.close() for process in user.started])
        return user

    return make


@pytest.fixture
def gate(processes: ExitStack, tmp_path: Path) -> Gate:
    """A command that ends when the test says so, and with the test at the latest."""
    made = Gate(tmp_path / "gate")
    processes.callback(made.open)
    return made
