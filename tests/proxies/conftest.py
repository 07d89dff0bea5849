"""One server for all proxies, and each proxy once in each of its configurations."""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from django.test.utils import setup_databases, teardown_databases

from sessions_app.models import Item
from sessions_app.roles import Role
from tests.factories import make_token, make_user
from tests.processes.service import Serve
from tests.proxies.caller import Caller
from tests.proxies.checks import Behind
from tests.proxies.kinds import KINDS
from tests.proxies.lame_server import LameServer
from tests.proxies.proxy import BASE, SECURE, TLS_ONLY_NAME, Kind, Proxy, make_certificate
from tests.waiting import eventually

# A line a second, against proxies' time-outs of three.
LINES = {"SILO_DEAD_PEER_SECONDS": "5", "SILO_HEARTBEAT_SECONDS": "4"}
# Another configuration than the recommended one: for a service below a path.
BELOW = "below a path"
DOCS_PAGE = "<!doctype html><title>Silo Sessions</title>"

_notes: dict[str, float] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if _notes:
        terminalreporter.section("measured")
        lines = (f"{what:64} {1000 * seconds:7.0f} ms" for what, seconds in sorted(_notes.items()))
        terminalreporter.write_line("\n".join(lines))


class World:
    """The server, its users, and the proxies in front of it."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.number = itertools.count(1)
        self.token = make_token(make_user("ada"))
        make_user("admin", Role.ADMIN, is_staff=True, is_superuser=True)
        self.server = self.serve()
        make_certificate(folder, "127.0.0.1")
        self.certificate = str(folder / "silo.crt")
        self.lame = LameServer()
        stack.callback(self.lame.server_close)
        stack.callback(self.lame.shutdown)
        self.callers: list[Caller] = []
        self.proxies: dict[tuple[Any, ...], Proxy] = {}

    def serve(self, **env: str) -> Serve:
        """Start a server; wait until it may be sent traffic."""
        server = Serve(**SECURE, **LINES, **env)
        self.stack.callback(server.close)
        return server.ready()

    @cached_property
    def server_below(self) -> Serve:
        """A server that is shown below a path, with a site of documents."""
        docs = self.folder / "site/docs"
        docs.mkdir(parents=True)
        (docs / "index.html").write_text(DOCS_PAGE)
        return self.serve(SILO_BASE_PATH=BASE, SILO_TEST_SITE=str(docs.parent))

    def server_of(self, configured: str) -> Serve:
        """Return the server that a proxy in this configuration is for."""
        return self.server_below if configured == BELOW else self.server

    def caller(self, url: str, kind: Kind) -> Caller:
        self.callers.append(Caller(url, kind.host_name, self.certificate, self.token))
        return self.callers[-1]

    def close_callers(self) -> None:
        for caller in self.callers:
            caller.close()
        self.callers.clear()

    def proxy(self, kind: Kind, configured: str, url: str = "", quick: bool = False) -> Proxy:
        """Start a proxy, or return the one that runs."""
        url = url or self.server_of(configured).url
        key = kind.program, configured, url, quick
        if key not in self.proxies:
            if not shutil.which(kind.program):
                assert "SILO_TEST_EVERY_PROXY" not in os.environ, f"{kind.package} is missing"
                pytest.skip(f"{kind.program} is not installed")
            folder = self.folder / str(next(self.number))
            shutil.copytree(
                self.folder, folder, ignore=lambda _, names: [n for n in names if "." not in n]
            )
            for place in (folder, *folder.parents[:3]):
                place.chmod(0o755)
            folder.chmod(0o777)
            proxy = kind.start(
                folder,
                [url, url],
                changes=kind.quick if quick else None,
                minimal=configured == "minimal",
                below=configured == BELOW,
            )
            self.proxies[key] = proxy
            self.stack.callback(proxy.close)
        proxy = self.proxies[key]
        eventually(proxy.is_ready, f"{kind.program} is ready")
        return proxy

    def forget(self, kind: Kind) -> None:
        """End what runs of a kind."""
        for key in [key for key in self.proxies if key[0] == kind.program]:
            self.proxies.pop(key).close()


@pytest.fixture(scope="session")
def world(
    django_db_modify_db_settings: None,
    django_db_blocker: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    """Started once, on a database of its own; each test has a part and a workstation of its own."""
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        databases = setup_databases(verbosity=0, interactive=False)
        with ExitStack() as stack:
            stack.callback(teardown_databases, databases, verbosity=0)
            world = World(stack, tmp_path_factory.mktemp("proxies"))
            patch.setenv("SSL_CERT_FILE", world.certificate)
            yield world


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, world: World) -> Iterator[Kind]:
    """Which proxy. All of it ends with its last test."""
    yield KINDS[request.param]
    world.forget(KINDS[request.param])


@pytest.fixture
def behind(world: World, kind: Kind) -> Iterator[Callable[[str], Behind]]:
    """Put one in front of the server, in one of its configurations."""

    def make(configured: str) -> Behind:
        number = next(world.number)
        part = f"DIN {number}/M5 größe"
        Item.objects.create(part_number=part)
        direct = world.caller(world.server_of(configured).url, kind)

        def over_lame() -> tuple[Caller, LameServer]:
            proxy = world.proxy(kind, configured, world.lame.url)
            world.lame.posts = 0
            return world.caller(proxy.url, kind), world.lame

        def note(what: str, seconds: float) -> None:
            _notes[f"{kind.program}, {configured}: {what}"] = seconds

        return Behind(
            user=world.caller(world.proxy(kind, configured).url, kind),
            direct=direct,
            over_lame=over_lame,
            notices=kind.notices,
            bytes_only=kind.host_name == TLS_ONLY_NAME,
            part=part,
            workstation=direct.workstation(f"cad-{number}"),
            note=note,
        )

    yield make
    world.close_callers()
