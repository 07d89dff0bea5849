"""What a program and its helper share: memory, clock, files of windows."""

import os
import stat
import subprocess
import sys
import time

import pytest

from silo_client import clock, windows
from silo_client.shared import Shared
from silo_client.windows import Touched, Window

SERVER = "http://silo"
HOLD = (
    "import sys; from silo_client.windows import Window; window = Window('f', 'http://silo');"
    " print(window.sole, flush=True); sys.stdin.read()"
)


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv(windows.STATE_VARIABLE, str(tmp_path / "state"))


@pytest.fixture
def shared():
    memory = Shared()
    yield memory
    memory.remove()


def test_what_one_writes_the_other_reads(shared):
    other = Shared(shared.path)
    assert (other.sure_until, other.told, other.touched) == (0.0, 0, 0.0)
    shared.touched = 17.25
    other.sure_until = 1e9 + 0.125
    other.told = 2**40
    assert (shared.sure_until, shared.told, shared.touched) == (1e9 + 0.125, 2**40, 17.25)
    assert other.touched == 17.25


def test_only_its_user_can_open_it_and_it_outlives_its_file(shared):
    assert stat.S_IMODE(shared.path.stat().st_mode) == 0o600
    other = Shared(shared.path)
    shared.remove()
    shared.remove()
    assert not shared.path.exists()
    other.told = 5
    assert shared.told == 5


def test_the_clock_is_the_same_in_another_process():
    script = "from silo_client import clock; print(clock.now())"
    before = clock.now()
    other = float(
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    )
    assert before < other < clock.now()


def test_a_window_that_is_alone_knows_it():
    first = Window("f", SERVER)
    second = Window("f", SERVER)
    assert (first.sole, second.sole) == (True, False)
    first.close()
    assert not Window("f", SERVER).sole, "the second one lives"
    second.close()


def test_windows_of_other_workstations_and_servers_do_not_count():
    one = Window("f", SERVER)
    assert Window("g", SERVER).sole
    assert Window("f", SERVER + ":8000").sole
    one.close()


def test_a_killed_window_is_no_window_any_more():
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout.readline() == b"True\n"
    window = Window("f", SERVER)
    assert not window.sole
    window.close()
    other.kill()
    other.communicate()
    window = Window("f", SERVER)
    assert window.sole
    window.close()


def test_the_folder_is_its_users_alone(tmp_path):
    Window("f", SERVER).close()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_the_last_touch_of_any_window_counts(tmp_path):
    one, other = (Touched(tmp_path / "touched") for _ in range(2))
    assert one.seconds_ago is None
    one.note(100.0)
    assert other.seconds_ago == pytest.approx(100.0, abs=1)
    other.note(200.0)
    assert one.seconds_ago == pytest.approx(100.0, abs=1)
    other.note(10.0)
    assert one.seconds_ago == pytest.approx(10.0, abs=1)
    os.utime(one.file, (time.time() + 50, time.time() + 50))
    assert one.seconds_ago == 0.0
