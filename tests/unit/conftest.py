"""Fixtures of the tests of `silo_client` and of the configuration."""

import os
import traceback
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from silo import config
from silo_client.identity import folders
from silo_client.sessions.held import HeldSessions
from tests.unit.config_texts import SECRET


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


@pytest.fixture
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the configuration is set."""
    for name in os.environ:
        if name.upper().startswith("SILO_"):
            monkeypatch.delenv(name)


@pytest.fixture
def load(tmp_path):
    def load(text="", *, required=True):
        path = tmp_path / "silo.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return config.load(path, required=required)

    return load


@pytest.fixture
def refusal(load):
    """The message with which a file is refused."""

    def refusal(text=""):
        with pytest.raises(ImproperlyConfigured) as caught:
            load(text)
        shown = "".join(traceback.format_exception(caught.value))
        assert SECRET not in shown
        assert "hunter2" not in shown
        return str(caught.value)

    return refusal
