"""The process that starts workers and watches them, with plain programs as workers."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.system import is_running
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]

# Of each worker: its pid, then what it does. `life` is its end of the lifeline.
BEGIN = """
import os, signal, socket, sys, time
from pathlib import Path
life = socket.socket(fileno=int(sys.argv[sys.argv.index("--worker") + 1]))
folder = Path(sys.argv[1])
def note(name): (folder / f"{name}-{os.getpid()}").touch()
note("started")
"""
GOOD = 'life.send(b"l"); life.recv(1); note("told")'
ENDS = 'print("no database"); sys.exit(3)'
STUBBORN = 'life.send(b"l"); time.sleep(60)'
LOADING = "time.sleep(60)"
# Of those that are started after the first two, three end at once.
FAILS_LATER = f"""
life.send(b"l")
if 2 < len(list(folder.glob("started-*"))) < 6: sys.exit(4)
{GOOD}
"""

# Of those that are started after the first two, all find their configuration wrong.
WRONG_LATER = f"""
if 2 < len(list(folder.glob("started-*"))): sys.exit(os.EX_CONFIG)
life.send(b"l")
{GOOD}
"""

PARENT = """
import logging, sys
from events_app.serving import workers
from silo.log_format import FieldsFormatter
handler = logging.StreamHandler()
handler.setFormatter(FieldsFormatter())
logging.basicConfig(level=logging.INFO, handlers=[handler])
workers.KILL_AFTER_SECONDS = float(sys.argv[4])
workers.RESTART_SECONDS = (0.05, 0.1)
command = [f"{sys.argv[2]}/python", "-c", sys.argv[1], sys.argv[2]]
watched = workers.Workers(int(sys.argv[3]), command, listening=lambda: print("all listen", flush=True))
sys.exit(watched.run())
"""


class Parent:
    """A process that watches workers."""

    def __init__(self, folder, worker, count, kill_after):
        self.folder = folder
        # By a name of its own, so that it can be missing.
        self.program = folder / "python"
        self.program.symlink_to(sys.executable)
        script = BEGIN + textwrap.dedent(worker)
        self.output = (folder / "output").open("w+")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-W", "error", "-c", PARENT),
                *(script, str(folder), str(count), str(kill_after)),
            ],
            cwd=ROOT,
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )

    def said(self, text):
        return eventually(lambda: text in self.text(), text)

    def text(self):
        return (self.folder / "output").read_text()

    def pids(self, what="started"):
        return {int(path.name.partition("-")[2]) for path in self.folder.glob(f"{what}-*")}

    def end(self, *numbers):
        for number in numbers:
            self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def watch(tmp_path):
    parents = []

    # Seconds: longer than a worker that stops in order takes on a busy machine, shorter than a test waits for the end.
    def start(worker, count=2, kill_after=15):
        parents.append(Parent(tmp_path, worker, count, kill_after))
        return parents[-1]

    yield start
    for parent in parents:
        parent.process.kill()
        parent.process.wait()
        parent.output.close()
        for pid in filter(is_running, parent.pids()):
            os.kill(pid, signal.SIGKILL)


def test_all_are_told_to_stop(watch):
    parent = watch(GOOD, 3)
    parent.said("all listen")
    assert parent.end(signal.SIGTERM) == 0
    assert len(parent.pids()) == 3
    assert parent.pids("told") == parent.pids()
    assert not any(map(is_running, parent.pids()))


def test_a_killed_one_is_started_anew(watch):
    parent = watch(GOOD)
    parent.said("all listen")
    os.kill(killed := min(parent.pids()), signal.SIGKILL)
    eventually(lambda: len(parent.pids()) == 3)
    assert parent.end(signal.SIGINT) == 0
    assert killed not in parent.pids("told")
    assert parent.text().count("all listen") == 1


def test_one_that_ends_again_and_again_is_started_ever_later(watch):
    parent = watch(FAILS_LATER)
    parent.said("all listen")
    os.kill(min(parent.pids()), signal.SIGKILL)
    eventually(lambda: len(parent.pids()) == 6)
    # Of the one that was killed soon after its start, and of the three after it.
    assert re.findall(r"pause_seconds=(\S+)", parent.text()) == ["0.05", "0.1", "0.1", "0.1"]
    assert parent.end(signal.SIGTERM) == 0


def test_others_serve_on_beside_one_whose_configuration_is_wrong_until_none_is_left(watch):
    parent = watch(WRONG_LATER)
    parent.said("all listen")
    first, other = sorted(parent.pids())
    os.kill(first, signal.SIGKILL)
    eventually(lambda: len(parent.pids()) >= 4)
    assert is_running(other)
    assert parent.text().count(f"exit_code={os.EX_CONFIG}") >= 1
    os.kill(other, signal.SIGKILL)
    assert parent.process.wait(20) == os.EX_CONFIG


def test_one_that_cannot_be_started_is_tried_again(watch):
    parent = watch(GOOD)
    parent.said("all listen")
    parent.program.unlink()
    os.kill(min(parent.pids()), signal.SIGKILL)
    parent.said("worker could not be started")
    parent.program.symlink_to(sys.executable)
    eventually(lambda: len(parent.pids()) == 3)
    assert parent.end(signal.SIGTERM) == 0


def test_what_keeps_one_from_starting_ends_all(watch):
    parent = watch(ENDS)
    assert parent.process.wait(20) == 3
    assert "no database" in parent.text()
    assert not any(map(is_running, parent.pids()))


def test_one_that_does_not_stop_is_killed(watch):
    parent = watch(STUBBORN, kill_after=0.5)
    parent.said("all listen")
    assert parent.end(signal.SIGTERM) == 1
    assert "did not stop in time" in parent.text()
    assert not any(map(is_running, parent.pids()))


def test_one_that_still_loads_ends_at_once(watch):
    parent = watch(LOADING)
    eventually(lambda: len(parent.pids()) == 2)
    assert parent.end(signal.SIGTERM) == 0
    assert "did not stop in time" not in parent.text()
    assert not any(map(is_running, parent.pids()))


def test_a_second_signal_ends_all_at_once(watch):
    parent = watch(STUBBORN)
    parent.said("all listen")
    parent.process.send_signal(signal.SIGTERM)
    parent.said("workers stopping")
    assert parent.end(signal.SIGINT) == 128 + signal.SIGINT
    assert not any(map(is_running, parent.pids()))


def test_a_killed_parent_leaves_nobody_behind(watch):
    parent = watch(GOOD)
    parent.said("all listen")
    assert parent.end(signal.SIGKILL) == -signal.SIGKILL
    eventually(lambda: not any(map(is_running, parent.pids())))
    assert parent.pids("told") == parent.pids()
