"""The metrics that a scrape shows, and the files for Grafana and Prometheus that use them."""

import asyncio
import json
import logging
import re
import threading
import time
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
import yaml
from django.db.models import Value
from django.db.models.functions import Now
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from events_app import measured
from events_app.models import Observation
from sessions_app.models import SweeperProcess
from silo import metrics, metrics_database, request_shares
from silo.short_way import CALL
from tests.factories import acquire, make_item, make_user, make_workstation

ROOT = Path(__file__).parents[2]
NAMES = re.compile(r"\b(?:silo|process)_[a-z_]+\b")
# Words of PromQL that look like names.
SUFFIXES = ("_bucket", "_count", "_sum")


@pytest.fixture(autouse=True)
def without_handlers():
    """No handler that counts log lines stays."""
    before = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = before


def scraped(process="serve"):
    """All samples of a scrape, by name and labels."""
    registry = CollectorRegistry()
    for collector in metrics.collectors(process):
        registry.register(collector)
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def of_database(position=0):
    """The samples that the database gives."""
    families = metrics_database.families(metrics_database.ask(position))
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.usefixtures("committed_db")
def test_sessions_are_counted_by_level_and_by_what_is_locked():
    workstation, item = make_workstation(make_user()), make_item()
    acquire(workstation, item, "Sketch1")
    acquire(workstation, item, "Sketch2")
    acquire(workstation, make_item("B-2"), "")
    found = of_database()
    sessions = {key[1:]: value for key, value in found.items() if key[0] == "silo_sessions"}
    assert sum(sessions.values()) == 3
    assert sorted(sessions.values()) == [1, 2]
    assert {lock for names in sessions for lock in names} >= {"item", "object"}
    assert found["silo_event_log_last_id",] > 0
    assert found["silo_relay_lag_events",] >= 3
    assert found["silo_relay_lag_seconds",] >= 0


@pytest.mark.usefixtures("committed_db")
def test_nothing_is_set_for_the_session_that_asks(monkeypatch):
    """Behind a pooler in transaction mode the session is others' afterwards."""
    seen = []

    class Looking(psycopg.Connection):
        """A connection that looks at its session before it ends."""

        def __exit__(self, *how):
            self.commit()
            for name in ("statement_timeout", "default_transaction_read_only"):
                seen.append(self.execute(f"SHOW {name}").fetchone()[0])
            super().__exit__(*how)

    monkeypatch.setattr(
        metrics_database,
        "psycopg",
        SimpleNamespace(**{**vars(psycopg), "connect": Looking.connect}),
    )
    metrics_database.ask(0)
    assert seen == ["0", "off"]


@pytest.mark.usefixtures("committed_db")
def test_a_relay_that_has_read_all_has_no_lag():
    acquire(make_workstation(make_user()), make_item())
    last = int(of_database()["silo_event_log_last_id",])
    found = of_database(position=last)
    assert (found["silo_relay_lag_events",], found["silo_relay_lag_seconds",]) == (0, 0)


@pytest.mark.usefixtures("committed_db")
def test_sweepers_and_their_last_sweep():
    def sweeper(silent, ended, every=30.0):
        SweeperProcess.objects.create(
            hostname="a",
            pid=1,
            version="1",
            every_seconds=every,
            last_sign=Now() - Value(timedelta(seconds=silent)),
            sweep_ended=None if ended is None else Now() - Value(timedelta(seconds=ended)),
        )

    assert ("silo_last_sweep_age_seconds",) not in of_database()
    sweeper(silent=1, ended=40)
    sweeper(silent=600, ended=600)
    sweeper(silent=3, ended=20, every=None)
    found = of_database()
    assert found["silo_sweepers", "alive"] == found["silo_sweepers", "silent"] == 1
    assert 20 <= found["silo_last_sweep_age_seconds",] < 40


@pytest.mark.usefixtures("committed_db")
def test_the_outage_rule(settings):
    Observation.objects.update(last_beat=Now(), since=Now())
    assert of_database()["silo_outage_rule_active",] == 1
    Observation.objects.update(since=Now() - 2 * settings.EVENTS_SESSION_TIMEOUT)
    assert of_database()["silo_outage_rule_active",] == 0


@pytest.mark.usefixtures("committed_db")
def test_the_database_is_asked_once_for_two_scrapes(monkeypatch):
    asked = []
    monkeypatch.setattr(metrics_database, "ask", lambda position: asked.append(position) or {})
    database = metrics_database.DatabaseMetrics()
    for _ in range(2):
        assert next(database.collect()).samples[0].value == 1
    assert len(asked) == 1


def value_of_up(database):
    return next(iter(database.collect())).samples[0].value


def test_a_database_that_is_away_neither_fails_nor_delays_a_scrape(monkeypatch):
    def fail(position):
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(metrics_database, "ask", fail)
    database = metrics_database.DatabaseMetrics()
    assert value_of_up(database) == 0
    assert {family.name for family in database.collect()} > {"silo_sessions"}


def test_a_database_that_does_not_answer_is_not_waited_for(monkeypatch):
    answering, asked = threading.Event(), []

    def hang(position):
        asked.append(position)
        answering.wait(30)
        return {}

    monkeypatch.setattr(metrics_database, "ask", hang)
    monkeypatch.setattr(metrics_database, "PATIENCE_SECONDS", 0.05)
    database = metrics_database.DatabaseMetrics()
    begun = time.monotonic()
    try:
        assert [value_of_up(database) for _ in range(3)] == [0, 0, 0]
        assert time.monotonic() - begun < 10
        assert len(asked) == 1
    finally:
        answering.set()


@pytest.mark.usefixtures("committed_db")
def test_log_lines_and_errors_of_the_database_are_counted():
    registry = CollectorRegistry()
    for collector in metrics.collectors("runsweeper"):
        registry.register(collector)
    logger = logging.getLogger("silo.test")
    logger.warning("sweep failed", extra={"error": psycopg.OperationalError("away")})
    logger.error("something else")
    text = generate_latest(registry).decode()
    assert "silo_database_errors_total 1.0" in text
    assert 'silo_log_lines_total{level="WARNING"} 1.0' in text
    assert 'silo_log_lines_total{level="ERROR"} 1.0' in text


@pytest.mark.usefixtures("committed_db")
def test_durations_are_a_histogram(monkeypatch):
    requests = {"acquire": measured.Durations()}
    monkeypatch.setattr(measured, "requests", requests)
    for seconds in (0.001, 0.004, 100.0):
        requests["acquire"].add(seconds)
    found = scraped()
    assert found["silo_request_seconds_bucket", "0.001", "acquire"] == 1
    assert found["silo_request_seconds_bucket", "0.005", "acquire"] == 2
    assert found["silo_request_seconds_bucket", "+Inf", "acquire"] == 3
    assert found["silo_request_seconds_count", "acquire"] == 3
    assert found["silo_request_seconds_sum", "acquire"] == pytest.approx(100.005)


def test_a_request_has_taken_what_its_answer_took_to_begin(monkeypatch):
    """A client may read an export for minutes."""
    monkeypatch.setattr(measured, "requests", requests := defaultdict(measured.Durations))
    counted = []

    async def streamed(scope, receive, send):
        scope[CALL].append("verify")
        for kind in ("start", "body", "body"):
            await send({"type": f"http.response.{kind}"})

    async def send(message):
        counted.append(sum(requests["verify"].counts))

    asyncio.run(request_shares.timed(streamed)({}, None, send))
    assert counted == [1, 1, 1]


def shown_names():
    """The names that a server and a sweeper show, with their suffixes."""
    names = set()
    for process in ("serve", "runsweeper"):
        registry = CollectorRegistry()
        for collector in metrics.collectors(process):
            registry.register(collector)
        for family in registry.collect():
            if family.type == "histogram":
                names |= {family.name + suffix for suffix in SUFFIXES}
            elif family.type == "counter":
                names.add(f"{family.name}_total")
            else:
                names.add(f"{family.name}_info" if family.type == "info" else family.name)
    for family in metrics_database.families(metrics_database.ask(0)):
        names.add(family.name)
    return names


def used_in(expressions):
    return {name for expression in expressions for name in NAMES.findall(expression)}


@pytest.mark.usefixtures("committed_db")
def test_the_dashboard_and_the_alerts_use_names_that_there_are():
    names = shown_names()
    dashboard = json.loads((ROOT / "deploy/grafana/silo.json").read_text())
    drawn = used_in(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    drawn |= used_in(one["query"] for one in dashboard["templating"]["list"])
    rules = yaml.safe_load((ROOT / "deploy/prometheus/silo.rules.yml").read_text())
    alerting = used_in(rule["expr"] for group in rules["groups"] for rule in group["rules"])
    assert drawn - names == set()
    assert alerting - names == set()
    assert len(alerting) > 5
    # What is not drawn is missed by nobody.
    ours = {name for name in names if name.startswith("silo_")}
    suffixed = {name.removesuffix(suffix) for name in drawn for suffix in SUFFIXES}
    undrawn = {one for one in ours - drawn if one.rsplit("_", 1)[0] not in suffixed}
    assert undrawn <= {
        "silo_pool_requests_total",
        "silo_pool_waits_total",
        "silo_pool_connects_total",
        "silo_pool_connections_lost_total",
    }


def test_every_panel_and_alert_is_complete():
    dashboard = json.loads((ROOT / "deploy/grafana/silo.json").read_text())
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) > 10
    rules = yaml.safe_load((ROOT / "deploy/prometheus/silo.rules.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"critical", "warning"}
            assert rule["annotations"]["summary"]
