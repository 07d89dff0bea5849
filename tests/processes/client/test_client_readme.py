"""What the client's README shows works as it stands there."""

import re
from pathlib import Path

import pytest

import silo_client
from sessions_app.models import EditSession
from silo_client.cli.exit_codes import ExitCode
from tests.factories import make_item

README = (Path(__file__).parents[3] / "client" / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)


@pytest.fixture
def ada(serve, client_of):
    for name in ("A01-0001", "A01-0002"):
        make_item(name)
    return client_of(serve())


def run(block, ada, names):
    names["TOKEN"] = ada.token
    exec(block.replace("https://silo.example.com", ada.server.url), names)


@pytest.mark.usefixtures("client_state")
def test_its_first_example_edits(ada, capsys):
    run(BLOCKS[0], ada, {})
    told = capsys.readouterr().out
    assert "editing with fencing token" in told
    assert "nobody else can have it now" in told
    assert not EditSession.objects.exists()


@pytest.mark.parametrize("block", BLOCKS[1:])
def test_the_others_do_too(ada, connect, block, monkeypatch):
    monkeypatch.setenv("SILO_URL", ada.server.url)
    monkeypatch.setenv("SILO_TOKEN", ada.token)
    names = {"workstation": connect(ada)}
    run(block, ada, names)
    names["workstation"].close()
    assert not EditSession.objects.exists()


def test_it_names_every_exception():
    errors = {
        name
        for name in silo_client.__all__
        if isinstance(kind := getattr(silo_client, name), type) and issubclass(kind, Exception)
    }
    told = {name for name in errors if f"`{name}`" in README}
    # What `edit` handles by itself.
    assert errors - told == {"NotConnectedError", "StaleTokenError"}


def test_it_names_every_exit_code():
    table = README.partition("| exit code |")[2].partition("\n\n")[0]
    named = {int(code) for code in re.findall(r"\b\d+\b", table.replace("128 + n", ""))}
    assert named == {int(code) for code in ExitCode}
