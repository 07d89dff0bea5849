"""`manage.py runsweeper`: expires stale sessions and trims the event log until SIGTERM or Ctrl-C."""

import logging
import os
import signal
import threading
import time
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import OperationalError, close_old_connections, connection

from events_app import measured
from events_app.database import start
from events_app.database.unavailable import DATABASE_UNAVAILABLE, backoff
from events_app.management import service_manager
from events_app.management.service_command import ServiceCommand
from events_app.serving import metrics_port
from events_app.serving.exit_deadline import END_SECONDS, exit_after
from sessions_app.models.sweeper_process import SIGN_SECONDS, SweeperSigns
from sessions_app.sweeper import Sweep

# A step takes some 100 ms; longer only takes a database that does not answer.
STOP_SECONDS = 0.8

logger = logging.getLogger(__name__)


class Command(ServiceCommand):
    help = "Expire stale edit sessions and trim the event log until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="one sweep, then end")
        parser.add_argument(
            "--ignore-outage",
            action="store_true",
            help="expire stale sessions also while or right after no server was there to hear of them",
        )

        parser.add_argument("--metrics", type=metrics_port.address, help=metrics_port.HELP)

    def handle(
        self,
        *args: Any,
        once: bool,
        ignore_outage: bool,
        metrics: metrics_port.Address | None,
        **options: Any,
    ) -> None:
        try:
            # An embedded database is started here, so that where there is none this ends with a sentence.
            connection.get_connection_params()
        except OperationalError as error:
            raise CommandError(str(error), returncode=start.EXIT_CODE) from error
        # Kept between two sweeps, so that PostgreSQL lists every sweeper that runs; probed before each.
        connection.settings_dict["CONN_MAX_AGE"] = None
        if metrics:
            metrics_port.start(metrics, "runsweeper")
        stop = threading.Event()
        _stop_on_signals(stop)
        logger.info("configuration", extra=settings.EVENTS_CONFIGURATION_LOGGED)
        logger.info("sweeper started", extra={"every_seconds": settings.SESSIONS_SWEEP_SECONDS})
        if once:
            try:
                _check_migrated()
            except start.Unreachable as unreachable:
                raise CommandError(f"{unreachable} ({unreachable.error})") from unreachable
            sweep(stop, ignore_outage, SweeperSigns(every_seconds=None))
            return
        signs = SweeperSigns(settings.SESSIONS_SWEEP_SECONDS)
        attempt = 0
        pause = 0.0
        wait = start.Wait("sweeper")
        migrated = False
        while not stop.wait(pause):
            try:
                if not migrated:
                    _check_migrated()
                    migrated = True
                sweep(stop, ignore_outage, signs)
                attempt, pause = 0, settings.SESSIONS_SWEEP_SECONDS
            except start.Unreachable as unreachable:
                # It runs, and waits by itself: who started it must not wait, too.
                service_manager.tell_ready()
                attempt += 1
                pause = backoff(attempt)
                wait.log(unreachable, pause)
            except DATABASE_UNAVAILABLE as error:
                attempt += 1
                measured.sweeps_failed.value += 1
                pause = backoff(attempt)
                logger.warning("sweep failed", extra={"error": error, "retry_in_seconds": pause})
        with suppress(*DATABASE_UNAVAILABLE):
            signs.stop()
        exit_after(END_SECONDS, exit_code=0)
        logger.info("sweeper stopped")


def _check_migrated() -> None:
    """Refuse a database that is not migrated.

    Raises:
        CommandError: it is not.
        Unreachable: it cannot be connected to.
    """
    try:
        start.look()
    except start.NotMigrated as error:
        raise CommandError(str(error), returncode=start.EXIT_CODE) from error


def sweep(stop: threading.Event, ignore_outage: bool, signs: SweeperSigns) -> None:
    """Sweep once; a stop ends it between two steps.

    Args:
        stop: set when this process has to stop.
        ignore_outage: expire also what no server could have heard of.
        signs: write what this sweeper does.
    """
    current = Sweep(
        settings.EVENTS_SESSION_TIMEOUT,
        settings.SESSIONS_IDLE_TIMEOUT,
        settings.EVENTS_EVENT_RETENTION,
        ignore_outage=ignore_outage,
    )
    begun = time.monotonic()
    try:
        signs.begin()
        service_manager.tell_ready()
        signed_at = time.monotonic()
        while not stop.is_set() and current.step():
            if time.monotonic() - signed_at > SIGN_SECONDS:
                signs.go_on()
                signed_at = time.monotonic()
        if not stop.is_set():
            signs.end(current.released)
            measured.sweeps.value += 1
            measured.sweep_durations.add(time.monotonic() - begun)
    finally:
        for kind, count in current.counts.items():
            measured.sweep_ended[kind].value += count
        current.log_summary()
        close_old_connections()


def _stop_on_signals(stop: threading.Event) -> None:
    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        exit_after(STOP_SECONDS, exit_code=0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
