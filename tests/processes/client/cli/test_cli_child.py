"""The command that `silo edit` runs: its signals, its end, its code."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from silo_client.cli.editing import child
from silo_client.cli.editing.child import Child, check_command
from silo_client.cli.editing.descendants import Descendants, set_subreaper
from silo_client.cli.exit_codes import CommandError, ExitCode
from silo_client.cli.signals import Terminated, handling, terminated
from tests.waiting import eventually

# Each of many processes starts the next one and ends; the last one writes to the pipe.
CHAIN = """
import os
for _ in range(200):
    if os.fork():
        os._exit(0)
os.write({}, b"x")
"""
FOREVER = "while :; do sleep 0.02; done"


@pytest.fixture
def begun(tmp_path):
    """A file that commands make once they run."""
    return tmp_path / "begun"


@pytest.fixture(autouse=True)
def no_subreaper():
    """Orphans of other tests are no children of this process."""
    yield
    set_subreaper(False)


def in_background(command, then):
    """Run a command; in another thread, do something once it has begun. Return its code."""
    running = Child(command)
    other = threading.Thread(target=then, args=(running,))
    other.start()
    try:
        return running.run(os.environ)
    finally:
        other.join()


def test_a_command_that_is_asked_to_end_and_does_not_is_killed(begun, monkeypatch):
    monkeypatch.setattr(child, "END_SECONDS", 0.2)

    def end(running):
        eventually(begun.exists)
        running.end()

    stubborn = ("sh", "-c", f"trap '' TERM; touch '{begun}'; {FOREVER}")
    assert in_background(stubborn, end) == 128 + signal.SIGKILL
    begun.unlink()
    assert in_background(("sh", "-c", f"touch '{begun}'; {FOREVER}"), end) == 128 + signal.SIGTERM


def test_command_ended_before_it_begins_ends_at_once():
    unwanted = Child(("sleep", "60"))
    unwanted.end()
    assert unwanted.run(os.environ) == 128 + signal.SIGTERM
    unwanted.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ending_signals_are_passed_to_the_command(begun, number):
    def kill(running):
        eventually(begun.exists)
        os.kill(os.getpid(), number)

    script = f"trap 'exit 5' TERM HUP; touch '{begun}'; {FOREVER}"
    before = signal.getsignal(number)
    assert in_background(("sh", "-c", script), kill) == 5
    assert signal.getsignal(number) == before


def test_typed_signals_are_left_to_the_command_and_not_ignored_in_it(begun):
    def type_ctrl_c(running):
        eventually(begun.exists)
        os.kill(os.getpid(), signal.SIGINT)
        pid = int(begun.read_text())
        os.kill(pid, signal.SIGINT)

    script = f"echo $$ > '{begun}.new'; mv '{begun}.new' '{begun}'; {FOREVER}"
    assert in_background(("sh", "-c", script), type_ctrl_c) == 128 + signal.SIGINT


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handling([signal.SIGHUP, signal.SIGTERM], terminated):
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(Terminated) as ended:
                os.kill(os.getpid(), signal.SIGTERM)
        assert ended.value.number == signal.SIGTERM
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_command_is_checked_before_waiting_for_a_session(tmp_path):
    check_command(["sh"])
    for name, code in [
        ("no-such-command", ExitCode.COMMAND_NOT_FOUND),
        (str(tmp_path / "none"), ExitCode.COMMAND_NOT_FOUND),
        (str(tmp_path), ExitCode.NOT_EXECUTABLE),
    ]:
        with pytest.raises(CommandError) as refused:
            check_command([name])
        assert refused.value.code == code


def test_the_last_of_a_chain_of_processes_is_not_missed_between_two_of_them():
    descendants = Descendants(set)
    descendants.watch()
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    command = [sys.executable, "-c", CHAIN.format(writing)]
    with subprocess.Popen(command, pass_fds=[writing]) as process:
        descendants.command = process.pid
        os.close(writing)
        process.wait()
        eventually(lambda: not descendants.living())
        # It would raise BlockingIOError if one of them still ran.
        assert os.read(reading, 1) == b"x"
    os.close(reading)
