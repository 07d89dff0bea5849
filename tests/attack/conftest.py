"""Fixtures of attacks."""

import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.attack import honest
from tests.attack.honest import Honest
from tests.attack.world import Template, World

TIMEOUT_SECONDS = 180


def pytest_configure() -> None:
    """Open as many connections as the machine allows; so may the servers."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """An attack takes longer than a test of one thing."""
    for item in items:
        item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was seen beside each attack."""
    if honest.SEEN:
        terminalreporter.section("beside the attacks")
        terminalreporter.write_line("\n".join(honest.table()))


@pytest.fixture(scope="session")
def template() -> Iterator[Template]:
    """The PostgreSQL of all attacks."""
    with Template() as made:
        yield made


@pytest.fixture
def processes(template: Template) -> Iterator[ExitStack]:
    """Ends what is registered with it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def make_world(template: Template, processes: ExitStack) -> Callable[..., World]:
    """Start a server and a sweeper, with these variables in their environment."""
    return lambda **env: World(template.tokens, template.copy(), processes, **env)


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A server and a sweeper on a database of their own."""
    return make_world()


@pytest.fixture
def embedded_world() -> Iterator[Callable[[int], World]]:
    """Start a server with so few descriptors, on an embedded PostgreSQL that it uses as `make run` does."""
    with Template() as embedded, ExitStack() as stack:

        def make(descriptors: int) -> World:
            few = ("sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "serve")
            own = {"DATABASE_URL": "", "SILO_VAR": str(embedded.folder)}
            return World(embedded.tokens, embedded.url, stack, *few, **own)

        yield make


@pytest.fixture
def honest_beside(tmp_path: Path) -> Callable[[World], Honest]:
    """Start three honest clients and a watcher."""
    return lambda world: Honest(world, tmp_path)
