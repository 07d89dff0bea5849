"""A server on an address of IPv6, and on all addresses of both kinds."""

import socket
from urllib.parse import urlsplit

import httpx
import pytest

from tests.processes.service import Serve


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.fixture
def serve_at(processes):
    def serve_at(host, *more, **env):
        class Server(Serve):
            def start_command(self, *command):
                return [*command, "--host", host, *more]

        server = Server(**env)
        processes.callback(server.close)
        server.line("Listening on")
        return server

    return serve_at


def refused(url, forwarded=None):
    headers = {"Authorization": "Bearer wrong"}
    if forwarded:
        headers["X-Forwarded-For"] = forwarded
    assert httpx.get(f"{url}/api/items", headers=headers).status_code == 401


def test_all_addresses_of_both_kinds(serve_at, client_of, part):
    server = serve_at("::", SILO_TRUSTED_PROXIES="::ffff:127.0.0.1")
    port = urlsplit(server.url).port
    assert server.url == f"http://[::]:{port}"
    by_4, by_6 = f"http://127.0.0.1:{port}", f"http://[::1]:{port}"
    refused(by_6)
    server.line("wrong token address=::1")
    # IPv4 peers come as ::ffff:127.0.0.1, and are trusted proxies here.
    refused(by_4, "2001:db8::7")
    server.line("wrong token address=2001:db8::7")
    refused(by_4)
    server.line("wrong token address=127.0.0.1")


def test_one_address_in_brackets_by_workers_and_a_stream(serve_at, client_of, part):
    server = serve_at("[::1]", "--workers", "2")
    assert server.url.startswith("http://[::1]:")
    server.ready()
    ada = client_of(server)
    stream = ada.stream(workstation_id=(workstation := ada.workstation()))
    assert ada.acquire(part, workstation).status_code == 200
    assert stream.running


def test_a_busy_address_is_shown_in_brackets(serve_at, processes):
    port = urlsplit(serve_at("::1").url).port

    class Second(Serve):
        def start_command(self, *command):
            return [*command, "--host", "::1", "--port", str(port)]

    second = Second()
    processes.callback(second.close)
    assert second.wait() == 1
    assert f"Cannot listen on [::1]:{port} (" in second.output
