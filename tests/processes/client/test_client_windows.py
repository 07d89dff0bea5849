"""`silo_client`: windows and threads of one workstation take nothing from each other."""

import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from sessions_app.models import EditSession, PlaceInLine
from silo_client import WaitTimeoutError
from tests.processes.client.held import check_is_kept, is_free
from tests.waiting import eventually


def test_two_instances_share_a_place_in_line(ada, bob, connect, part):
    held = connect(bob).edit(part, level="sketch")
    windows = connect(ada), connect(ada)
    got, waiting = {}, []

    def wait(number):
        got[number] = windows[number].edit(
            part, level="sketch", wait=True, on_wait=lambda _: waiting.append(number)
        )

    threads = []
    for number in (0, 1):
        threads.append(threading.Thread(target=wait, args=(number,), daemon=True))
        threads[-1].start()
        eventually(lambda number=number: number in waiting)
    assert PlaceInLine.objects.count() == 1
    held.release()
    for thread in threads:
        thread.join(20)
    assert got[0].id == got[1].id
    assert [got[number].existing for number in (0, 1)] == [False, True]
    with got[1]:
        pass
    assert got[0].valid, "it is the first one's"
    got[0].release()
    assert is_free()


def test_instance_that_gives_up_leaves_the_place_to_the_other(ada, bob, connect, part):
    connect(bob).edit(part, level="sketch")
    first, second = connect(ada), connect(ada)
    waiting = []
    thread = threading.Thread(
        target=lambda: first.edit(part, level="sketch", wait=True, on_wait=waiting.append),
        daemon=True,
    )
    thread.start()
    eventually(lambda: waiting)
    with pytest.raises(WaitTimeoutError):
        second.edit(part, level="sketch", wait=0.5)
    assert PlaceInLine.objects.count() == 1
    bob.call("DELETE", f"/api/workstations/{EditSession.objects.get().workstation_id}")
    thread.join(20)
    assert len(first.sessions) == 1


def test_session_acquired_before_the_other_instance_connects_is_not_inherited(
    ada, connect, run_program, part
):
    # It has its window, and no stream yet.
    first = run_program(ada)
    session = first.edit(part)
    second = connect(ada)
    with second.edit(part, level="sketch") as again:
        assert (again.id, again.existing) == (session["session_id"], True)
    assert first.ask("valid") == [True]


def test_instance_that_gave_up_does_not_end_the_others_session(ada, bob, connect, part):
    held = connect(bob).edit(part, level="sketch")
    first, second = connect(ada), connect(ada)

    def cancel(waiting):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.edit(part, level="sketch", wait=True, on_wait=cancel)
    eventually(lambda: not PlaceInLine.objects.exists())
    held.release()
    session = second.edit(part, level="sketch")
    first.close()
    check_stays(session)


def test_instance_that_stood_again_does_not_end_the_others_session(
    ada, bob, connect, part, monkeypatch
):
    # No event tells of the turn.
    monkeypatch.setattr("silo_client.sessions.line.LOOK_SECONDS", 0.1)
    monkeypatch.setattr("silo_client.sessions.held.HeldSessions.granted", lambda *_: None)
    held = connect(bob).edit(part, level="sketch")
    first, second = connect(ada), connect(ada)
    with first.edit(part, level="sketch", wait=True, on_wait=lambda _: held.release()) as session:
        assert session.existing is False
    session = second.edit(part, level="sketch")
    first.close()
    check_stays(session)


def check_stays(session):
    check_is_kept()
    assert session.valid


@pytest.mark.parametrize("attempt", range(3))
def test_two_threads_that_wait_for_one_lock_share_the_session(ada, bob, connect, part, attempt):
    held = connect(bob).edit(part, level="sketch")
    workstation = connect(ada)
    waiting, got = [], []

    def wait(number):
        with workstation.edit(
            part, level="sketch", wait=True, on_wait=lambda _: waiting.append(number)
        ) as session:
            got.append(session)
            eventually(lambda: len(got) == 2)

    threads = [threading.Thread(target=wait, args=(number,), daemon=True) for number in (0, 1)]
    for thread in threads:
        thread.start()
    eventually(lambda: set(waiting) == {0, 1})
    held.release()
    for thread in threads:
        thread.join(20)
    assert got[0] is got[1]
    assert is_free()


def test_deleted_state_folder_does_no_harm(ada, connect, run_program, part):
    program = run_program(ada)
    session = program.edit(part)
    folder = Path(os.environ["SILO_STATE"])
    shutil.rmtree(folder)
    eventually(lambda: list(folder.glob("machine-*.json")) and list(folder.glob("*.window")))
    # It is the same machine and the same workstation still.
    other = connect(ada)
    assert other.id == program.workstation_id
    with other.edit(part, level="sketch") as again:
        assert (again.id, again.existing) == (session["session_id"], True)
    os.kill(program.helper_pid, signal.SIGKILL)
    eventually(lambda: program.ask("helper") != program.helper_pid)
    eventually(lambda: program.ask("valid") == [True])
