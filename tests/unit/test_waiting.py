"""How tests wait: for conditions, for lines of processes, and without the time in which a process could not run."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.processes.service import Process
from tests.waiting import eventually, standstill

STOPPED_SECONDS = 0.5
PROGRAM = """
from tests.waiting import standstill
with standstill() as lost:
    print("begun", flush=True)
    input()
    print(lost())
"""


def test_the_time_in_which_a_process_is_stopped_is_lost():
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout.readline() == "begun\n"
        program.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED_SECONDS)
        program.send_signal(signal.SIGCONT)
        told, _ = program.communicate("end\n")
    assert float(told) > STOPPED_SECONDS / 2


def test_the_time_in_which_it_waits_is_not():
    def lost_while_waiting() -> float:
        with standstill() as lost:
            time.sleep(STOPPED_SECONDS / 2)
            return lost()

    # On a busy machine some of it is lost, too, at times.
    assert any(lost_while_waiting() < STOPPED_SECONDS / 4 for _ in range(20))


def test_a_condition_that_came_true_during_a_standstill_is_seen():
    came_true = iter([False, True])

    def condition() -> bool:
        time.sleep(0.1)
        return next(came_true)

    assert eventually(condition, within=0.05)
    with pytest.raises(AssertionError, match="not within"):
        eventually(lambda: False, within=0.05)


class Unread(Process):
    """What it says is read later than it ends."""

    def _read(self) -> None:
        self._popen.wait()
        time.sleep(0.2)
        super()._read()


def test_the_last_line_of_a_process_that_has_ended_is_found():
    process = Unread("echo", "the last line", env=dict(os.environ))
    try:
        eventually(lambda: not process.running)
        assert process.line("last") == "the last line"
        with pytest.raises(AssertionError, match="ended:"):
            process.line("another")
    finally:
        process.close()
