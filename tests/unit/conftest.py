"""Fixtures of the tests of `silo_client`."""

from pathlib import Path

import pytest

from silo_client.identity import folders
from silo_client.sessions.held import HeldSessions


@pytest.fixture
def held() -> HeldSessions:
    """What an instance holds that has a stream and is not the only one of its workstation."""
    made = HeldSessions(lambda: False)
    made.opened("c1", [])
    return made


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder, which is not there yet."""
    folder = tmp_path / "state"
    monkeypatch.setenv(folders.STATE_VARIABLE, str(folder))
    return folder
