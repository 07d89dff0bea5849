"""When notifications count as lost, and when they are back."""

import logging

import pytest

from events_app.log.notify_watch import (
    NOTIFICATIONS,
    POLLS,
    READS_PER_ROUND_TRIP,
    ROUND_TRIPS,
    NotifyWatch,
)


@pytest.fixture
def watch():
    return NotifyWatch()


def good_trip(watch):
    token = watch.new_token()
    watch.notified()
    watch.came(token)


def lost_trip(watch):
    watch.new_token()
    watch.notified()
    for _ in range(READS_PER_ROUND_TRIP + 1):
        watch.read(found=False, idle=True)


def lost_trips(watch):
    for _ in range(ROUND_TRIPS):
        lost_trip(watch)


def silent_polls(watch, count=POLLS + 1):
    for _ in range(count):
        watch.read(found=True, idle=True)


def test_nothing_is_said_before_anything_is_known(watch):
    assert not watch.lost
    assert not watch.sure


def test_round_trips_that_come_back_are_good(watch):
    for _ in range(ROUND_TRIPS):
        good_trip(watch)
    assert watch.sure
    assert not watch.asking


def test_one_that_comes_before_its_commit_is_known_is_good(watch):
    token = watch.new_token()
    watch.came(token)
    watch.notified()
    assert not watch.asking


def test_one_lost_round_trip_is_no_loss_and_two_are(watch):
    lost_trip(watch)
    assert not watch.lost
    lost_trip(watch)
    assert watch.lost


def test_a_late_one_is_none_that_is_lost(watch):
    late = watch.new_token()
    watch.notified()
    for _ in range(READS_PER_ROUND_TRIP + 1):
        watch.read(found=False, idle=True)
    watch.came(late)
    lost_trip(watch)
    assert not watch.lost


def test_those_of_other_servers_say_nothing(watch):
    watch.new_token()
    watch.notified()
    watch.came(NotifyWatch().new_token())
    assert watch.asking


def test_one_that_waits_while_the_connection_is_lost_is_not_judged(watch):
    for _ in range(ROUND_TRIPS + 1):
        watch.new_token()
        watch.notified()
        watch.connected()
        silent_polls(watch, 1)
    assert not watch.lost


def test_a_loss_is_over_only_after_several_have_come_back(watch):
    lost_trips(watch)
    good_trip(watch)
    assert watch.lost
    good_trip(watch)
    assert not watch.lost


def test_one_that_a_pooler_let_pass_does_not_end_a_loss(watch):
    lost_trips(watch)
    for _ in range(3):
        good_trip(watch)
        lost_trip(watch)
        assert watch.lost


def test_polls_that_find_what_was_not_notified_are_a_loss(watch):
    silent_polls(watch, POLLS)
    assert not watch.lost
    silent_polls(watch, 1)
    assert watch.lost


def test_an_entry_whose_notification_comes_after_the_poll_is_none(watch):
    for _ in range(2 * POLLS):
        silent_polls(watch, 1)
        watch.heard()
    assert not watch.lost


def test_polls_that_find_nothing_and_reads_after_a_notification_say_nothing(watch):
    for _ in range(2 * POLLS):
        watch.read(found=False, idle=True)
        watch.read(found=True, idle=False)
    assert not watch.lost


def test_round_trips_do_not_hide_what_the_polls_show(watch):
    silent_polls(watch)
    for _ in range(ROUND_TRIPS):
        good_trip(watch)
    assert watch.lost
    for _ in range(NOTIFICATIONS):
        watch.heard()
    assert not watch.lost


def test_a_restart_of_the_database_neither_begins_nor_ends_a_loss(watch):
    lost_trip(watch)
    watch.connected()
    lost_trip(watch)
    assert not watch.lost
    lost_trip(watch)
    watch.connected()
    assert watch.lost


def test_others_learn_of_each_change_once(watch):
    changes = []
    watch.on_change = changes.append
    lost_trips(watch)
    silent_polls(watch)
    assert changes == [True]
    for _ in range(NOTIFICATIONS):
        good_trip(watch)
        watch.heard()
    assert changes == [True, False]


def test_loss_and_end_are_each_logged_once(watch, caplog):
    caplog.set_level(logging.INFO)
    lost_trips(watch)
    silent_polls(watch)
    lost_trips(watch)
    for _ in range(NOTIFICATIONS):
        good_trip(watch)
        watch.heard()
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert lines == [("WARNING", "notifications are lost"), ("INFO", "notifications arrive again")]
