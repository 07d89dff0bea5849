"""`silo_client` in a program that forks: nothing of what the parent has ends with a child, however that ends."""

import multiprocessing
import os
import signal

import pytest

from sessions_app.models import EditSession, PlaceInLine
from silo_client import ForkedError, Wanted, Workstation
from tests.processes.client.held import check_is_kept
from tests.waiting import eventually


def in_child(work):
    """Do something in a forked child; return its exit code: 0 where nothing was raised."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            signal.alarm(20)
            work()
            code = 0
        except BaseException as error:
            os.write(2, f"in the child: {error!r}\n".encode())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def check_stays(session):
    check_is_kept(session.id)
    assert session.valid


def refused(call, *arguments, **options):
    with pytest.raises(ForkedError, match="connect in the child"):
        call(*arguments, **options)


def test_a_child_that_leaves_the_block_releases_nothing(ada, connect, part):
    workstation = connect(ada)
    with workstation, workstation.edit(part, level="sketch") as session:

        def leave():
            session.__exit__(None, None, None)
            workstation.__exit__(None, None, None)
            workstation.close()

        assert in_child(leave) == 0
        check_stays(session)
        assert workstation.connected
    assert not EditSession.objects.exists()


def test_child_that_leaves_a_batch_by_an_error_releases_nothing(ada, connect, part):
    workstation = connect(ada)

    def fail():
        with workstation.edit_all([Wanted(part, "sketch")]) as sessions:
            held.extend(sessions)
            if pid := os.fork():
                assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
                check_stays(sessions[0])
            else:
                signal.alarm(20)
                raise MemoryError

    held = []
    parent = os.getpid()
    try:
        fail()
    except MemoryError:
        os._exit(3 if os.getpid() != parent else 0)
    assert held[0].released


def test_child_that_uses_the_workstation_gets_forked_error(ada, connect, part):
    workstation = connect(ada)
    session = workstation.edit(part, level="sketch")

    def use():
        assert not session.valid
        assert not workstation.connected
        refused(session.release)
        refused(session.hand_over, workstation.id)
        refused(workstation.edit, part, level="sketch")
        refused(workstation.edit_all, [Wanted(part, "sketch")])
        refused(workstation.take_over, Wanted(part, "sketch"), session.id, "why")
        refused(workstation.request_handoff, session.id, part, "please")
        refused(workstation.unclaimed)
        refused(workstation.touched)
        refused(lambda: workstation.sessions)

    # Whatever the parent's threads were about to do.
    with workstation.held._changed, workstation._link._sending, workstation._acquirer._lock:
        assert in_child(use) == 0
    check_stays(session)


def test_child_that_connects_is_another_instance(ada, connect, part):
    workstation = connect(ada)
    session = workstation.edit(part, level="sketch")

    def connect_again():
        own = Workstation.connect(ada.server.url, ada.token)
        with own, own.edit(part, level="sketch") as again:
            assert (again.id, again.existing) == (session.id, True)

    assert in_child(connect_again) == 0
    check_stays(session)


def test_child_forked_while_waiting_keeps_the_place_in_line(ada, client_of, connect, part):
    held = connect(client_of(ada.server, "bob")).edit(part, level="sketch")
    parent = os.getpid()

    def fork(_):
        if children:
            return
        if not (pid := os.fork()):
            signal.alarm(20)
            return
        children.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        assert PlaceInLine.objects.count() == 1
        held.release()

    children = []
    try:
        session = connect(ada).edit(part, level="sketch", wait=20, on_wait=fork)
    except ForkedError:
        os._exit(5 if os.getpid() != parent else 0)
    assert children == [5]
    check_stays(session)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_of_a_pool_end_nothing(ada, connect, part):
    workstation = connect(ada)
    with workstation.edit(part, level="sketch") as session:
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(abs, range(-3, 3)) == [3, 2, 1, 0, 1, 2]
        check_stays(session)


def test_a_child_that_lives_on_keeps_nothing_of_a_parent_that_dies(ada, run_program, part):
    program = run_program(ada)
    session = program.edit(part)
    child = program.ask("fork")
    assert program.ask("valid") == [True]
    os.kill(child, 0)
    program.kill()
    eventually(lambda: not EditSession.objects.filter(pk=session["session_id"]).exists())
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("how", ["exit", "collect"])
def test_a_child_that_ends_as_programs_do_ends_nothing(ada, run_program, part, how):
    program = run_program(ada)
    session = program.edit(part)
    assert program.ask("fork_and_end", how) == 0
    check_is_kept(session["session_id"])
    assert program.ask("valid") == [True]
