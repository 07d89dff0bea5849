"""A standby that is missing is said once, and keeps nothing from being done."""

import logging
from types import SimpleNamespace

import pytest
from django.db import connection, transaction

from events_app.database import sql, standbys
from events_app.database.probe import WriteCheck
from events_app.database.standbys import StandbyWatch
from events_app.log.notify_watch import ADVICE
from events_app.serving.runtime import Runtime


@pytest.fixture
def found(monkeypatch):
    """How many acknowledge commits, and whether that may be seen; to be changed."""
    now = [2, True]
    monkeypatch.setattr(sql, "standbys", lambda: tuple(now))
    return now


def said(caplog):
    return [(one.levelname, one.message) for one in caplog.records]


def test_each_change_is_said_once(found, caplog):
    caplog.set_level(logging.INFO, standbys.__name__)
    watch = StandbyWatch(2)
    states = []
    for number in (2, 1, 1, 0, 2, 2):
        found[0] = number
        watch.look()
        states.append(watch.missing)
    assert states == [0, 1, 1, 2, 0, 0]
    missing, all_there = ("WARNING", "standbys are missing"), ("INFO", "all standbys are there")
    assert said(caplog) == [missing, missing, all_there]
    assert watch.warning == ""


def test_a_user_who_may_not_see_them_is_told_what_is_to_be_granted(found):
    watch = StandbyWatch(1)
    found[:] = 0, False
    watch.look()
    assert watch.warning == standbys.UNSEEN


def test_where_none_is_expected_the_database_is_not_asked(monkeypatch):
    monkeypatch.setattr(sql, "standbys", None)
    StandbyWatch().look()


@pytest.mark.django_db
def test_a_missing_standby_leaves_the_database_good():
    """The tests' PostgreSQL has none."""
    watch = StandbyWatch(1)
    assert WriteCheck(standbys=watch).run() == ""
    assert watch.warning.startswith("0 of 1 standbys")


@pytest.mark.usefixtures("committed_db")
def test_who_may_see_them_is_known():
    with transaction.atomic(), connection.cursor() as cursor:
        assert sql.standbys() == (0, True)
        cursor.execute("CREATE ROLE silo_nobody")
        cursor.execute("SET LOCAL ROLE silo_nobody")
        assert sql.standbys() == (0, False)
        cursor.execute("RESET ROLE")
        cursor.execute("GRANT pg_read_all_stats TO silo_nobody")
        cursor.execute("SET LOCAL ROLE silo_nobody")
        assert sql.standbys() == (0, True)
        transaction.set_rollback(True)


@pytest.mark.parametrize("lost", [False, True])
def test_every_warning_is_told(found, lost):
    watch = StandbyWatch(3)
    relay = SimpleNamespace(notify_watch=SimpleNamespace(lost=lost))
    runtime = Runtime(relay, None, None, None, watch)
    assert runtime.warning == (ADVICE if lost else "")
    watch.look()
    assert runtime.warning == f"{ADVICE}; {watch.warning}" if lost else watch.warning
