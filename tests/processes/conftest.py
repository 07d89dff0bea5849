"""Fixtures of real processes. All end before the test database is emptied."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from sessions_app.roles import Role
from tests.factories import make_item, make_token, make_user
from tests.processes.service import Client, Process, Serve, Sweeper


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
def part(committed_db: None) -> str:
    """The part number of an item, with everything in it that a URL could stumble over."""
    return make_item("DIN 912/M5 größe").part_number
