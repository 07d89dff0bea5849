"""`tests/waiting.py`: how long a process was kept from running."""

import signal
import subprocess
import sys
import time

from tests.waiting import standstill

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
