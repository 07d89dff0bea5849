"""`silo_client`: whatever happens to a request or to a process, no lock is left behind, and no live one is ended."""

import os
import signal
import threading
import time

import pytest

from sessions_app.models import EditSession, EndedSession, PlaceInLine
from silo_client import (
    Api,
    ClosedError,
    HardInterferenceError,
    ServerUnavailableError,
    WaitTimeoutError,
    Wanted,
)
from silo_client.api import ANSWER_SECONDS
from silo_client.sessions.acquire import Acquirer
from tests.factories import let_go, make_item
from tests.processes.client.held import check_is_kept, is_free
from tests.waiting import eventually

LOST = ServerUnavailableError("the answer was lost")


@pytest.fixture
def lose_answers(monkeypatch):
    """Have the answers of a call get lost, so many times: what was asked for is done."""

    def lose(name, times=1000, error=LOST, arrives=True):
        call, left = getattr(Api, name), [times]

        def lossy(*arguments, **options):
            if not left[0]:
                return call(*arguments, **options)
            left[0] -= 1
            if arrives:
                call(*arguments, **options)
            raise error

        monkeypatch.setattr(Api, name, lossy)
        return lambda: monkeypatch.setattr(Api, name, call)

    return lose


@pytest.fixture(params=[1, 2], ids=["alone", "two windows"])
def workstation(request, ada, connect):
    """Ada's, and perhaps another window of it."""
    windows = [connect(ada, patience=4) for _ in range(request.param)]
    yield windows[0]
    assert all(window.connected for window in windows[1:])


def test_session_of_a_lost_answer_is_own_when_asked_again(workstation, part, lose_answers):
    lose_answers("acquire", times=1)
    with workstation.edit(part, level="sketch") as session:
        assert session.existing is False
    eventually(is_free)
    assert [one.reason for one in EndedSession.objects.all()] == ["released"]


def test_sessions_of_lost_answers_are_released_when_not_asked_again(
    workstation, part, lose_answers
):
    lose_answers("acquire")
    with pytest.raises(ServerUnavailableError):
        workstation.edit(part, level="sketch")
    eventually(is_free)
    assert EndedSession.objects.exists()


def test_session_of_a_lost_answer_stays_when_another_thread_asks(workstation, part, lose_answers):
    mend = lose_answers("acquire")
    with pytest.raises(ServerUnavailableError):
        workstation.edit(part, level="sketch")
    mend()
    with workstation.edit(part, level="sketch") as session:
        assert session.existing is False
        check_is_kept()
        assert session.valid
    eventually(is_free)


def test_session_of_another_instance_is_not_released(ada, connect, part, lose_answers):
    first, second = connect(ada), connect(ada, patience=4)
    held = first.edit(part, level="sketch")
    lose_answers("acquire")
    with pytest.raises(ServerUnavailableError):
        second.edit(part, level="sketch")
    second.close()
    assert held.valid
    assert EditSession.objects.get().pk.hex == held.id.replace("-", "")


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("error", [LOST, KeyboardInterrupt()], ids=["lost", "interrupted"])
def test_a_release_that_fails_goes_on_in_the_helper(
    ada, connect, part, lose_answers, arrives, error
):
    workstation = connect(ada)
    session = workstation.edit(part, level="sketch")
    lose_answers("release", times=1, error=error, arrives=arrives)
    if error is LOST:
        session.release()
    else:
        with pytest.raises(KeyboardInterrupt):
            session.release()
    assert not session.valid
    eventually(is_free)
    # What comes after it is another one, and stays.
    with workstation.edit(part, level="sketch") as again:
        assert again.id != session.id
        check_is_kept()
        assert again.valid


def test_failed_release_goes_on_when_the_program_ends(ada, connect, part, lose_answers):
    workstation, other = connect(ada), connect(ada)
    session = workstation.edit(part, level="sketch")
    lose_answers("release", arrives=False)
    session.release()
    workstation.close()
    eventually(is_free)
    assert other.connected


def test_an_interrupted_hand_over_keeps_the_session(ada, bob, connect, part, lose_answers):
    asked = []
    held = connect(bob, on_handoff_request=asked.append).edit(part, level="sketch")
    mine = connect(ada)
    mine.request_handoff(held.id, part, "please")
    eventually(lambda: asked)
    lose_answers("hand_off", times=1, error=KeyboardInterrupt(), arrives=False)
    with pytest.raises(KeyboardInterrupt):
        held.hand_over(mine.id)
    eventually(lambda: held.valid)


@pytest.mark.parametrize("arrives", [True, False])
def test_failed_leaving_of_a_line_goes_on_in_the_helper(
    ada, bob, connect, part, lose_answers, arrives
):
    held = connect(bob).edit(part, level="sketch")
    workstation = connect(ada)
    lose_answers("leave_line", arrives=arrives)
    with pytest.raises(WaitTimeoutError):
        workstation.edit(part, level="sketch", wait=0.3)
    eventually(lambda: not PlaceInLine.objects.exists())
    held.release()
    eventually(is_free)


def test_place_of_a_lost_answer_is_given_up(ada, bob, connect, part, lose_answers):
    held = connect(bob).edit(part, level="sketch")
    workstation = connect(ada)
    lose_answers("stand")
    calls = []

    def end_it(waiting):
        calls.append(waiting)

    with pytest.raises(WaitTimeoutError):
        workstation.edit(part, level="sketch", wait=0.5, on_wait=end_it)
    assert not calls, "it never had a place, as far as it knew"
    eventually(lambda: not PlaceInLine.objects.exists())
    held.release()
    eventually(is_free)


def test_turn_that_comes_while_leaving_the_line_leaves_no_orphan(workstation, bob, connect, part):
    held = connect(bob).edit(part, level="sketch")

    def interrupt(waiting):
        held.release()
        eventually(lambda: EditSession.objects.filter(workstation=workstation.id).exists())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        workstation.edit(part, level="sketch", wait=True, on_wait=interrupt)
    eventually(is_free)


def test_turn_of_a_dead_instance_is_freed_while_another_lives(ada, bob, connect, run_program, part):
    held = connect(bob).edit(part, level="sketch")
    dying, other = run_program(ada), connect(ada)
    dying.send("edit", {"part_number": part, "level": "sketch", "wait": True})
    eventually(PlaceInLine.objects.exists)
    # It does not take its turn any more.
    dying.signal(signal.SIGSTOP)
    held.release()
    eventually(lambda: EditSession.objects.filter(workstation=other.id).exists())
    dying.kill()
    eventually(is_free)
    assert other.connected


def test_waiting_instance_inherits_the_place_of_a_dead_one(
    ada, bob, connect, run_program, part, monkeypatch
):
    monkeypatch.setattr("silo_client.sessions.line.LOOK_SECONDS", 0.1)
    held = connect(bob).edit(part, level="sketch")
    dying, other = run_program(ada), connect(ada)
    dying.send("edit", {"part_number": part, "level": "sketch", "wait": True})
    eventually(PlaceInLine.objects.exists)
    os.kill(dying.helper_pid, signal.SIGKILL)
    dying.kill()
    inherits, inherited = Acquirer.inherits, []
    monkeypatch.setattr(
        Acquirer, "inherits", lambda *told: inherited.append(inherits(*told)) or inherited[-1]
    )

    def release(waiting):
        if True in inherited:
            held.release()

    with other.edit(part, level="sketch", wait=True, on_wait=release) as session:
        assert session.existing is False
    eventually(is_free)


def test_later_session_is_no_orphan(ada, bob, connect, part, lose_answers):
    held = connect(bob).edit(part, level="sketch")
    workstation = connect(ada)
    lose_answers("leave_line", times=1, arrives=False)
    with pytest.raises(WaitTimeoutError):
        workstation.edit(part, level="sketch", wait=0.3)
    with pytest.raises(HardInterferenceError):
        workstation.edit(part, level="sketch")
    eventually(lambda: not PlaceInLine.objects.exists())
    held.release()
    with workstation.edit_all([Wanted(part, "sketch")]) as sessions:
        check_is_kept()
        assert sessions.valid


def test_closing_ends_the_waiting_of_other_threads(ada, bob, connect, part):
    connect(bob).edit(part, level="sketch")
    workstation = connect(ada)
    outcome, waiting = [], []

    def wait():
        try:
            workstation.edit(part, level="sketch", wait=True, on_wait=waiting.append)
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    eventually(lambda: waiting)
    workstation.close()
    thread.join(20)
    assert isinstance(outcome[0], ClosedError)
    with pytest.raises(ClosedError):
        workstation.edit(part, level="sketch")
    assert not PlaceInLine.objects.exists()


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "a thread"])
def test_a_callback_may_close(ada, connect, part, inline):
    closed = threading.Event()

    def close(*_):
        workstation.close()
        closed.set()

    options = {"dispatch": lambda call: call()} if inline else {}
    workstation = connect(ada, on_lost=close, **options)
    session = workstation.edit(part, level="sketch")
    let_go(session.id)
    assert closed.wait(20)
    workstation.close()


def test_failing_callbacks_do_no_harm(ada, connect, part):
    events = []

    def fail(*_):
        events.append(1)
        raise SystemExit

    workstation = connect(ada, on_event=fail)
    for number in range(3):
        make_item(f"C-{number}")
        with workstation.edit(f"C-{number}", level="sketch"):
            pass
    eventually(lambda: len(events) == 6)


def test_failing_dispatch_does_no_harm(ada, connect, part):
    def fail(call):
        raise RuntimeError("the window is gone")

    workstation = connect(ada, dispatch=fail, on_lost=print)
    first = workstation.edit(part, level="sketch", object_id="A")
    let_go(first.id)
    eventually(lambda: first.lost)
    assert workstation.edit(part, level="sketch", object_id="B").valid


def test_a_slow_answer_is_repeated_before_the_patience_is_over(ada, connect):
    assert connect(ada)._acquirer.patience > ANSWER_SECONDS


def test_many_threads_edit_and_leave_at_once(ada, connect, part):
    workstation = connect(ada)
    failures = []

    def work(number):
        try:
            until = time.monotonic() + 3
            while time.monotonic() < until:
                # Two threads share each lock.
                with workstation.edit(part, level="sketch", object_id=f"{number // 2}") as session:
                    assert session.lost is None
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    eventually(is_free)
    assert workstation.sessions == []
