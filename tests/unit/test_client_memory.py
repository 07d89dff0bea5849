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
from silo_client.common.last_touch import LastTouch
from silo_client.common.shared_memory import SharedMemory
from silo_client.identity import folders
from silo_client.identity.fingerprint import default_fingerprint
from silo_client.identity.installation import installation
from silo_client.identity.instances import Instance
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("state")

ID, OTHER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
HOLD = (
    f"import sys; from silo_client.identity.instances import Instance; window = Instance('{ID}');"
    " print(window.sole, flush=True); sys.stdin.read()"
)


@pytest.fixture
def shared(tmp_path):
    return SharedMemory(tmp_path / "memory", new=True)


def test_one_process_reads_the_writes_of_another(shared):
    other = SharedMemory(shared.path)
    assert (other.valid_until, other.message_count, other.touched) == (0.0, 0, 0.0)
    shared.touched = 17.25
    other.valid_until = 1e9 + 0.125
    other.message_count = 2**40
    assert (shared.valid_until, shared.message_count, shared.touched) == (1e9 + 0.125, 2**40, 17.25)
    assert other.touched == 17.25


def test_only_its_user_can_open_it_and_a_new_one_is_empty(shared):
    assert stat.S_IMODE(shared.path.stat().st_mode) == 0o600
    shared.message_count = 5
    assert SharedMemory(shared.path, new=True).message_count == 0


def both_values(read):
    """Read until the other process, which a busy machine runs now and then only, has written two values."""
    seen = set()

    def more():
        seen.update(read() for _ in range(200_000))
        return len(seen) > 1

    eventually(more, "two values")
    return seen


def test_values_are_read_whole_while_another_process_writes_them(shared):
    script = (
        "import sys; from pathlib import Path; from silo_client.common.shared_memory import SharedMemory\n"
        "shared = SharedMemory(Path(sys.argv[1])); print(flush=True)\n"
        "while True:\n"
        "    for shared.message_count in (2**63 - 1, 1): shared.valid_until = float(shared.message_count)\n"
    )
    shared.message_count, shared.valid_until = 1, 1.0
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(shared.path)], stdout=subprocess.PIPE
    )
    try:
        other.stdout.readline()
        assert both_values(lambda: shared.message_count) == {1, 2**63 - 1}
        assert both_values(lambda: shared.valid_until) == {1.0, float(2**63 - 1)}
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


def test_sole_instance_knows_it():
    first = Instance(ID)
    assert first.sole
    second = Instance(ID)
    assert not first.sole
    assert not second.sole
    first.close()
    assert second.sole
    second.close()


def test_instance_uses_new_memory_and_removes_old(tmp_path):
    window = Instance(ID)
    first = window.new_memory()
    second = window.new_memory()
    first.message_count = 5
    assert second.message_count == 0
    assert [file.name for file in (tmp_path / "state").glob("*.memory")] == [second.path.name]
    window.close()


def test_an_installation_has_one_name_and_another_one_another(tmp_path, monkeypatch):
    name = installation()
    assert len(name) == 32
    assert installation() == name
    mine = default_fingerprint("cad")
    assert mine == default_fingerprint("cad") != default_fingerprint("other")
    monkeypatch.setenv(folders.STATE_VARIABLE, str(tmp_path / "another"))
    assert default_fingerprint("cad") != mine


def test_number_of_instances_is_limited():
    only = Instance(ID, most=1)
    with pytest.raises(NoWindowError):
        Instance(ID, most=1)
    only.close()
    Instance(ID, most=1).close()


def test_unusable_state_folder_is_reported(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(folders.STATE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(StateError, match=folders.STATE_VARIABLE):
        Instance(ID)


def test_instances_of_other_workstations_do_not_count():
    one, other = Instance(ID), Instance(OTHER)
    assert one.sole
    assert other.sole
    one.close()
    other.close()


@pytest.mark.parametrize("nonsense", ["../../etc/passwd", "", "w1"])
def test_workstation_id_that_is_no_uuid_names_no_file(nonsense):
    with pytest.raises(ValueError, match="UUID"):
        Instance(nonsense)


def test_killed_instance_is_gone():
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout.readline() == b"True\n"
    window = Instance(ID)
    assert not window.sole
    window.close()
    other.kill()
    other.communicate()
    window = Instance(ID)
    assert window.sole
    window.close()


def test_the_folder_is_its_users_alone(tmp_path):
    Instance(ID).close()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_last_touch_of_any_instance_counts(tmp_path):
    one, other = (LastTouch(tmp_path / "touched") for _ in range(2))
    assert one.seconds_ago is None
    one.note(100.0)
    assert other.seconds_ago == pytest.approx(100.0, abs=1)
    other.note(200.0)
    assert one.seconds_ago == pytest.approx(100.0, abs=1)
    other.note(10.0)
    assert one.seconds_ago == pytest.approx(10.0, abs=1)
    os.utime(one.file, (time.time() + 50, time.time() + 50))
    assert one.seconds_ago == 0.0
