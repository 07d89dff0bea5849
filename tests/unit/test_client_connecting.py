"""A call of `connect` that ends in time, fails or is cancelled, and what it leaves behind: nothing."""

import threading
import time

import pytest

from silo_client import CancelledError, ConfigurationError, ServerUnavailableError, within
from silo_client import connecting as module
from silo_client.connecting import Connecting
from silo_client.network.time_limit import left
from tests.waiting import eventually


class Made:
    def __init__(self):
        self.closed = threading.Event()

    def close(self):
        self.closed.set()


@pytest.fixture
def work():
    """Work that goes on until it is told to end."""

    class Work:
        made = Made()
        begun, go_on = threading.Event(), threading.Event()

        def __call__(self):
            self.begun.set()
            assert self.go_on.wait(20)
            return self.made

    work = Work()
    work.made, work.begun, work.go_on = Made(), threading.Event(), threading.Event()
    yield work
    work.go_on.set()


@pytest.fixture(autouse=True)
def small_margin(monkeypatch):
    monkeypatch.setattr(module, "MARGIN_SECONDS", 0.05)


def test_it_returns_what_was_made(work):
    work.go_on.set()
    assert Connecting(5).run(work, None) is work.made
    assert not work.made.closed.is_set()


def test_it_raises_what_went_wrong():
    def fail():
        raise ConfigurationError("no URL")

    with pytest.raises(ConfigurationError, match="no URL"):
        Connecting(5).run(fail, threading.Event())


def test_the_limit_holds_in_its_thread():
    seconds = []

    def note():
        seconds.append(left())
        return Made()

    Connecting(5).run(note, None)
    assert 4 < seconds[0] <= 5
    assert left(9) == 9


def test_work_that_takes_too_long_is_left_and_closed(work):
    woken = []
    connecting = Connecting(0.1)
    connecting.wake = woken.append
    with pytest.raises(ServerUnavailableError, match="not connected in time"):
        connecting.run(work, None)
    assert isinstance(woken[0], ServerUnavailableError)
    with pytest.raises(CancelledError):
        connecting.check()
    assert not work.made.closed.is_set()
    work.go_on.set()
    assert work.made.closed.wait(20)


def test_a_time_that_begins_anew_is_waited_for(work):
    connecting = Connecting(0.1)

    def begin_anew():
        connecting.limit.ends = time.monotonic() + 20
        threading.Timer(0.3, work.go_on.set).start()
        return work()

    assert connecting.run(begin_anew, None) is work.made


def test_it_is_cancelled_at_once(work):
    cancel = threading.Event()
    connecting = Connecting(60)
    threading.Thread(target=lambda: work.begun.wait(20) and cancel.set(), daemon=True).start()
    with pytest.raises(CancelledError):
        connecting.run(work, cancel)
    # Nothing more begins, also where the limit is set anew.
    connecting.limit.ends = time.monotonic() + 60
    assert connecting.limit.deadline == 0
    work.go_on.set()
    assert work.made.closed.wait(20)


def test_it_is_cancelled_before_it_begins():
    cancel, made = threading.Event(), Made()
    cancel.set()
    with pytest.raises(CancelledError):
        Connecting(60).run(lambda: made, cancel)
    eventually(made.closed.is_set)


def test_a_time_that_begins_anew_keeps_the_limit_of_the_caller():
    with within(1):
        connecting = Connecting(60)
    connecting.limit.ends = time.monotonic() + 60
    assert connecting.limit.deadline < time.monotonic() + 2
