"""The rows of the sweepers: what a sweep writes, and which rows go."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from sessions_app.models import SweeperProcess
from sessions_app.models.sweeper_process import FORGOTTEN_AFTER, SweeperSigns

pytestmark = pytest.mark.django_db

PAUSE = 30.0


def killed_long_ago(every_seconds=PAUSE):
    """The row of a sweeper that was killed and is to be forgotten."""
    return SweeperProcess.objects.create(
        hostname="old",
        pid=1,
        version="1",
        every_seconds=every_seconds,
        last_sign=Now() - FORGOTTEN_AFTER - timedelta(seconds=1),
    )


def test_a_sweep_has_a_row_that_says_when_it_began_and_ended_and_what_it_released(settings):
    signs = SweeperSigns(PAUSE)
    signs.begin()
    row = SweeperProcess.objects.get()
    assert (row.version, row.every_seconds) == (settings.SESSIONS_VERSION, PAUSE)
    assert row.sweep_began
    assert not row.sweep_ended
    signs.end(released=7)
    row = SweeperProcess.objects.get()
    assert row.released == 7
    assert row.sweep_ended


def test_sweeps_of_one_process_have_one_row():
    signs = SweeperSigns(PAUSE)
    for _ in range(2):
        signs.begin()
        signs.go_on()
        signs.end(released=0)
    assert SweeperProcess.objects.count() == 1


def test_a_row_that_another_sweeper_has_deleted_comes_back():
    signs = SweeperSigns(PAUSE)
    signs.begin()
    SweeperProcess.objects.all().delete()
    signs.begin()
    assert SweeperProcess.objects.get(last_sign=F("started_at")).sweep_began


def test_a_stop_deletes_the_row():
    signs = SweeperSigns(PAUSE)
    signs.begin()
    other = SweeperSigns(PAUSE)
    other.begin()
    signs.stop()
    assert SweeperProcess.objects.count() == 1


def test_a_sweeper_that_never_swept_has_nothing_to_delete(django_assert_num_queries):
    with django_assert_num_queries(0):
        SweeperSigns(PAUSE).stop()


def test_killed_sweepers_are_forgotten_after_a_while_and_live_ones_are_not():
    killed_long_ago()
    live = SweeperProcess.objects.create(hostname="b", pid=2, version="1", every_seconds=PAUSE)
    signs = SweeperSigns(PAUSE)
    signs.begin()
    signs.end(released=0)
    assert SweeperProcess.objects.count() == 2
    assert SweeperProcess.objects.filter(pk=live.pk).exists()


def test_of_single_sweeps_the_last_one_stays():
    for released in range(3):
        signs = SweeperSigns(None)
        signs.begin()
        signs.end(released)
    killed_long_ago(every_seconds=None)
    live = SweeperSigns(PAUSE)
    live.begin()
    live.end(0)
    single = SweeperProcess.objects.filter(every_seconds=None, hostname__gt="")
    assert {row.released for row in single.exclude(hostname="old")} == {2}
    assert single.count() == 2


@pytest.mark.parametrize(("every_seconds", "seconds"), [(30.0, 120.0), (None, float("inf"))])
def test_a_sweeper_is_silent_after_some_of_its_pauses(every_seconds, seconds):
    assert SweeperProcess(every_seconds=every_seconds).silent_after == seconds
