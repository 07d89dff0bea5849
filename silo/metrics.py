"""The metrics of a process, as Prometheus reads them: `serve --metrics`, `runsweeper --metrics`.

Names and labels are part of what operators rely on: deploy/grafana and deploy/prometheus use them, and a test holds
them together. No label names a user, an item or a workstation.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any, Final

import django.db
import psycopg
from django.db import connections
from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from events_app import measured
from events_app.fairness import request_gate
from events_app.serving import runtime
from silo import __version__
from silo.metrics_database import DatabaseMetrics

Labelled = Mapping[str, float]


def collectors(process: str) -> list[Collector]:
    """Return what a process shows, and begin to count its log lines.

    Args:
        process: "serve" or "runsweeper".
    """
    lines = LogLines()
    logging.getLogger().addHandler(lines)
    own: list[Collector] = [ServerMetrics()] if process == "serve" else [SweeperMetrics()]
    # Memory, CPU and open files of the process.
    system = ProcessCollector(registry=None)
    return [CommonMetrics(process, lines), *own, DatabaseMetrics(), system]


class LogLines(logging.Handler):
    """Counts log lines from WARNING on, and those of them that name an error of the database."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.levels = {"WARNING": 0, "ERROR": 0, "CRITICAL": 0}
        self.database_errors = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count one. The handler's lock is held."""
        if record.levelname in self.levels:
            self.levels[record.levelname] += 1
        error = record.__dict__.get("error") or (record.exc_info or (None, None))[1]
        if isinstance(error, (django.db.Error, psycopg.Error)):
            self.database_errors += 1


class CommonMetrics(Collector):
    """The metrics that every process has.

    Args:
        process: "serve" or "runsweeper".
        lines: its log lines.
    """

    def __init__(self, process: str, lines: LogLines) -> None:
        self._process = process
        self._lines = lines

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        info = {"version": __version__, "process": self._process}
        yield InfoMetricFamily("silo_process", "This process", value=info)
        yield _counter(
            "silo_log_lines", "Log lines from WARNING on, by level", "level", self._lines.levels
        )
        yield CounterMetricFamily(
            "silo_database_errors",
            "Log lines that name an error of the database",
            value=self._lines.database_errors,
        )


class ServerMetrics(Collector):
    """The metrics of a server. They come from memory only."""

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from _of_runtime()
        yield CounterMetricFamily(
            "silo_heartbeats",
            "Heartbeats that were written to streams",
            value=measured.heartbeats.value,
        )
        yield CounterMetricFamily(
            "silo_heartbeats_missed",
            "Heartbeats of a part of the streams that the database did not let be written",
            value=measured.heartbeats_missed.value,
        )
        departures = {by: count.value for by, count in measured.departures.items()}
        yield _counter(
            "silo_departures",
            "Ends of workstations' streams, by the side that ended it",
            "by",
            departures,
        )
        yield CounterMetricFamily(
            "silo_events",
            "Events of the log that the relay has passed on",
            value=measured.events.value,
        )
        yield GaugeMetricFamily(
            "silo_requests_in_flight", "Requests without an answer", value=request_gate.in_flight
        )
        requests = HistogramMetricFamily(
            "silo_request_seconds",
            "From the last byte of a request to the first of its answer, by operation",
            labels=["operation"],
        )
        for operation, durations in list(measured.requests.items()):
            requests.add_metric([operation], *_buckets(durations))
        yield requests
        yield from _of_pool()


class SweeperMetrics(Collector):
    """The metrics of a sweeper. They come from memory only."""

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield CounterMetricFamily("silo_sweeps", "Sweeps that ended", value=measured.sweeps.value)
        yield CounterMetricFamily(
            "silo_sweeps_failed",
            "Sweeps that the database did not let end",
            value=measured.sweeps_failed.value,
        )
        ended = {kind: count.value for kind, count in measured.sweep_ended.items()}
        yield _counter(
            "silo_sweep_ended", "Sessions, and places in line, that sweeps ended", "kind", ended
        )
        seconds = HistogramMetricFamily("silo_sweep_seconds", "How long sweeps took")
        seconds.add_metric([], *_buckets(measured.sweep_durations))
        yield seconds


def _of_runtime() -> Iterator[Metric]:
    process = runtime.current()
    streams = list(process.presence.streams.values()) if process else []
    # One that is still opening has no grant.
    grants = [grant for one in streams if (grant := getattr(one, "grant", None))]
    present = sum(grant.key is not None for grant in grants)
    yield _gauge(
        "silo_streams",
        "Open event streams: of workstations, and of those that only watch",
        "kind",
        {"workstation": present, "watching": len(streams) - present},
    )
    for name, documentation, value in (
        (
            "silo_ready",
            "Whether it may be sent traffic, apart from the database",
            process and process.ready,
        ),
        ("silo_relay_connected", "Whether the relay listens", process and process.relay.listening),
        (
            "silo_notifications_lost",
            "Whether notifications of PostgreSQL do not arrive, so that events are late",
            process and process.relay.notify_watch.lost,
        ),
        (
            "silo_standbys_missing",
            "Standbys that are expected and do not acknowledge commits, as /ready has last seen",
            process and process.standbys.missing,
        ),
        (
            "silo_alive_requests_behind_seconds",
            "How long the oldest alive request has waited to be written",
            process and process.presence.alive_requests.behind,
        ),
    ):
        yield GaugeMetricFamily(name, documentation, value=float(value or 0))


# Of psycopg_pool's statistics: the name here, and what it is.
_POOL_GAUGES: Final = {
    "pool_size": ("silo_pool_connections", "Connections of the pool"),
    "pool_available": ("silo_pool_connections_free", "Connections of the pool that nobody uses"),
    "requests_waiting": ("silo_pool_waiting", "Threads that wait for a connection now"),
}
_POOL_COUNTERS: Final = {
    "requests_num": ("silo_pool_requests", "Connections that were asked for", 1),
    "requests_queued": ("silo_pool_waits", "Those that had to be waited for", 1),
    "requests_wait_ms": ("silo_pool_wait_seconds", "How long they were waited for", 1000),
    "requests_errors": ("silo_pool_errors", "Those that were not there in time", 1),
    "connections_num": ("silo_pool_connects", "Tries to connect to the database", 1),
    "connections_errors": ("silo_pool_connect_errors", "Those that failed", 1),
    "connections_lost": ("silo_pool_connections_lost", "Connections that were found broken", 1),
}


def _of_pool() -> Iterator[Metric]:
    pools: Mapping[str, Any] = getattr(connections["default"], "_connection_pools", {})
    pool = pools.get("default")
    stats = pool.get_stats() if pool else {}
    for key, (name, documentation) in _POOL_GAUGES.items():
        yield GaugeMetricFamily(name, documentation, value=stats.get(key, 0))
    for key, (name, documentation, divisor) in _POOL_COUNTERS.items():
        yield CounterMetricFamily(name, documentation, value=stats.get(key, 0) / divisor)


def _counter(name: str, documentation: str, label: str, values: Labelled) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=[label])
    return _filled(family, values)


def _gauge(name: str, documentation: str, label: str, values: Labelled) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    return _filled(family, values)


def _filled(family: Any, values: Labelled) -> Metric:
    for value, number in values.items():
        family.add_metric([value], number)
    metric: Metric = family
    return metric


def _buckets(durations: measured.Durations) -> tuple[list[tuple[str, float]], float]:
    """Return the buckets of a histogram, each with those below it too, and the sum."""
    bounds: Iterable[str] = [*map(str, measured.BOUNDS), "+Inf"]
    return [*zip(bounds, accumulate(durations.counts), strict=True)], durations.seconds
