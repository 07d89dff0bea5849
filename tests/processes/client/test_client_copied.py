"""Machines that were copied after their first use: each is a workstation of its own."""

import shutil
import threading

import pytest

from events_app.presence import clean_up
from sessions_app import operations
from sessions_app.models import EditSession, Workstation
from silo_client import HardInterferenceError, IdentityInUseError
from silo_client.identity.folders import STATE_VARIABLE
from tests.waiting import eventually


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """Copy what the client keeps, as a copy of the machine's disk does; be on the copy from then on."""

    def copy():
        shutil.copytree(tmp_path / "client", tmp_path / "copy")
        monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "copy"))

    return copy


@pytest.fixture
def be_first(tmp_path, monkeypatch):
    return lambda: monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "client"))


def test_copy_of_a_running_machine_gets_an_identity_of_its_own(
    ada, connect, run_program, copy, be_first, part, caplog
):
    first = run_program(ada)
    held = first.edit(part)
    copy()
    second = connect(ada)
    assert second.id != first.workstation_id
    assert second.name.endswith(" #2")
    assert f"{second.copied_from} #2" == second.name
    assert "is a copy of it" in caplog.text
    with pytest.raises(HardInterferenceError) as refused:
        second.edit(part, level="sketch")
    assert refused.value.holder.session_id == held["session_id"]
    assert first.ask("valid") == [True]
    token = EditSession.objects.get().fencing_token
    first.ask("release")
    assert second.edit(part, level="sketch").fencing_token > token
    # Each stays who it is.
    second.close()
    again = connect(ada)
    assert (again.id, again.copied_from) == (second.id, "")
    first.ask("close")
    be_first()
    assert connect(ada).id == first.workstation_id


def test_machine_and_copy_that_start_at_once_are_two_workstations(
    ada, connect, run_program, copy, tmp_path
):
    connect(ada).close()
    eventually(lambda: Workstation.objects.get().departed_at is not None)
    copy()
    programs = {}

    def start(name, state):
        programs[name] = run_program(ada, before=("env", f"{STATE_VARIABLE}={tmp_path / state}"))

    windows = {"one": "client", "another": "client", "copy's": "copy", "copy's other": "copy"}
    threads = [threading.Thread(target=start, args=window) for window in windows.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    ids = {name: program.workstation_id for name, program in programs.items()}
    assert ids["one"] == ids["another"] != ids["copy's"] == ids["copy's other"]
    assert Workstation.objects.count() == 2


def test_machine_that_was_cut_off_learns_that_a_copy_has_its_identity(ada, connect, part):
    refused, lost = [], []
    first = connect(ada, on_refused=refused.append, on_lost=lambda *how: lost.append(how))
    session = first.edit(part, level="sketch")
    Workstation.objects.update(machine="a copy of it")
    operations.release.release_all(first.id)
    # The server was taken for dead meanwhile, and registers what it serves once more.
    clean_up.forget_processes()
    [error] = eventually(lambda: refused)
    assert isinstance(error, IdentityInUseError)
    [(gone, _)] = eventually(lambda: lost)
    assert (gone, session.valid) == (session, False)
    with pytest.raises(IdentityInUseError, match="connect again"):
        first.edit(part, level="sketch")
