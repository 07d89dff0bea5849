"""What `silo edit` says of a session whose command has ended."""

from types import SimpleNamespace

import pytest

from silo_client import Lock, Lost, ServerUnavailableError, StaleTokenError
from silo_client.cli.editing.guard import Guard

LOCK = Lock("P", "sketch", "")
STALE = StaleTokenError(409, "stale_token", "This session has ended.", {})
AWAY = ServerUnavailableError("The server cannot be reached.")


def session(valid, lost=None):
    return SimpleNamespace(
        lock=LOCK, part_number="P", id="s1", fencing_token=1, valid=valid, lost=lost
    )


@pytest.fixture
def kept():
    """Whether a session was kept, at a server that answers so."""

    def kept(of, answer=None):
        def verify(*_):
            if isinstance(answer, Exception):
                raise answer

        guard = Guard(SimpleNamespace(verify=verify), lambda: None)
        return guard.is_kept(of)

    return kept


def test_valid_session_needs_no_request(kept, capsys):
    assert kept(session(valid=True), AWAY) is True
    assert kept(session(valid=False, lost=Lost("expired")), AWAY) is False
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "expected", "said"),
    [(None, True, ""), (STALE, False, "LOST"), (AWAY, None, "not certain")],
)
def test_uncertain_session_is_verified(kept, capsys, answer, expected, said):
    assert kept(session(valid=False), answer) is expected
    assert said in capsys.readouterr().err
