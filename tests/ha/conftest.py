"""One cluster, with servers and engineers, for all tests: each breaks it and waits until it is whole again."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.faults import measuring
from tests.faults import network as networks
from tests.ha import cluster as clusters
from tests.ha.cluster import Cluster
from tests.ha.scene import Scene


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The machines of deploy/ha."""
    if reason := networks.why_not():
        pytest.skip(reason)
    postgres = str(clusters.PROGRAMS / "postgres")
    for program in ("etcd", "haproxy", "setpriv", postgres, clusters.PATRONI):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    assert os.geteuid() == 0
    with clusters.started() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def everybody(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Servers and engineers on it."""
    with Scene(cluster, tmp_path_factory.mktemp("state")) as scene:
        yield scene


@pytest.fixture
def scene(everybody: Scene) -> Iterator[Scene]:
    """The same, whole."""
    everybody.whole()
    yield everybody
    everybody.check()


@pytest.fixture
def measured() -> Callable[[str, float, float], None]:
    """See `measuring.keep`."""
    return measuring.keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if lines := measuring.report():
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(lines))
