"""The metrics that only the database knows: asked for at a scrape, all at once, and kept for some seconds.

A connection of its own asks, with a short time-out, and is closed. Where the database does not answer in time the
scrape goes on without these, and says so by `silo_database_up`.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import psycopg
from django.conf import settings
from django.db import Error as DjangoDatabaseError
from django.db import connection
from django.db.models import Case, Count, F, Min, QuerySet, Subquery, Value, When
from django.db.models.functions import Now
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from events_app import timings
from events_app.database import sql
from events_app.database.round_trip import Row, query_of
from events_app.models import Connection, EventLog, LogEntry, ServerProcess
from events_app.presence.outages import observed_for
from events_app.serving import runtime
from sessions_app.models import EditSession, PlaceInLine, SweeperProcess

logger = logging.getLogger(__name__)

# Two Prometheus servers ask the database once. Shorter than any usual interval of scrapes.
KEPT_SECONDS: Final = 5.0
# How long a scrape waits for the database, and how long that may work on each of the statements.
PATIENCE_SECONDS: Final = 1.5
# Of the transaction only: behind a pooler, what is set for the session would be others' too.
LIMITS: Final = "SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = 1000"
CONNECT_SECONDS: Final = 2

Rows = Sequence[Row]
Answers = Mapping[str, Rows]


def questions(position: int | None) -> "dict[str, QuerySet[Any, Any]]":
    """Return the queries, by their names.

    Args:
        position: up to where the relay of this process has read; None without a relay.
    """
    alive = ServerProcess.objects.filter(
        given_up=False, last_beat__gte=Now() - timings.configured().server_dead_time
    )
    newest = LogEntry.objects.order_by("-id").values("id")[:1]
    queries: dict[str, QuerySet[Any, Any]] = {
        "sessions": EditSession.objects.values(
            "context_level",
            about=Case(When(object_id="", then=Value("item")), default=Value("object")),
        ).annotate(n=Count("pk")),
        "places": PlaceInLine.objects.values("context_level").annotate(n=Count("pk")),
        "connections": Connection.objects.values("ack").annotate(n=Count("pk")),
        "servers": alive.values("pk"),
        "sweepers": SweeperProcess.objects.values(
            "every_seconds", silent=Now() - F("last_sign"), ended=Now() - F("sweep_ended")
        ),
        "log": EventLog.objects.values(
            "trimmed_through",
            observed=observed_for(settings.EVENTS_SESSION_TIMEOUT),
            newest=Subquery(newest),
        ),
    }
    if position is not None:
        behind = LogEntry.objects.filter(pk__gt=position).values("type")
        queries["behind"] = behind.annotate(n=Count("pk"), age=Now() - Min("created_at"))
    return queries


def ask(position: int | None) -> Answers:
    """Ask the database, by a connection of its own.

    Raises:
        psycopg.Error, django.db.Error, OSError: it cannot be asked, or takes too long.
    """
    parameters = {**sql.parameters_for("metrics"), "connect_timeout": CONNECT_SECONDS}
    try:
        queries = {name: query_of(query) for name, query in questions(position).items()}
        with psycopg.connect(**parameters, cursor_factory=psycopg.ClientCursor) as own:
            own.execute(LIMITS)
            return {
                name: own.execute(query.sql.encode(), query.params).fetchall()
                for name, query in queries.items()
            }
    finally:
        # Django's is not used, unless it had to ask for the version of PostgreSQL.
        connection.close()


class DatabaseMetrics(Collector):
    """The metrics. It may be asked in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: Answers | None = None
        self._asked_at = float("-inf")
        self._asking: threading.Event | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield them; without values where the database does not answer in time."""
        answers = self._fresh()
        yield _one(
            "silo_database_up", "Whether the database has answered", int(answers is not None)
        )
        yield from families(answers or {})

    def _fresh(self) -> Answers | None:
        """Return the answers, which are kept for a while; so is that there are none."""
        with self._lock:
            if time.monotonic() - self._asked_at < KEPT_SECONDS:
                return self._answers
            if self._asking is None:
                # A daemon: no end of the process waits for a database that does not answer.
                self._asking = threading.Event()
                threading.Thread(target=self._ask, args=[self._asking], daemon=True).start()
            asking = self._asking
        asking.wait(PATIENCE_SECONDS)
        with self._lock:
            return None if self._asking is asking else self._answers

    def _ask(self, asking: threading.Event) -> None:
        process = runtime.current()
        answers: Answers | None = None
        try:
            answers = ask(process.relay.position if process and process.relay.has_started else None)
        except (psycopg.Error, DjangoDatabaseError, OSError) as error:
            logger.debug("the database was not asked for metrics", extra={"error": error})
        finally:
            with self._lock:
                self._answers, self._asked_at, self._asking = answers, time.monotonic(), None
            asking.set()


def families(answers: Answers) -> Iterator[Metric]:
    """Yield the metrics of these answers; without values where there is no answer."""
    yield _of(
        "silo_sessions",
        "Active edit sessions, by context level and by whether they are on a whole item or an object",
        ["level", "lock"],
        answers.get("sessions"),
    )
    yield _of("silo_places_in_line", "Places in line", ["level"], answers.get("places"))
    connections = answers.get("connections")
    yield _of(
        "silo_connections",
        "Open streams of workstations, on all servers, by whether their client acknowledges",
        ["ack"],
        connections and [("yes" if ack else "no", n) for ack, n in connections],
    )
    servers = answers.get("servers")
    yield _one("silo_servers", "Servers that beat", None if servers is None else len(servers))
    yield from _of_sweepers(answers.get("sweepers"))
    yield from _of_log(answers.get("log"))
    if (behind := answers.get("behind")) is not None:
        lag = max((_seconds(age) for *_, age in behind), default=0.0)
        yield _one(
            "silo_relay_lag_seconds",
            "Age of the oldest event that this server has not passed on",
            lag,
        )
        yield _one(
            "silo_relay_lag_events",
            "Events that this server has not passed on",
            sum(n for _, n, _ in behind),
        )


def _of_sweepers(rows: Rows | None) -> Iterator[Metric]:
    alive = silent = None
    ended: list[timedelta] = []
    if rows is not None:
        marks = [
            _seconds(since) <= SweeperProcess(every_seconds=every).silent_after
            for every, since, _ in rows
            if every is not None
        ]
        alive, silent = marks.count(True), marks.count(False)
        ended = [age for *_, age in rows if age is not None]
    yield _of(
        "silo_sweepers",
        "Sweepers that run, and those that give no sign",
        ["state"],
        None if alive is None else [("alive", alive), ("silent", silent)],
    )
    yield _one(
        "silo_last_sweep_age_seconds",
        "Since when no sweep of any sweeper has ended; without a value where none ever has",
        _seconds(min(ended)) if ended else None,
    )


def _of_log(rows: Rows | None) -> Iterator[Metric]:
    trimmed, observed, newest = rows[0] if rows else (None, None, None)
    yield _one(
        "silo_outage_rule_active",
        "Whether stale sessions are kept, because clients were not observed for a whole time-out",
        None if observed is None else int(not observed),
    )
    last = None if trimmed is None else max(trimmed, newest or 0)
    yield _one("silo_event_log_last_id", "The last id of the event log", last)


def _one(name: str, documentation: str, value: float | None) -> Metric:
    family = GaugeMetricFamily(name, documentation)
    if value is not None:
        family.add_metric([], value)
    return family


def _of(name: str, documentation: str, labels: Sequence[str], rows: Iterable[Row] | None) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for *values, number in rows or ():
        family.add_metric(values, number)
    return family


def _seconds(age: timedelta) -> float:
    return age.total_seconds()
