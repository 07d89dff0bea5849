"""What a program and its helper share: memory, clock, files of windows."""

import os
import stat
import subprocess
import sys
import time
import uuid

import pytest

from silo_client import NoWindowError, StateError
from silo_client.common import clock
from silo_client.common.shared_memory import Shared
from silo_client.identity import instances
from silo_client.identity.fingerprint import default_fingerprint
from silo_client.identity.instances import Touched, Window

ID, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
HOLD = (
    f"import sys; from silo_client.identity.instances import Window; window = Window('{ID}');"
    " print(window.sole, flush=True); sys.stdin.read()"
)


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv(instances.STATE_VARIABLE, str(tmp_path / "state"))


@pytest.fixture
def shared(tmp_path):
    return Shared(tmp_path / "memory", new=True)


def test_what_one_writes_the_other_reads(shared):
    other = Shared(shared.path)
    assert (other.sure_until, other.told, other.touched) == (0.0, 0, 0.0)
    shared.touched = 17.25
    other.sure_until = 1e9 + 0.125
    other.told = 2**40
    assert (shared.sure_until, shared.told, shared.touched) == (1e9 + 0.125, 2**40, 17.25)
    assert other.touched == 17.25


def test_only_its_user_can_open_it_and_a_new_one_is_empty(shared):
    assert stat.S_IMODE(shared.path.stat().st_mode) == 0o600
    shared.told = 5
    assert Shared(shared.path, new=True).told == 0


def test_values_are_read_whole_while_another_process_writes_them(shared):
    script = (
        "import sys; from pathlib import Path; from silo_client.common.shared_memory import Shared\n"
        "shared = Shared(Path(sys.argv[1])); print(flush=True)\n"
        "while True:\n"
        "    for shared.told in (2**63 - 1, 1): shared.sure_until = float(shared.told)\n"
    )
    shared.told, shared.sure_until = 1, 1.0
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(shared.path)], stdout=subprocess.PIPE
    )
    try:
        other.stdout.readline()
        assert {shared.told for _ in range(200_000)} == {1, 2**63 - 1}
        assert {shared.sure_until for _ in range(200_000)} == {1.0, float(2**63 - 1)}
    finally:
        other.kill()
        other.communicate()


def test_the_clock_is_the_same_in_another_process():
    script = "from silo_client.common import clock; print(clock.now())"
    before = clock.now()
    other = float(
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    )
    assert before < other < clock.now()


def test_a_window_that_is_alone_knows_it():
    first = Window(ID)
    assert first.sole
    second = Window(ID)
    assert not first.sole
    assert not second.sole
    first.close()
    assert second.sole
    second.close()


def test_a_window_uses_no_memory_that_may_be_in_use_and_leaves_none_behind(tmp_path):
    window = Window(ID)
    first = window.new_memory()
    second = window.new_memory()
    first.told = 5
    assert second.told == 0
    assert [file.name for file in (tmp_path / "state").glob("*.memory")] == [second.path.name]
    window.close()


def test_an_installation_has_one_name_and_another_one_another(tmp_path, monkeypatch):
    name = instances.installation()
    assert len(name) == 32
    assert instances.installation() == name
    mine = default_fingerprint("cad")
    assert mine == default_fingerprint("cad") != default_fingerprint("other")
    monkeypatch.setenv(instances.STATE_VARIABLE, str(tmp_path / "another"))
    assert default_fingerprint("cad") != mine


def test_there_are_no_more_than_there_may_be():
    only = Window(ID, most=1)
    with pytest.raises(NoWindowError):
        Window(ID, most=1)
    only.close()
    Window(ID, most=1).close()


def test_a_folder_that_cannot_be_used_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(instances.STATE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(StateError, match=instances.STATE_VARIABLE):
        Window(ID)


def test_windows_of_other_workstations_do_not_count():
    one, other = Window(ID), Window(OTHER)
    assert one.sole
    assert other.sole
    one.close()
    other.close()


@pytest.mark.parametrize("nonsense", ["../../etc/passwd", "", "w1"])
def test_a_stranger_that_answers_cannot_name_files(nonsense):
    with pytest.raises(ValueError, match="UUID"):
        Window(nonsense)


def test_a_killed_window_is_no_window_any_more():
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout.readline() == b"True\n"
    window = Window(ID)
    assert not window.sole
    window.close()
    other.kill()
    other.communicate()
    window = Window(ID)
    assert window.sole
    window.close()


def test_the_folder_is_its_users_alone(tmp_path):
    Window(ID).close()
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
