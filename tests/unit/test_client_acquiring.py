"""What the helper is told of answers that were read, were refused, or never came."""

from types import SimpleNamespace

import pytest

from silo_client import HardInterferenceError, NotConnectedError, ServerUnavailableError, Wanted
from silo_client.common.obligations import Ledger
from silo_client.sessions.acquire import Acquiring
from silo_client.sessions.held import Holdings

ONE, OTHER = Wanted("P", "sketch", "A"), Wanted("P", "sketch", "B")
KEY, OTHER_KEY = ("p", "sketch", "A"), ("p", "sketch", "B")
HELD = HardInterferenceError(409, "hard_interference", "It is held.", {})
LOST = ServerUnavailableError("the answer was lost")


class Link:
    """A helper that only keeps its ledger."""

    def __init__(self):
        self.ledger = Ledger()

    def send(self, **command):
        self.ledger.obey(command)

    send_and_confirm = send

    def has_asked(self, key):
        return key in self.ledger.asked or key in self.ledger.to_leave

    def owns(self, told):
        return self.ledger.owns(told)


@pytest.fixture
def acquiring(monkeypatch):
    monkeypatch.setattr("silo_client.sessions.acquire.RETRY_SECONDS", 0.0)
    holdings = Holdings("w1", lambda: True)
    holdings.opened("c1", [])
    window = SimpleNamespace(sole=True)
    return Acquiring("w1", None, Link(), holdings, None, window, patience=20)


def answering(*answers):
    left = list(answers)

    def ask(connection):
        answer = left.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return ask


def test_what_is_refused_is_answered(acquiring):
    with pytest.raises(HardInterferenceError):
        acquiring.acquire([ONE], answering(HELD))
    assert not acquiring.link.ledger.wanted


@pytest.mark.parametrize("refusal", [HELD, NotConnectedError(409, "not_connected", "Gone.", {})])
def test_a_refusal_is_no_answer_to_an_earlier_try(acquiring, refusal):
    interrupt = KeyboardInterrupt()
    acquiring.note_not_connected = lambda connection: acquiring.holdings.opened("c2", [])
    with pytest.raises((HardInterferenceError, KeyboardInterrupt)):
        acquiring.acquire([ONE], answering(LOST, refusal, interrupt))
    assert acquiring.link.ledger.abandoned == {KEY}


def test_nor_is_one_to_what_another_thread_asks_for(acquiring):
    ledger = acquiring.link.ledger
    with acquiring.asking_for([ONE]):
        with pytest.raises(HardInterferenceError):
            acquiring.acquire([ONE, OTHER], answering(HELD))
        assert ledger.asked == {KEY}
        assert not ledger.abandoned
        with pytest.raises(KeyboardInterrupt):
            acquiring.acquire([ONE, OTHER], answering(KeyboardInterrupt()))
        # That one will read of it.
        assert ledger.asked == {KEY}
        assert ledger.abandoned == {OTHER_KEY}
    assert not ledger.asked
