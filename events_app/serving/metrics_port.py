"""The port on which a process shows its metrics to Prometheus: a small HTTP server in a thread of its own.

prometheus_client has one, which begins a thread for each connection and lets it wait without end for a request. This
one has one thread (and one that only waits, while there is a request), and gives a client that is slow up after
`CLIENT_SECONDS`.
"""

import logging
import threading
from argparse import ArgumentTypeError
from contextlib import suppress
from socket import AF_INET, AF_INET6, SHUT_RDWR
from socketserver import TCPServer
from typing import Any, Final, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from django.conf import settings
from django.core.management.base import CommandError
from django.utils.module_loading import import_string

from events_app.http import listening

logger = logging.getLogger(__name__)

# Prometheus gives a scrape up after ten seconds.
CLIENT_SECONDS: Final = 3.0

HELP: Final = (
    "where to show metrics to Prometheus, e.g. 127.0.0.1:9101 (default: nowhere)."
    " Anybody who reaches it can read them"
)


class Address(NamedTuple):
    """Where the metrics are shown."""

    host: str
    port: int

    def __str__(self) -> str:
        return listening.shown(self.host, self.port)


def address(text: str) -> Address:
    """Return the address that a text names, such as `127.0.0.1:9101` or `[::1]:9101`.

    Raises:
        ArgumentTypeError: it names none.
    """
    host, _, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    brackets = host.startswith("[") and host.endswith("]")
    if not bare or brackets != (":" in bare) or not port.isdecimal() or int(port) > 65535:
        raise ArgumentTypeError(f"{text!r} is no HOST:PORT, such as 127.0.0.1:9101 or [::1]:9101")
    return Address(bare, int(port))


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_SECONDS

    def handle(self) -> None:
        # That time-out is one of each byte; this is one of all.
        timer = threading.Timer(self.timeout, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            super().handle()
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(WSGIServer):
    def server_bind(self) -> None:
        # WSGIServer asks the DNS for the host's name, which may take long.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        logger.debug("a request for metrics failed", exc_info=True)


class _Server6(_Server):
    address_family = AF_INET6


def start(wanted: Address, process: str, processes: int = 1) -> Address:
    """Show the metrics of this process from now on, until it ends.

    Args:
        wanted: where.
        process: what it is: "serve" or "runsweeper".
        processes: how many processes share the address: each takes the first port that is free, of so many from the
            wanted one on.

    Returns:
        Where they are shown.

    Raises:
        CommandError: no such port is free, or permitted.
    """
    # The library takes a tenth of a second to import, so only a process that shows metrics imports it.
    from prometheus_client import CollectorRegistry, make_wsgi_app

    registry = CollectorRegistry()
    for collector in import_string(settings.EVENTS_METRICS)(process):
        registry.register(collector)
    try:
        server = _listening(wanted, processes)
    except OSError as error:
        raise CommandError(
            f"Cannot show metrics on {wanted} ({error}); choose another --metrics HOST:PORT."
        ) from error
    server.set_app(make_wsgi_app(registry))
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    shown = Address(wanted.host, server.server_port)
    logger.info("metrics are shown", extra={"address": str(shown)})
    return shown


def _listening(wanted: Address, processes: int) -> WSGIServer:
    kind = _Server6 if listening.is_ipv6(wanted.host) else _Server
    assert kind.address_family in {AF_INET, AF_INET6}
    for port in range(wanted.port, wanted.port + processes):
        try:
            return kind((wanted.host, port), _Handler)
        except (OSError, OverflowError) as error:
            failure = error
    raise OSError(str(failure))
