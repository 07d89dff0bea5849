"""What `manage.py doctor` finds in the database."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import Value
from django.db.models.functions import Now

from events_app.database import sql
from events_app.models import Observation, ServerProcess
from sessions_app.models import SweeperProcess
from silo import __version__
from silo.doctor import database, processes
from silo.doctor.findings import Level

pytestmark = pytest.mark.usefixtures("committed_db")


def levels(ones):
    return {(one.subject, one.level) for one in ones}


def ago(seconds):
    return Now() - Value(timedelta(seconds=seconds))


def server(silent):
    return ServerProcess.objects.create(hostname="a", pid=1, last_beat=ago(silent))


def sweeper(silent, every=30.0, version=__version__):
    return SweeperProcess.objects.create(
        hostname="b",
        pid=2,
        version=version,
        every_seconds=every,
        last_sign=ago(silent),
        sweep_ended=ago(silent),
    )


def test_a_good_database():
    ones = list(database.findings())
    assert [
        one.text for one in ones if one.level == Level.PROBLEM and one.subject != "durability"
    ] == []
    assert {"migrations", "PostgreSQL", "time-outs", "clocks", "commit", "notifications"} <= {
        one.subject for one in ones if one.level == Level.OK
    }
    assert database.is_usable(ones)


def test_time_outs_that_are_not_taken():
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = 0")
        try:
            [found] = [one for one in database.findings() if one.subject == "time-outs"]
        finally:
            cursor.execute("RESET lock_timeout")
    assert "SET lock_timeout = '4s'" in found.advice


@pytest.fixture
def standbys(monkeypatch):
    """Have so many standbys acknowledge commits."""

    def have(found, visible=True):
        monkeypatch.setattr(sql, "standbys", lambda: (found, visible))

    return have


def test_without_standbys_none_is_missing():
    found = database.of_standbys(0)
    assert (found.level, found.advice) == (Level.OK, "")
    assert "pg_stat_replication" in database.of_standbys(1).advice


def test_a_missing_standby_is_a_problem_and_one_too_many_a_warning(standbys):
    standbys(1)
    assert database.of_standbys(2).level == Level.PROBLEM
    assert "1 of 2 standbys" in database.of_standbys(2).text
    assert database.of_standbys(1).level == Level.OK
    assert "server.database_standbys: 1" in database.of_standbys(0).advice
    standbys(0, visible=False)
    assert database.of_standbys(1).text.startswith("Standbys cannot be confirmed: ")
    assert "pg_read_all_stats" in database.of_standbys(1).text


def test_standbys_are_asked_for_once(monkeypatch):
    """A second answer may differ, and the text would contradict itself."""
    answers = iter([(2, True), (0, True)])
    monkeypatch.setattr(sql, "standbys", lambda: next(answers))
    assert "acknowledge commits: 2." in database.of_standbys(2).text


@pytest.mark.parametrize("wanted", ["local", "remote_write"])
def test_a_commit_that_would_not_wait_for_its_standby_is_a_problem(standbys, wanted):
    standbys(1)
    with connection.cursor() as cursor:
        cursor.execute(f"SET synchronous_commit = {wanted}")
        try:
            found = database.of_standbys(1)
        finally:
            cursor.execute("RESET synchronous_commit")
    assert found.level == Level.PROBLEM
    assert f"synchronous_commit is {wanted}" in found.text


@contextmanager
def path(name):
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION public.pg_notify(text, text) RETURNS void LANGUAGE sql AS 'SELECT'"
        )
        try:
            yield f"-c search_path={name},pg_catalog"
        finally:
            cursor.execute("DROP FUNCTION public.pg_notify(text, text)")


def test_notifications_that_are_lost(monkeypatch):
    own = sql.parameters_for("doctor")
    with path("public") as options:
        monkeypatch.setattr(sql, "parameters_for", lambda _: {**own, "options": options})
        found = database.of_notifications()
    assert found.level == Level.PROBLEM
    assert "pooler" in found.text
    assert "DATABASE_URL" in found.advice


def test_a_database_that_is_away_is_one_finding(monkeypatch):
    own = sql.parameters_for("start")
    monkeypatch.setattr(sql, "parameters_for", lambda _: {**own, "host": "127.0.0.1", "port": 1})
    ones = list(database.findings())
    assert levels(ones) == {("database", Level.PROBLEM)}
    assert not database.is_usable(ones)


def test_nothing_runs():
    assert {("servers", Level.PROBLEM), ("sweepers", Level.PROBLEM)} <= levels(processes.findings())


def test_all_runs():
    server(silent=1)
    sweeper(silent=10)
    Observation.objects.update(last_beat=None, since=None)
    assert levels(processes.findings()) == {("servers", Level.OK), ("sweepers", Level.OK)}


def test_silent_ones_are_named():
    server(silent=1000)
    sweeper(silent=1000)
    found = levels(processes.findings())
    assert {("servers", Level.WARNING), ("sweepers", Level.WARNING)} <= found
    assert {("servers", Level.PROBLEM), ("sweepers", Level.PROBLEM)} <= found


def test_sweeps_by_a_timer_count_for_a_while():
    server(silent=1)
    once = sweeper(silent=600, every=None)
    assert ("sweepers", Level.OK) in levels(processes.findings())
    SweeperProcess.objects.filter(pk=once.pk).update(last_sign=ago(4000))
    assert ("sweepers", Level.PROBLEM) in levels(processes.findings())


def test_a_server_of_another_version_and_one_that_is_not_ready():
    one, other = server(silent=1), server(silent=1)
    ServerProcess.objects.filter(pk=one.pk).update(version="0.1")
    ServerProcess.objects.filter(pk=other.pk).update(unready="the relay has no connection")
    found = [one for one in processes.findings() if one.level == Level.WARNING]
    assert any("0.1" in one.text for one in found)
    assert any("the relay has no connection" in one.text for one in found)


def test_a_sweeper_of_another_version():
    sweeper(silent=1, version="0.1")
    assert any("0.1" in one.text for one in processes.findings())


def test_the_outage_rule_is_told():
    Observation.objects.update(last_beat=Now(), since=Now())
    assert ("outage rule", Level.WARNING) in levels(processes.findings())
