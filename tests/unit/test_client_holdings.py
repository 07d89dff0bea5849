"""What a client knows of its sessions, in whichever order the helper and the server's answers tell it."""

import threading
import time
from types import SimpleNamespace

import pytest

from silo_client import Lock, Lost, ServerUnavailableError, SiloError
from silo_client.sessions.edit_session import EditSession
from silo_client.sessions.held import REMEMBERED_ENDS, HeldSessions
from tests.unit.told import told

WORKSTATION = SimpleNamespace(id="w1")


@pytest.fixture
def take(held):
    def take(session=None, connection="c1", owned=False, of=held):
        return of.take(EditSession(WORKSTATION, session or told()), connection, owned=owned)

    return take


def test_acquired_session_is_held_and_confirmed(held, take):
    session = take()
    assert held.sessions == [session]
    assert held.is_confirmed(session)


def test_an_end_that_overtakes_the_answer_is_not_forgotten(held, take):
    assert held.ended("s1", "disconnected") is None
    assert take() is None
    assert held.sessions == []


def test_not_every_end_is_remembered_for_ever(held, take):
    for number in range(REMEMBERED_ENDS + 1):
        held.ended(f"other {number}", "released")
    assert take(told("other 0")) is not None
    assert take(told("other 1")) is None


def test_session_of_an_earlier_connection_is_unconfirmed(held, take):
    held.opened("c2", [])
    session = take(connection="c1")
    assert not held.is_confirmed(session)
    [(doubted, doubt)] = held.unconfirmed.items()
    held.confirm(doubted, doubt, told(fencing_token=1))
    assert held.is_confirmed(session)


def test_session_missing_in_stream_open_is_unconfirmed(held, take):
    kept, gone = take(), take(told("s2", "B"))
    held.opened("c2", [told(fencing_token=5)])
    assert held.is_confirmed(kept)
    assert kept.fencing_token == 5
    assert list(held.unconfirmed) == [gone]


def test_older_answer_does_not_confirm_a_newer_mark(held, take):
    session = take()
    held.mark_unconfirmed()
    [first] = held.unconfirmed.values()
    held.mark_unconfirmed()
    held.confirm(session, first, told(fencing_token=1))
    assert not held.is_confirmed(session)
    [second] = held.unconfirmed.values()
    held.confirm(session, second, told(fencing_token=1))
    assert held.is_confirmed(session)


def test_force_release_names_the_admin(held, take):
    session = take()
    held.forced(told() | {"by": "root", "reason": "Holiday"})
    assert held.ended("s1", "force_released") is session
    assert session.lost == Lost("force_released", "root", "Holiday")
    assert str(session.lost) == "force_released by root: Holiday"
    assert held.ended("s1", "force_released") is None
    assert not held.lose(session, Lost("unknown"))
    assert session.lost.by == "root"


def test_own_release_is_no_loss(held, take):
    session = take()
    assert held.let_go(session)
    assert not held.let_go(session)
    assert held.ended("s1", "released") is None
    assert (session.released, session.lost) == (True, None)


def test_kept_session_is_held_again_unless_it_ended(held, take):
    session, other = take(), take(told("s2", "B"))
    for one in (session, other):
        held.let_go(one)
    held.ended("s2", "expired")
    for one in (session, other):
        held.keep(one)
    assert held.sessions == [session]
    assert (session.released, other.released, other.lost) == (False, False, Lost("expired"))


def test_answer_older_than_the_own_release_is_ignored(held, take):
    session = take()
    held.let_go(session)
    assert take(told(existing=True)) is None
    held.opened("c2", [told()])
    held.granted(told())
    assert held.granted_for(session.lock, 0) is None


def test_an_older_answer_does_not_bring_an_old_token_back(held, take):
    session = take(told(fencing_token=5))
    held.opened("c2", [told(fencing_token=4)])
    assert session.fencing_token == 5
    held.confirm(session, 0, told(fencing_token=7))
    assert session.fencing_token == 7


def test_the_last_of_several_blocks_ends_it(held, take):
    session = take()
    assert take(told(existing=True)) is session
    assert not held.leave(session)
    assert held.leave(session)


def test_existing_session_stays_when_a_block_ends(held, take):
    session = take(told(existing=True))
    assert session.existing
    assert not held.leave(session)
    assert held.sessions == []
    assert not held.is_confirmed(session)


def test_session_found_by_a_repeated_request_is_own(held, take):
    assert not take(told(existing=True, connection_id="c1"), owned=True).existing


def test_session_of_another_instances_turn_is_existing(held, take):
    held.granted(told(connection_id="c9"))
    assert take(told(existing=False, connection_id="c9")).existing


@pytest.mark.parametrize("existing", [True, False])
def test_existing_of_an_old_server_is_kept(take, existing):
    assert take(told(existing=existing)).existing is existing


@pytest.mark.parametrize("sole", [True, False])
def test_sole_instance_inherits_the_first_streams_sessions(take, sole):
    held = HeldSessions(lambda: sole)
    held.opened("c1", [told()])
    held.opened("c2", [told(), told("s2", "B")])
    assert take(told(existing=True), "c2", of=held).existing is not sole
    assert take(told("s2", "B", existing=True), "c2", of=held).existing


def test_a_turn_is_found_by_its_lock_and_only_once(held, take):
    held.granted(told("s1", "A"))
    assert held.granted_for(Lock("P", "sketch", "B"), time.monotonic()) is None
    granted = held.granted_for(Lock("P", "sketch", "A"), time.monotonic())
    assert granted["session_id"] == "s1"
    take(granted)
    assert held.granted_for(Lock("P", "sketch", "A"), time.monotonic()) is None
    held.granted(told("s1", "A"))
    assert held.granted_for(Lock("P", "sketch", "A"), time.monotonic()) is None


def test_a_turn_that_was_lost_again_is_none(held):
    for end in (lambda: held.ended("s1", "expired"), lambda: held.opened("c2", [])):
        held.granted(told("s1", "A"))
        end()
        assert held.granted_for(Lock("P", "sketch", "A"), time.monotonic()) is None


def test_granted_turn_wakes_the_waiting_thread(held):
    threading.Timer(0.05, held.granted, [told()]).start()
    begun = time.monotonic()
    assert held.granted_for(Lock("P", "sketch", "A"), begun + 20)
    assert time.monotonic() < begun + 10


def test_await_connection_waits(held):
    assert held.await_connection(0) == "c1"
    with pytest.raises(ServerUnavailableError):
        held.await_connection(0, other_than="c1")
    held.interrupted()
    with pytest.raises(ServerUnavailableError):
        held.await_connection(0)
    threading.Timer(0.05, held.opened, ["c2", []]).start()
    assert held.await_connection(time.monotonic() + 20, other_than="c1") == "c2"


def test_give_up_ends_all_waiting(held):
    why = SiloError("withdrawn")
    threading.Timer(0.05, held.give_up, [why]).start()
    with pytest.raises(SiloError, match="withdrawn"):
        held.await_connection(time.monotonic() + 20, other_than="c1")
    with pytest.raises(SiloError, match="withdrawn"):
        held.await_connection(0)
    assert held.granted_for(Lock("P", "sketch", "A"), time.monotonic() + 20) is None
