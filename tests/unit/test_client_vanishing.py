"""A state folder that is deleted, read-only or full while windows of a workstation live."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from silo_client import StateError
from silo_client.common import clock
from silo_client.common.last_touch import LastTouch
from silo_client.common.protocol import Plan
from silo_client.common.shared_memory import SharedMemory
from silo_client.helper.main import Helper
from silo_client.identity import folders, machine, machine_identity
from silo_client.identity.fingerprint import default_fingerprint
from silo_client.identity.installation import installation
from silo_client.identity.instances import Instance
from silo_client.identity.machine_identity import KeptIdentity
from silo_client.identity.registration import Registration
from silo_client.link import helper_link
from silo_client.link.helper_link import HelperLink
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("state")

ID = "0b9ad1a3-11d3-4c3a-8b5e-0d9e4a4b8c01"


@pytest.fixture
def registered():
    """A window of a workstation, as it is when it has registered."""
    one = machine_identity.current()
    window = Instance(ID)
    kept = KeptIdentity(one, installation())
    yield Registration({}, window, one.running, kept)
    window.close()


def test_no_instance_is_sole_when_the_folder_is_gone(registered, state):
    other = Instance(ID)
    shutil.rmtree(state)
    for window in (registered.instance, other):
        assert not window.sole
    # The other one may not have noticed yet.
    registered.renew()
    assert not registered.instance.sole
    other.close()


def test_files_are_made_again_and_others_see_the_instance(registered, state):
    shutil.rmtree(state)
    registered.renew()
    assert all(file.exists() for file in registered.instance.files)
    assert state.stat().st_mode & 0o777 == 0o700
    later = Instance(ID)
    assert not later.sole
    registered.instance.close()
    assert later.sole
    later.close()


def test_the_identity_is_kept_and_so_is_the_name_of_the_running_machine(registered, state):
    fingerprint = default_fingerprint("cad")
    shutil.rmtree(state)
    registered.renew()
    assert default_fingerprint("cad") == fingerprint
    assert machine.running_name(state) == registered.running == machine_identity.current().running
    # Once more, by another inode.
    shutil.rmtree(state)
    registered.renew()
    assert machine_identity.current() == registered.kept.identity


def test_a_copy_of_the_folder_has_another_running_name(registered, state, tmp_path):
    shutil.rmtree(state)
    registered.renew()
    shutil.copytree(state, tmp_path / "copy")
    assert machine.running_name(tmp_path / "copy") != registered.running


def test_newer_identity_is_kept(registered, state):
    shutil.rmtree(state)
    new = machine_identity.current()
    registered.renew()
    assert machine_identity.current() == new != registered.kept.identity


def test_a_single_file_is_made_again_too(registered):
    for file in registered.instance.files:
        file.unlink()
        registered.renew()
        assert file.exists()


def test_failed_restore_is_logged(registered, state, caplog):
    shutil.rmtree(state)
    state.write_text("no folder")
    registered.renew()
    assert folders.STATE_VARIABLE in caplog.text
    assert "cannot be written again" in caplog.text
    assert not registered.instance.sole


def test_a_full_disk_is_named(registered, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("silo_client.common.shared_memory.os.write", full)
    with pytest.raises(StateError, match="No space left"):
        registered.instance.new_memory()
    assert not list(Path(os.environ[folders.STATE_VARIABLE]).glob("*.memory"))


def test_helper_reports_deleted_files_and_the_next_gets_new_memory(registered, state, monkeypatch):
    monkeypatch.setattr(helper_link, "RESTART_SECONDS", 0.01)
    window = registered.instance
    shared = window.new_memory()
    plan = Plan(
        "http://127.0.0.1:1",
        "t",
        ID,
        str(shared.path),
        str(window.touched.file),
        files=[str(file) for file in window.files],
    )
    messages = []
    link = HelperLink(plan, shared, messages.append, str, None, window.new_memory)
    link.start()
    try:
        eventually(lambda: {"trying"} & {name for message in messages for name in message})
        link.memory.touched = clock.now()
        touched = link.memory.touched
        shutil.rmtree(state)
        eventually(lambda: {"vanished": True} in messages)
        del messages[:]
        os.kill(link.pid, 9)
        eventually(lambda: any("trying" in message for message in messages))
        assert link.memory is not shared
        assert (link.memory.is_there, link.memory.touched) == (True, touched)
    finally:
        link.close()


@pytest.mark.parametrize(("own", "others", "told"), [(5, 60, 5), (60, 5, 5), (7, None, 7)])
def test_idle_time_does_not_need_the_folder(tmp_path, own, others, told):
    now = clock.now()
    helper = SimpleNamespace(
        _memory=SimpleNamespace(touched=now - own),
        _touched=SimpleNamespace(note=lambda _: None, seconds_ago=others),
    )
    body = Helper._alive_body(helper, SimpleNamespace(connection_id="c"), now)
    assert body["idle_seconds"] == pytest.approx(told)


def test_a_folder_that_is_gone_is_no_touch(tmp_path):
    touched = LastTouch(tmp_path / "gone" / "file")
    touched.note(1.0)
    assert touched.seconds_ago is None


def test_memory_knows_whether_its_file_exists(tmp_path):
    memory = SharedMemory(tmp_path / "memory", new=True)
    assert memory.is_there
    memory.path.unlink()
    assert not memory.is_there
    SharedMemory(tmp_path / "memory", new=True)
    assert not memory.is_there
