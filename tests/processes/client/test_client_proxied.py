"""The proxies that the environment names: program and helper use them, or the error names variable and proxy."""

import gc
import os
import warnings
from contextlib import suppress
from pathlib import Path

import pytest

from silo_client import Api, ServerUnavailableError, Workstation
from silo_client.network import route
from tests.processes.client.forwarding import Proxy

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def forward(processes):
    """Make a proxy."""

    def make(scheme, refusing=""):
        proxy = Proxy(scheme, refusing)
        processes.callback(proxy.close)
        return proxy

    return make


def connected_to(pid):
    """The ports to which a process has a connection."""
    inodes = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            inodes.add(os.readlink(file).removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    # 01: established.
    return {int(row[2].split(":")[1], 16) for row in rows if row[9] in inodes and row[3] == "01"}


@pytest.mark.parametrize(
    ("variable", "scheme"),
    [("HTTP_PROXY", "http"), ("ALL_PROXY", "socks5"), ("all_proxy", "socks5h")],
)
def test_program_and_helper_go_through_it(
    ada, run_program, client_of, part, forward, monkeypatch, variable, scheme
):
    watching = client_of(ada.server, "bob").stream(item=part)
    proxy = forward(scheme)
    with monkeypatch.context() as environment:
        environment.setenv(variable, f"{scheme}://127.0.0.1:{proxy.port}")
        program = run_program(ada)
    session = program.edit(part)
    assert session["valid"]
    assert connected_to(program.helper_pid) == {proxy.port}
    assert connected_to(program.pid) <= {proxy.port}
    port = int(ada.server.url.rpartition(":")[2])
    assert set(proxy.reached) == {("127.0.0.1", port)}
    program.kill()
    watching.event("edit.session_released", session_id=session["session_id"])


def test_no_proxy_excepts_the_server_for_both(ada, run_program, part, forward, monkeypatch):
    proxy = forward("socks5")
    with monkeypatch.context() as environment:
        environment.setenv("ALL_PROXY", f"socks5://127.0.0.1:{proxy.port}")
        environment.setenv("NO_PROXY", "127.0.0.0/8")
        program = run_program(ada)
    assert program.edit(part)["valid"]
    assert proxy.reached == []
    assert proxy.port not in connected_to(program.helper_pid) | connected_to(program.pid)


def refused(call):
    """What a call says that does not reach the server."""
    text = ""
    with warnings.catch_warnings():
        # httpcore leaves its connection to a proxy that refuses to the collection of garbage, which is here.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            call()
        except ServerUnavailableError as error:
            text = str(error)
        gc.collect()
    return text


@pytest.mark.parametrize(("refusing", "user"), [("method", "ada:secret@"), ("target", "")])
@pytest.mark.usefixtures("client_state")
def test_a_socks_proxy_that_refuses_is_named(ada, forward, monkeypatch, refusing, user):
    proxy = forward("socks5", refusing)
    monkeypatch.setenv("ALL_PROXY", f"socks5://{user}127.0.0.1:{proxy.port}")
    api = Api(ada.server.url, ada.token)
    told = [
        refused(api.workstations),
        refused(lambda: Workstation.connect(ada.server.url, ada.token, patience=0.5)),
    ]
    api.close()
    for text in told:
        assert f"through the proxy socks5://127.0.0.1:{proxy.port} (ALL_PROXY): " in text
        assert "secret" not in text
    assert proxy.reached == []


def test_the_tests_have_what_a_socks_proxy_needs():
    assert route.HAS_SOCKS
