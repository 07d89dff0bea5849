"""`manage.py serve`: serves HTTP and event streams until SIGTERM or Ctrl-C, in one process or, with `--workers`, in
several on one port."""

import logging
import os
import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from socket import socket
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import CommandError
from django.db import OperationalError, connections
from django.utils.autoreload import get_child_arguments

from events_app import timings
from events_app.database import start
from events_app.database.unavailable import DATABASE_UNAVAILABLE
from events_app.http.listening import shown, without_brackets
from events_app.management.service_command import ServiceCommand
from events_app.serving import metrics_port, server
from events_app.serving.workers import Lifeline, Workers

logger = logging.getLogger(__name__)

# More than a machine has cores is a typing error.
MOST_WORKERS = 64


class Command(ServiceCommand):
    help = "Serve HTTP and event streams until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--host",
            type=without_brackets,
            default="127.0.0.1",
            help="the address to listen on, of IPv4 or IPv6; :: for all of both",
        )
        parser.add_argument(
            "--port",
            type=int,
            default=os.environ.get("PORT") or "8000",
            help="the port to listen on; 0 for any free one (default: PORT, else 8000)",
        )
        parser.add_argument(
            "--workers",
            type=_number_of_workers,
            default=1,
            help="how many processes serve, all on that port (default: 1)",
        )
        parser.add_argument("--metrics", type=metrics_port.address, help=metrics_port.HELP)
        # How a worker is started: the descriptor of its lifeline.
        parser.add_argument("--worker", type=int, help=SUPPRESS)

    def handle(
        self,
        *args: Any,
        host: str,
        port: int,
        workers: int,
        metrics: metrics_port.Address | None,
        worker: int | None,
        **options: Any,
    ) -> None:
        if workers > 1 and worker is None:
            with _explained(host, port):
                reserved = server.reserved_port(host, port)
            self._run_workers(reserved, workers)
        with _explained(host, port):
            listening = server.listening_socket(
                host, port, timings.configured(), shared=workers > 1
            )
        server.raise_open_files_limit()
        # Requests come each in a thread of its own; without a pool each would open a connection.
        connections.settings["default"]["OPTIONS"]["pool"] = settings.EVENTS_CONNECTION_POOL
        migrated = _looks_migrated()
        address, chosen = listening.getsockname()[:2]
        if worker is None:
            logger.info("configuration", extra=settings.EVENTS_CONFIGURATION_LOGGED)
        logger.info("server started", extra={"pid": os.getpid(), "port": chosen})
        lifeline = None if worker is None else Lifeline(worker)
        service = server.Service(listening, workers, lifeline, migrated=migrated)
        if metrics:
            # Behind the import of the application, which configures the log anew.
            metrics_port.start(metrics, "serve", workers)
        if lifeline:
            lifeline.say_listening()
        else:
            self._say_listening(address, chosen)
        sys.exit(service.run())

    def _run_workers(self, reserved: socket, count: int) -> NoReturn:
        """Run workers on a port until they are told to stop, and exit."""
        # As long as this process lives it is a user of an embedded database: no worker starts or stops it.
        if _looks_migrated():
            warn_of_too_few_connections(count)
            connections.close_all()
        logger.info("configuration", extra=settings.EVENTS_CONFIGURATION_LOGGED)
        address, port = reserved.getsockname()[:2]
        # Checked already, and the port is known now. Of two the last one counts.
        command = [*get_child_arguments(), "--port", str(port), "--skip-checks"]
        with reserved:
            said = partial(self._say_listening, address, port)
            sys.exit(Workers(count, command, listening=said).run())

    def _say_listening(self, address: str, port: int) -> None:
        self.stdout.write(f"Listening on http://{shown(address, port)}{settings.EVENTS_BASE_PATH}")
        self.stdout.flush()


def _looks_migrated() -> bool:
    """Return whether the database is there, and migrated. One that is away is waited for later.

    An embedded one is started here, so that where there is none this ends with a sentence.

    Raises:
        CommandError: it is not migrated, or there is no embedded one.
    """
    try:
        connections["default"].get_connection_params()
        start.look()
    except start.Unreachable:
        return False
    except (start.NotMigrated, OperationalError) as error:
        raise CommandError(str(error), returncode=start.EXIT_CODE) from error
    return True


@contextmanager
def _explained(host: str, port: int) -> Iterator[None]:
    """Say in a sentence that an address cannot be listened on."""
    try:
        yield
    except (OSError, OverflowError) as error:
        raise CommandError(
            f"Cannot listen on {shown(host, port)} ({error}); choose another one with --port or PORT."
        ) from error


def _number_of_workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST_WORKERS}")
    return int(text)


def warn_of_too_few_connections(workers: int) -> None:
    """Say so where PostgreSQL refuses connections that workers may need. A database that is not there yet is none."""
    needed = workers * server.most_connections()
    with suppress(*DATABASE_UNAVAILABLE):
        for_anybody = server.connections_allowed()
        if needed > for_anybody:
            logger.warning(
                "max_connections of PostgreSQL is too small for all workers",
                extra={"needed": needed, "allowed": for_anybody},
            )
