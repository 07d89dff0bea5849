"""`silo` under what shells, cron jobs and services leave odd: none of it is "a bug in silo"."""

import os
import subprocess
import sys

import pytest

from silo_client.cli.environment import drop_odd_widths, readable
from silo_client.cli.exit_codes import CommandError
from silo_client.credentials import CredentialsError, config_folder, current
from silo_client.errors import ConfigurationError, StateError
from silo_client.identity import instances
from silo_client.identity.fingerprint import default_fingerprint


@pytest.fixture
def shell(tmp_path):
    """Run a line in a shell, in which `silo` is it, with a server that nobody runs."""

    def run(line, **env):
        silo = f"{sys.executable} -m silo_client.cli"
        return subprocess.run(
            ["sh", "-c", line.replace("silo", silo)],
            env=os.environ
            | {"SILO_URL": "http://127.0.0.1:1", "SILO_TOKEN": "t", "NO_PROXY": "*"}
            | {"SILO_STATE": str(tmp_path / "state"), "SILO_CONFIG_HOME": str(tmp_path)}
            | env,
            capture_output=True,
            timeout=60,
        )

    return run


@pytest.mark.parametrize(
    ("line", "env", "code"),
    [
        ("silo --help | head -1", {}, 0),
        ("silo --help >/dev/full", {}, 1),
        ("silo who >&-", {}, 8),
        ("silo who <&- >&- 2>&-", {}, 8),
        ("silo login http://127.0.0.1:1 <&-", {}, 2),
        ("silo login http://127.0.0.1:1 --token-stdin <&-", {}, 2),
        ("silo who --help", {"TERMINAL_WIDTH": "wide", "COLUMNS": "0"}, 0),
        ("silo who Gehäuse", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, 8),
        ("silo who $(printf 'Geh\\344use')", {"LC_ALL": "C.UTF-8"}, 2),
    ],
)
def test_odd_environments_are_no_bug(shell, line, env, code):
    done = shell(line, **env)
    assert b"bug in silo" not in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.returncode == code, done.stderr


@pytest.mark.parametrize(
    ("missing", "named"), [(["typer"], "typer"), (["rich", "typer"], "rich and typer")]
)
def test_without_the_extra_one_sentence_says_what_to_install(missing, named):
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({missing}));"
        " from silo_client.cli import run; run()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(f"silo: The command line needs {named}: install ")
    assert 'pip install "silo-client[cli] @ http' in line


def test_words_are_read_as_they_were_typed_and_a_commands_are_left_alone():
    typed = "größe".encode().decode("ascii", "surrogateescape")
    words = ["edit", "größe", "--", "cat", typed]
    assert readable(words) == words
    if sys.getfilesystemencoding() == "utf-8":
        broken = b"gr\xf6\xdfe".decode("utf-8", "surrogateescape")
        assert readable(["--", broken]) == ["--", broken]
        with pytest.raises(CommandError, match="not text in UTF-8"):
            readable(["who", broken])


def test_only_widths_that_are_none_are_forgotten():
    environment = {"COLUMNS": "120", "TERMINAL_WIDTH": "-3", "OTHER": "x"}
    drop_odd_widths(environment)
    assert environment == {"COLUMNS": "120", "OTHER": "x"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("SILO_URL", "http://a..b"), ("SILO_TOKEN", "a b"), ("SILO_CA_FILE", "/not/there")],
)
def test_the_command_names_a_variable_that_cannot_be_used(shell, name, value):
    done = shell("silo who", **{name: value})
    assert done.stderr.startswith(f"silo: {name}: ".encode())
    assert done.returncode == 2


@pytest.mark.parametrize(("name", "value"), [("SILO_URL", "http://a..b"), ("SILO_TOKEN", "a b")])
def test_a_variable_that_cannot_be_used_is_named(name, value):
    environment = {"SILO_URL": "http://silo", "SILO_TOKEN": "t", name: value}
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        current(environment)


def test_user_without_a_home_learns_the_variable(monkeypatch):
    for name in ("HOME", "SILO_STATE", "SILO_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(CredentialsError, match="SILO_CONFIG_HOME"):
        config_folder()
    with pytest.raises(StateError, match="SILO_STATE"):
        instances.Instance("00000000-0000-0000-0000-000000000000")
    with pytest.raises(StateError, match="SILO_STATE"):
        default_fingerprint()
