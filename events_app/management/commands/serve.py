"""`manage.py serve`: serves HTTP and event streams in one process until SIGTERM or Ctrl-C."""

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from events_app import timings
from events_app.serving import server


class Command(BaseCommand):
    help = "Serve HTTP and event streams until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
        parser.add_argument(
            "--port",
            type=int,
            default=os.environ.get("PORT") or "8000",
            help="the port to listen on; 0 for any free one (default: PORT, else 8000)",
        )

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        try:
            listening = server.listening_socket(host, port, timings.configured())
        except (OSError, OverflowError) as error:
            raise CommandError(
                f"Cannot listen on {host}:{port} ({error}); choose another one with --port or PORT."
            ) from error
        server.raise_open_files_limit()
        # Requests come each in a thread of its own; without a pool each would open a connection.
        connections.settings["default"]["OPTIONS"]["pool"] = settings.EVENTS_CONNECTION_POOL
        # An embedded database is started here, so that where there is none this ends with a sentence.
        connections["default"].get_connection_params()
        address, chosen = listening.getsockname()[:2]
        service = server.Service(listening)
        self.stdout.write(f"Listening on http://{address}:{chosen}")
        self.stdout.flush()
        sys.exit(service.run())
