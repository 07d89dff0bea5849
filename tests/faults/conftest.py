"""Fixtures of faults: those of real processes, and what breaks around them."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from tests.faults import measuring
from tests.faults import network as networks
from tests.faults.database_scene import Scene
from tests.faults.network import Network
from tests.faults.own_postgres import OwnPostgres
from tests.faults.proxies import PROXIES, is_ready_through
from tests.faults.services import ServeAt, TcpProxy
from tests.processes.conftest import (  # noqa: F401
    client_of,
    client_state,
    cold_start,
    connect,
    part,
    processes,
    run_program,
    runsweeper,
    serve,
)
from tests.processes.service import Serve
from tests.proxies.proxy import Proxy, make_certificate
from tests.waiting import eventually


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat what is measured."""
    if "measured" in metafunc.fixturenames and measuring.REPEAT > 1:
        metafunc.parametrize("attempt", range(measuring.REPEAT))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what a worker measured to the process that prints it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["measured"] = measuring.taken()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker measured. One that was killed hands nothing over."""
    if measured := getattr(node, "workeroutput", {}).get("measured"):
        measuring.add(measured)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if lines := measuring.report():
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture
def attempt() -> int:
    """The number of the repetition."""
    return 0


@pytest.fixture
def measured(attempt: int) -> Callable[..., object]:
    """See `measuring.measured`; the test is repeated as often as is asked for."""
    return measuring.measured


@pytest.fixture
def network(processes: ExitStack) -> Network:  # noqa: F811
    """Another machine at the end of a cable. Gone only after the processes in it."""
    if reason := networks.why_not():
        pytest.skip(reason)
    return processes.enter_context(Network())


@pytest.fixture
def serve_at(processes: ExitStack) -> Callable[..., ServeAt]:  # noqa: F811
    """Start a server at a port of the test's choice."""

    def start(port: int, host: str = "127.0.0.1", **env: str) -> ServeAt:
        server = ServeAt(host, port, **env)
        processes.callback(server.close)
        server.ready()
        return server

    return start


@pytest.fixture
def network_serve(network: Network, serve_at: Callable[..., ServeAt]) -> Callable[..., ServeAt]:
    """Start a server that the other machine can reach."""
    hosts = {"SILO_ALLOWED_HOSTS": f"127.0.0.1,{network.host}"}
    return lambda **env: serve_at(0, network.host, **hosts, **env)


@pytest.fixture
def tcp_proxy(processes: ExitStack) -> Callable[..., TcpProxy]:  # noqa: F811
    """Start a TCP proxy in front of an address."""

    def start(target: str, host: str = "127.0.0.1") -> TcpProxy:
        proxy = TcpProxy(target, host)
        processes.callback(proxy.close)
        return proxy

    return start


@pytest.fixture
def own_postgres() -> Iterator[OwnPostgres]:
    """A PostgreSQL that may be killed."""
    with OwnPostgres() as database:
        yield database


@pytest.fixture
def processes_without_a_database(own_postgres: OwnPostgres) -> Iterator[ExitStack]:
    """Ends what is registered with it, before that PostgreSQL."""
    with ExitStack() as stack:
        yield stack
        own_postgres.thaw()


@pytest.fixture
def scene(own_postgres: OwnPostgres, processes_without_a_database: ExitStack) -> Scene:
    """That PostgreSQL, to go away and come back, and who uses it."""
    return Scene(own_postgres, processes_without_a_database)


@pytest.fixture(params=PROXIES)
def kind(request: pytest.FixtureRequest) -> str:
    """Which proxy."""
    return str(request.param)


@pytest.fixture
def start_proxy(
    kind: str,
    processes: ExitStack,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Proxy]:
    """Start one of the proxies in front of two servers, and wait until it serves."""
    for program in ("openssl", kind):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")

    def start(
        servers: Sequence[Serve], host: str = "127.0.0.1", changes: dict[str, str] | None = None
    ) -> Proxy:
        folder = tmp_path_factory.mktemp("certificate")
        make_certificate(folder, host)
        # The account that a proxy's workers run as, if it is not ours.
        for place in (folder, *folder.parents[:2]):
            place.chmod(0o755)
        monkeypatch.setenv("SSL_CERT_FILE", str(folder / "silo.crt"))
        proxy = PROXIES[kind].start(folder, [one.url for one in servers], host, changes)
        processes.callback(proxy.close)

        def serves() -> bool:
            assert proxy.running, proxy.output
            return is_ready_through(proxy)

        eventually(serves)
        return proxy

    return start
