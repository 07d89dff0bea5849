"""`silo_client`: a call takes as long as its `patience`, whatever server and helper do, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from sessions_app.models import EditSession
from silo_client import CancelledError, ServerUnavailableError, WaitTimeoutError, Wanted, within
from silo_client.callbacks import CLOSE_SECONDS
from silo_client.connecting import MARGIN_SECONDS
from silo_client.network.requests import CONNECT_SECONDS
from tests.processes.client.held import is_free
from tests.waiting import PATIENCE_SECONDS, eventually, standstill

SECONDS = 0.4
PROGRAM = str(Path(__file__).with_name("ending_program.py"))


@contextmanager
def in_time(seconds=SECONDS):
    with standstill() as lost:
        begun = time.monotonic()
        yield
        took = time.monotonic() - begun - lost()
    assert took < seconds + MARGIN_SECONDS, f"{took:.2f} s"


@contextmanager
def frozen(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def held(ada, connect, part):
    """Ada's workstation, and a session that it has."""
    workstation = connect(ada)
    return workstation, workstation.edit(part, level="sketch", object_id="held")


def test_no_call_waits_longer_for_a_frozen_server(ada, held, part):
    workstation, session = held
    other = Wanted(part, "sketch", "other")
    calls = [
        lambda: workstation.edit(part, level="sketch", object_id="A", patience=SECONDS),
        lambda: workstation.edit_all([Wanted(part, "sketch", "B"), other], patience=SECONDS),
        lambda: workstation.take_over(other, session.id, "it is mine", patience=SECONDS),
        lambda: session.hand_over(workstation.id, patience=SECONDS),
        lambda: workstation.request_handoff(session.id, part, "please", patience=SECONDS),
        lambda: workstation.unclaimed(patience=SECONDS),
    ]
    with frozen(ada.server.pid):
        for call in calls:
            with in_time(), pytest.raises(ServerUnavailableError):
                call()
        with in_time(), pytest.raises(ServerUnavailableError), within(SECONDS):
            workstation.api.line(part)
        with in_time(3 * SECONDS), pytest.raises(WaitTimeoutError):
            workstation.edit(
                part, level="sketch", object_id="C", wait=2 * SECONDS, patience=SECONDS
            )
        with in_time():
            session.release(patience=SECONDS)
        with in_time():
            workstation.close(patience=SECONDS)
    eventually(is_free)


def test_the_patience_of_a_workstation_is_that_of_its_calls(ada, connect, part):
    workstation = connect(ada, patience=3)
    with frozen(ada.server.pid), in_time(3), pytest.raises(ServerUnavailableError):
        workstation.edit(part, level="sketch")
    eventually(is_free)


def test_what_a_frozen_server_grants_later_is_ended(ada, connect, part):
    workstation = connect(ada)
    with frozen(ada.server.pid), pytest.raises(ServerUnavailableError):
        workstation.edit(part, level="sketch", patience=SECONDS)
    # The helper looks for it for a minute.
    with workstation.edit(part, level="sketch", object_id="later"):
        eventually(lambda: EditSession.objects.count() == 1)
    eventually(is_free)
    with workstation.edit(part, level="sketch") as session:
        assert session.valid


def test_a_frozen_helper_holds_no_call(ada, held, part):
    workstation, session = held
    with frozen(workstation.helper_pid):
        with in_time():
            workstation.edit(part, level="sketch", object_id="A", patience=SECONDS)
        with in_time():
            session.release(patience=SECONDS)
        # More than the pipe takes: no session may be asked for of which the helper does not know.
        for number in range(2):
            many = [Wanted(part, "sketch", f"{number} {n} {'x' * 100}") for n in range(500)]
            with in_time(), pytest.raises(ServerUnavailableError):
                workstation.edit_all(many, patience=SECONDS)
        with in_time():
            workstation.close(patience=SECONDS)
    eventually(is_free)


def test_a_new_connection_waits_for_the_helper_of_a_closed_one(ada, held, connect, part):
    workstation, _ = held
    with frozen(workstation.helper_pid):
        workstation.close(patience=SECONDS)
        with in_time(), pytest.raises(ServerUnavailableError, match="still leaving"):
            connect(ada, patience=SECONDS)
    again = connect(ada)
    with pytest.raises(ProcessLookupError):
        os.kill(workstation.helper_pid, 0)
    assert is_free()
    assert again.edit(part, level="sketch", object_id="held").valid


def test_connecting_takes_no_longer(ada, connect):
    with frozen(ada.server.pid), in_time(), pytest.raises(ServerUnavailableError):
        connect(ada, patience=SECONDS)


def test_connecting_can_be_cancelled(ada, connect):
    cancel = threading.Event()
    with frozen(ada.server.pid):
        threading.Timer(SECONDS, cancel.set).start()
        with in_time(), pytest.raises(CancelledError):
            connect(ada, cancel=cancel)
    # Nothing of it is an instance any more, also where the server answers now.
    eventually(lambda: not [one for one in threading.enumerate() if one.name == "silo connect"])
    assert connect(ada, numbered=True, cancel=threading.Event()).connected
    with pytest.raises(CancelledError):
        connect(ada, cancel=cancel)


@pytest.mark.parametrize("pending", ["connect", "cancelled", "edit", "callback", "close"])
def test_nothing_pending_delays_the_end_of_a_program(ada, part, client_state, pending):
    with subprocess.Popen(
        [sys.executable, "-W", "error", PROGRAM, pending, ada.server.url, ada.token, part],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout.readline() == "connected\n"
        with frozen(ada.server.pid):
            program.stdin.write("freeze\n")
            program.stdin.flush()
            assert program.stdout.readline() == "ending\n"
            with standstill() as lost:
                begun = time.monotonic()
                assert program.wait(PATIENCE_SECONDS) == 0
                took = time.monotonic() - begun - lost()
    # Whatever it could wait for takes longer.
    assert took < min(CLOSE_SECONDS, CONNECT_SECONDS)
    eventually(is_free)
