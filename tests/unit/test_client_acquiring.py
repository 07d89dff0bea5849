"""What the helper is told of answers that were read, were refused, or never came."""

import threading
from types import SimpleNamespace

import pytest

from silo_client import (
    HardInterferenceError,
    NotConnectedError,
    ServerUnavailableError,
    Wanted,
    within,
)
from silo_client.common.obligations import Obligations
from silo_client.link.helper_link import Sent
from silo_client.network.time_limit import left
from silo_client.sessions.acquire import Acquirer
from silo_client.sessions.held import HeldSessions

ONE, OTHER = Wanted("P", "sketch", "A"), Wanted("P", "sketch", "B")
LOCK, OTHER_LOCK = ONE.lock, OTHER.lock
HELD = HardInterferenceError(409, "hard_interference", "It is held.", {})
LOST = ServerUnavailableError("the answer was lost")


class Link:
    """A helper that only keeps its obligations."""

    def __init__(self):
        self.obligations = Obligations()
        self.sent = Sent(None)

    def send(self, **command):
        self.obligations.apply(command)
        return self.sent

    send_and_confirm = send

    def has_asked(self, lock):
        return lock in self.obligations.asked or lock in self.obligations.to_leave

    def owns(self, payload):
        return self.obligations.owns(payload)


@pytest.fixture
def acquirer(monkeypatch):
    monkeypatch.setattr("silo_client.sessions.acquire.RETRY_SECONDS", 0.0)
    held = HeldSessions(lambda: True)
    held.opened("c1", [])
    instance = SimpleNamespace(sole=True)
    return Acquirer("w1", None, Link(), held, None, instance, patience=20)


def answering(*answers):
    left = list(answers)

    def ask(connection):
        answer = left.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return ask


def test_refusal_answers_the_request(acquirer):
    with pytest.raises(HardInterferenceError):
        acquirer.acquire([ONE], answering(HELD))
    assert not acquirer.link.obligations.wanted


@pytest.mark.parametrize("refusal", [HELD, NotConnectedError(409, "not_connected", "Gone.", {})])
def test_refusal_does_not_answer_an_earlier_try(acquirer, refusal):
    interrupt = KeyboardInterrupt()
    acquirer.note_not_connected = lambda connection: acquirer.held.opened("c2", [])
    with pytest.raises((HardInterferenceError, KeyboardInterrupt)):
        acquirer.acquire([ONE], answering(LOST, refusal, interrupt))
    assert acquirer.link.obligations.abandoned == {LOCK}


def test_refusal_does_not_answer_another_thread(acquirer):
    obligations = acquirer.link.obligations
    with acquirer.asking_for([ONE]):
        with pytest.raises(HardInterferenceError):
            acquirer.acquire([ONE, OTHER], answering(HELD))
        assert obligations.asked == {LOCK}
        assert not obligations.abandoned
        with pytest.raises(KeyboardInterrupt):
            acquirer.acquire([ONE, OTHER], answering(KeyboardInterrupt()))
        # That one will read of it.
        assert obligations.asked == {LOCK}
        assert obligations.abandoned == {OTHER_LOCK}
    assert not obligations.asked


def test_the_patience_of_a_call_is_the_limit_of_its_requests(acquirer):
    seen = []

    def ask(connection):
        seen.append(left())
        raise HELD

    for patience in (None, 3):
        with pytest.raises(HardInterferenceError):
            acquirer.acquire([ONE], ask, patience)
    with within(1), pytest.raises(HardInterferenceError):
        acquirer.acquire([ONE], ask, 3)
    assert [round(seconds) for seconds in seen] == [20, 3, 1]


def test_no_session_is_asked_for_of_which_the_helper_does_not_know(acquirer):
    acquirer.link.sent = Sent(threading.Event())
    asked = []
    with pytest.raises(ServerUnavailableError, match="helper"):
        acquirer.acquire([ONE], asked.append, 0.1)
    assert not asked


def test_each_thread_that_asks_again_waits_for_the_helper(acquirer):
    with pytest.raises(KeyboardInterrupt):
        acquirer.acquire([ONE], answering(KeyboardInterrupt()))
    waiting, confirmed = threading.Barrier(3), threading.Event()

    def send_and_confirm():
        waiting.wait(20)
        confirmed.wait(20)

    def ask():
        with pytest.raises(HardInterferenceError):
            acquirer.acquire([ONE], answering(HELD))

    acquirer.link.send_and_confirm = send_and_confirm
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        waiting.wait(20)
    finally:
        confirmed.set()
        for thread in threads:
            thread.join()
    # It has confirmed: nobody waits any more.
    ask()
