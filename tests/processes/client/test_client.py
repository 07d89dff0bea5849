"""`silo_client` against real servers: editing, leaving, and a program that computes for long."""

import os
import signal

import pytest

from sessions_app.models import EditSession, EndedSession, PlaceInLine
from sessions_app.roles import Role
from silo_client import (
    AuthenticationError,
    HardInterferenceError,
    NotFoundError,
    ServerUnavailableError,
    Wanted,
)
from silo_client.sessions.held import Lost
from tests.factories import make_item
from tests.system import is_running
from tests.waiting import eventually

RELEASED = "edit.session_released"
GRACE = {"SILO_DISCONNECT_GRACE_SECONDS": "60"}


def ended():
    return [(one.object_id, one.reason) for one in EndedSession.objects.order_by("pk")]


def test_a_block_holds_the_session_and_releases_it(ada, connect, part):
    workstation = connect(ada, program="cad")
    with workstation.edit(part, level="sketch", object_id="Sketch001", cone=["n1"]) as session:
        [held] = ada.held(part)
        assert held["session_id"] == session.id
        assert held["workstation"] == {"id": workstation.id, "name": workstation.name}
        assert (session.part_number, session.level, session.object_id) == (
            part,
            "sketch",
            "Sketch001",
        )
        assert session.fencing_token == held["fencing_token"]
        assert session.user == "ada"
        assert session.acquired_at.tzinfo is not None
        assert (session.valid, session.existing, session.interference) == (True, False, "none")
        assert workstation.sessions == [session]
        assert workstation.connected
    assert ada.held(part) == []
    assert not session.valid
    assert session.lost is None
    assert ended() == [("Sketch001", "released")]


def test_release_inside_a_block_releases_once(ada, connect, part):
    with connect(ada).edit(part, level="sketch") as session:
        session.release()
        assert not session.valid
        session.release()
    assert ended() == [("", "released")]


def test_refusal_names_the_holder(ada, bob, connect, part):
    connect(bob, name="bob's").edit(part, level="assembly")
    with pytest.raises(HardInterferenceError) as caught:
        connect(ada).edit(part, level="assembly")
    holder = caught.value.holder
    assert (holder.user, holder.workstation, holder.level) == ("bob", "bob's", "assembly")
    assert str(caught.value) == "bob is editing this on bob's."


def test_soft_interference_names_the_other_sessions(ada, bob, connect, part):
    connect(bob).edit(part, level="sketch", object_id="A", cone=["n1", "n2"])
    session = connect(ada).edit(part, level="sketch", object_id="B", cone=["n2", "n3"])
    assert session.interference == "soft"
    [conflict] = session.conflicts
    assert (conflict.holder.user, conflict.holder.object_id) == ("bob", "A")
    assert conflict.shared == ("n2",)


def test_a_batch_is_all_or_nothing(ada, bob, connect, part):
    parts = [part, *(make_item(f"B-{number}").part_number for number in range(3))]
    workstation = connect(ada)
    wanted = [Wanted(each, "assembly", cone=("n",)) for each in parts]
    with workstation.edit_all(wanted) as sessions:
        assert [session.part_number for session in sessions] == parts
        assert sessions.valid
        with pytest.raises(HardInterferenceError) as caught:
            connect(bob).edit_all([Wanted(each, "assembly") for each in parts[1:]])
        assert [holder.part_number for holder in caught.value.holders] == parts[1:]
    assert not EditSession.objects.exists()
    assert not sessions.valid


def test_asking_again_in_one_process_gives_the_same_until_the_last_block_ends(ada, connect, part):
    workstation = connect(ada)
    with workstation.edit(part, level="sketch") as outer:
        with workstation.edit(part, level="sketch") as inner:
            assert inner is outer
        assert outer.valid
    assert not EditSession.objects.exists()


def test_two_instances_share_a_session_and_neither_ends_the_others(ada, run_program, connect, part):
    first = run_program(ada, program="cad")
    assert first.edit(part)["existing"] is False
    second = connect(ada, program="cad")
    assert second.id == first.workstation_id
    assert [told["part_number"] for told in second.unclaimed()] == [part]
    with second.edit(part, level="sketch") as session:
        assert (session.existing, session.valid) == (True, True)
        assert second.unclaimed() == []
    second.close()
    assert len(ada.held(part)) == 1
    assert first.ask("valid") == [True]
    first.ask("release")
    assert ada.held(part) == []


def test_numbered_workstations_exclude_each_other_and_reuse_numbers(ada, connect, part):
    first, second = (connect(ada, program="job", numbered=True) for _ in range(2))
    assert first.id != second.id
    assert first.name.endswith("(job 1)")
    assert second.name.endswith("(job 2)")
    first.edit(part, level="sketch")
    with pytest.raises(HardInterferenceError):
        second.edit(part, level="sketch")
    first.close()
    again = connect(ada, program="job", numbered=True)
    assert again.id == first.id


def test_sessions_of_a_dead_predecessor_are_inherited(serve, client_of, run_program, connect, part):
    ada = client_of(serve(**GRACE))
    first = run_program(ada)
    session = first.edit(part)["session_id"]
    # Its helper too, so that nothing is given up: as when the machine crashes.
    os.kill(first.helper_pid, signal.SIGKILL)
    first.kill()
    eventually(lambda: ada.held(part)[0]["away_since"])
    with connect(ada).edit(part, level="sketch") as again:
        assert (again.id, again.existing) == (session, False)
    assert ada.held(part) == []


def test_more_sessions_than_a_stream_begins_with_are_inherited(
    serve, client_of, run_program, connect, part, monkeypatch
):
    ada = client_of(serve(**GRACE))
    first = run_program(ada)
    first.edit(part)
    held = EditSession.objects.get()
    # As a batch makes them, in less time.
    EditSession.objects.bulk_create(
        EditSession(
            item_id=held.item_id,
            workstation_id=held.workstation_id,
            user_id=held.user_id,
            connection_id=held.connection_id,
            context_level="sketch",
            object_id=str(number),
        )
        for number in range(1200)
    )
    os.kill(first.helper_pid, signal.SIGKILL)
    first.kill()
    eventually(lambda: ada.held(part)[0]["away_since"])
    workstation = connect(ada)
    session = workstation.edit(part, level="sketch", object_id="1199")
    assert (session.existing, session.valid) == (False, True)
    # A new stream names it too: nobody has to ask.
    asked = []
    monkeypatch.setattr(workstation._reconciler, "_ask", asked.append)
    connection = workstation.held.connection
    os.kill(workstation.helper_pid, signal.SIGKILL)
    eventually(lambda: workstation.held.connection not in (None, connection))
    eventually(lambda: session.valid)
    assert not asked


@pytest.mark.parametrize("grace", [{}, GRACE], ids=["at once", "grace"])
@pytest.mark.parametrize("windows", [1, 2])
@pytest.mark.parametrize("how", ["kill", "terminate", "close"])
def test_ended_program_leaves_nothing_whatever_the_grace_and_instances(
    serve, client_of, run_program, connect, part, grace, windows, how
):
    ada = client_of(serve(**grace))
    bob = client_of(ada.server, "bob")
    program = run_program(ada)
    program.edit(part, object_id="mine")
    bobs = connect(bob).edit(part, level="sketch", object_id="wanted")
    line = program.send(
        "edit", {"part_number": part, "level": "sketch", "object_id": "wanted", "wait": True}
    )
    eventually(PlaceInLine.objects.exists)
    if windows == 2:
        other = connect(ada)
        assert other.id == program.workstation_id
        other.edit(part, level="sketch", object_id="the other's")
    if how == "close":
        bobs.release()
        line()
        program.ask("close")
    else:
        program.signal(signal.SIGKILL if how == "kill" else signal.SIGTERM)

    def is_gone():
        left = {told["object_id"] for told in ada.held(part)} - {"wanted"}
        return left == ({"the other's"} if windows == 2 else set())

    eventually(is_gone)
    eventually(lambda: not PlaceInLine.objects.exists())
    eventually(lambda: not is_running(program.helper_pid))
    if how != "close":
        assert [told["user"] for told in ada.held(part) if told["object_id"] == "wanted"] == ["bob"]
        bobs.release()
    assert not [told for told in ada.held(part) if told["object_id"] == "wanted"]


def test_dead_helper_ends_the_lease_and_is_replaced(serve, client_of, run_program, part):
    ada = client_of(serve(**GRACE))
    program = run_program(ada)
    session = program.edit(part)["session_id"]
    old = program.helper_pid
    os.kill(old, signal.SIGKILL)
    eventually(lambda: program.ask("valid") == [False] or program.ask("helper") != old)
    eventually(lambda: program.ask("valid") == [True])
    assert program.ask("helper") != old
    assert [told["session_id"] for told in ada.held(part)] == [session]


def test_lost_session_is_reported_with_admin_and_reason(ada, connect, client_of, part):
    lost = []
    workstation = connect(ada, on_lost=lambda *told: lost.append(told))
    session = workstation.edit(part, level="sketch")
    root = client_of(ada.server, "root", Role.ADMIN)
    path = f"/api/items/{part.replace('/', '%2F')}/edit-sessions/{session.id}/force-release"
    assert root.call("DELETE", path, {"reason": "Holiday"}).status_code == 204
    eventually(lambda: lost)
    assert lost == [(session, Lost("force_released", "root", "Holiday"))]
    assert session.lost == lost[0][1]
    assert not session.valid
    assert workstation.sessions == []
    session.release()


def test_a_bad_token_is_refused_at_once(ada, connect):
    ada.token = "nonsense"
    with pytest.raises(AuthenticationError):
        connect(ada)


def test_unreachable_server_is_reported_after_the_patience(ada, connect):
    ada.server.kill()
    with pytest.raises(ServerUnavailableError, match="cannot be reached"):
        connect(ada, patience=0.5)


def test_unknown_item_is_reported(ada, connect):
    with pytest.raises(NotFoundError):
        connect(ada).edit("no such", level="sketch")
