"""`silo_client`: standing in line, hand-offs, soft interference that ends, idleness."""

import os
import signal
import threading
import time

import pytest

from sessions_app import operations
from sessions_app.models import EditSession, EndedSession, HandoffRequest, PlaceInLine, Workstation
from silo_client import (
    Api,
    ApiError,
    InvalidRequestError,
    Lock,
    ServerUnavailableError,
    WaitTimeoutError,
)
from silo_client import HandoffRequest as Asked
from tests.factories import let_go
from tests.processes.client.held import check_is_kept
from tests.waiting import eventually


class Waiter(threading.Thread):
    """Waits for a session in a thread of its own."""

    def __init__(self, workstation, part, **options):
        super().__init__(daemon=True)
        self.calls = []
        self.outcome = None
        self._edit = lambda: workstation.edit(
            part, level="sketch", on_wait=self.calls.append, **{"wait": True, **options}
        )
        self.start()

    def run(self):
        try:
            self.outcome = self._edit()
        except Exception as error:
            self.outcome = error

    @property
    def session(self):
        return eventually(lambda: self.outcome)


@pytest.fixture
def waiter():
    started = []

    def start(*arguments, **options):
        started.append(Waiter(*arguments, **options))
        return started[-1]

    return start


def test_waiting_call_reports_the_line_and_gets_its_turn(ada, bob, connect, waiter, part):
    held = connect(bob, name="bob's").edit(part, level="sketch")
    first = waiter(connect(ada, program="1"), part)
    eventually(lambda: first.calls)
    second = waiter(connect(ada, program="2"), part)
    eventually(lambda: second.calls)
    told = second.calls[-1]
    assert (told.position, told.lock) == (2, Lock(part, "sketch"))
    assert (told.holder.user, told.holder.workstation) == ("bob", "bob's")
    assert 0 <= told.seconds < 60
    held.release()
    assert first.session.valid
    assert first.session.existing is False
    assert second.outcome is None
    first.session.release()
    second.session.release()
    assert [one.reason for one in EndedSession.objects.all()] == ["released"] * 3
    assert not PlaceInLine.objects.exists()


def test_free_lock_is_granted_at_once(ada, connect, part):
    workstation = connect(ada)
    with workstation.edit(part, level="sketch", wait=5) as session:
        assert session.valid
        assert session.existing is False


def test_wait_that_times_out_leaves_the_line(ada, bob, connect, part):
    connect(bob).edit(part, level="sketch")
    with pytest.raises(WaitTimeoutError, match="not free within"):
        connect(ada).edit(part, level="sketch", wait=0.5)
    assert not PlaceInLine.objects.exists()


def test_exception_of_the_callback_ends_the_waiting(ada, bob, connect, part):
    connect(bob).edit(part, level="sketch")

    def cancel(waiting):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        connect(ada).edit(part, level="sketch", wait=True, on_wait=cancel)
    eventually(lambda: not PlaceInLine.objects.exists())


def test_position_moves_up(ada, bob, connect, waiter, client_of, monkeypatch, part):
    monkeypatch.setattr("silo_client.sessions.line.LOOK_SECONDS", 0.1)
    connect(bob).edit(part, level="sketch")
    carols = connect(client_of(ada.server, "carol"))
    before = waiter(carols, part)
    eventually(lambda: before.calls)
    waiting = waiter(connect(ada), part)
    eventually(lambda: waiting.calls and waiting.calls[-1].position == 2)
    carols.close()
    eventually(lambda: waiting.calls[-1].position == 1)


def test_a_lost_place_is_taken_anew(ada, bob, connect, waiter, monkeypatch, part):
    monkeypatch.setattr("silo_client.sessions.line.LOOK_SECONDS", 0.1)
    held = connect(bob).edit(part, level="sketch")
    waiting = waiter(connect(ada), part)
    eventually(lambda: waiting.calls)
    old = PlaceInLine.objects.get()
    operations.line.step_out(old.pk)
    eventually(lambda: PlaceInLine.objects.exclude(pk=old.pk).exists())
    held.release()
    assert waiting.session.valid


def test_turn_comes_in_spite_of_the_helpers_death(ada, bob, connect, waiter, part):
    held = connect(bob).edit(part, level="sketch")
    workstation = connect(ada)
    waiting = waiter(workstation, part)
    eventually(lambda: waiting.calls)
    old = PlaceInLine.objects.get()
    os.kill(workstation.helper_pid, signal.SIGKILL)
    # A departure: the place was lost, and is taken again.
    eventually(lambda: PlaceInLine.objects.exclude(pk=old.pk).exists())
    held.release()
    assert waiting.session.valid


def test_a_turn_that_comes_over_an_interrupted_stream_is_found(
    serve, client_of, connect, waiter, part
):
    ada = client_of(serve(SILO_DISCONNECT_GRACE_SECONDS="60"))
    held = connect(client_of(ada.server, "bob")).edit(part, level="sketch")
    workstation = connect(ada)
    waiting = waiter(workstation, part)
    eventually(lambda: waiting.calls)
    os.kill(workstation.helper_pid, signal.SIGKILL)
    held.release()
    assert waiting.session.valid
    assert waiting.session.existing is False
    waiting.session.release()
    assert not EditSession.objects.exists()


def test_the_holder_is_asked_and_hands_over(ada, bob, connect, waiter, part):
    asked = []
    theirs = connect(bob, on_handoff_request=asked.append)
    held = theirs.edit(part, level="sketch", object_id="Pad")
    mine = connect(ada)
    waiting = waiter(mine, part, object_id="Pad", ask="The drawing is due.")
    eventually(lambda: asked)
    lock = Lock(part, "sketch", "Pad")
    assert asked == [Asked(lock, held.id, "ada", "The drawing is due.", mine.id, "ada")]
    held.hand_over(asked[0].workstation_id)
    assert waiting.session.fencing_token > held.fencing_token
    assert (held.valid, held.lost) == (False, None)
    assert EndedSession.objects.get().reason == "handed_off"
    assert not HandoffRequest.objects.exists()


def test_the_holder_is_asked_until_the_server_has_heard_it_and_so_is_the_next_one(
    ada, bob, connect, waiter, client_of, monkeypatch, part
):
    monkeypatch.setattr("silo_client.sessions.line.LOOK_SECONDS", 0.1)
    ask, answers = Api.request_handoff, [ServerUnavailableError("not now")]

    def asks(*arguments):
        if answers:
            raise answers.pop()
        return ask(*arguments)

    monkeypatch.setattr(Api, "request_handoff", asks)
    held, asked = connect(bob).edit(part, level="sketch"), []
    carols = connect(client_of(ada.server, "carol"), on_handoff_request=asked.append)
    first = waiter(carols, part)
    eventually(lambda: first.calls)
    second = waiter(connect(ada), part, ask="please")
    eventually(HandoffRequest.objects.exists)
    assert not answers
    assert second.calls[-1].holder.user == "bob"
    held.release()
    assert eventually(lambda: asked)[0].requester == "ada"
    eventually(lambda: second.calls[-1].holder.user == "carol")
    first.session.release()
    assert second.session.valid


def test_refused_message_is_reported(ada, bob, connect, part):
    connect(bob).edit(part, level="sketch")
    with pytest.raises(InvalidRequestError, match="message"):
        connect(ada).edit(part, level="sketch", ask="two\nlines")
    eventually(lambda: not PlaceInLine.objects.exists())


def test_a_hand_over_that_is_refused_keeps_the_session(ada, bob, connect, part):
    mine = connect(ada)
    held = mine.edit(part, level="sketch")
    with pytest.raises(ApiError) as caught:
        held.hand_over(connect(bob).id)
    assert caught.value.code == "not_requested"
    assert held.valid
    held.release()
    assert not EditSession.objects.exists()


def test_handed_over_session_is_unclaimed_until_edited(ada, bob, connect, part):
    asked, events = [], []
    theirs = connect(bob, on_handoff_request=asked.append)
    held = theirs.edit(part, level="sketch")
    mine = connect(ada, on_event=lambda name, data: events.append(name))
    mine.request_handoff(held.id, part, "please")
    eventually(lambda: asked)
    held.hand_over(mine.id)
    eventually(lambda: "edit.session_granted" in events)
    [told] = mine.unclaimed()
    assert told["part_number"] == part
    with mine.edit(part, level="sketch") as session:
        assert (session.id, session.existing) == (told["session_id"], False)
    assert not EditSession.objects.exists()


def test_end_of_soft_interference_is_reported(ada, bob, connect, part):
    events = []
    theirs = connect(bob).edit(part, level="sketch", object_id="A", cone=["n1"])
    workstation = connect(ada, on_event=lambda *told: events.append(told))
    mine = workstation.edit(part, level="sketch", object_id="B", cone=["n1"])
    theirs.release()
    eventually(lambda: [d for n, d in events if n == "edit.interference_resolved"])
    [resolved] = [data for name, data in events if name == "edit.interference_resolved"]
    assert (resolved["session_id"], resolved["with_session_id"]) == (mine.id, theirs.id)


def test_server_learns_the_idle_time(ada, connect, run_program, part):
    workstation = connect(ada)
    workstation.edit(part, level="sketch")
    check_is_kept()
    assert Workstation.objects.get().idle_since is None, "nobody says anything"
    workstation.touched()
    touched = time.time()
    idle = eventually(lambda: Workstation.objects.get().idle_since)
    assert idle.timestamp() == pytest.approx(touched, abs=1)
    # Whoever works goes on: after one touch it would be idle again before a busy machine has looked.
    eventually(lambda: workstation.touched() or Workstation.objects.get().idle_since is None)


def test_workstation_is_idle_when_all_instances_are(ada, connect, part):
    idle, busy = connect(ada), connect(ada)
    assert idle.id == busy.id
    idle.edit(part, level="sketch")
    idle.touched()
    eventually(lambda: Workstation.objects.get().idle_since)
    stop = threading.Event()

    def work():
        while not stop.wait(0.05):
            busy.touched()

    working = threading.Thread(target=work)
    working.start()
    try:
        eventually(lambda: Workstation.objects.get().idle_since is None)
    finally:
        stop.set()
        working.join()


def test_callbacks_come_where_a_program_wants_them(ada, connect, part):
    calls = []
    lost = []
    workstation = connect(ada, dispatch=calls.append, on_lost=lambda *told: lost.append(told))
    session = workstation.edit(part, level="sketch")
    let_go(session.id)
    eventually(lambda: calls)
    assert not lost
    for call in calls:
        call()
    assert lost == [(session, session.lost)]
