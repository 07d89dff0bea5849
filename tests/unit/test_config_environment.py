"""The environment variables of the configuration, and where a bad value comes from."""

import re
from pathlib import Path

import pytest

from silo import config, environment
from tests.unit.config_texts import NUMBERS, SECRET, in_server, in_sessions

pytestmark = pytest.mark.usefixtures("bare_environment")

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("key", NUMBERS)
def test_the_environment_wins_over_the_file(load, key, monkeypatch):
    monkeypatch.setenv(f"SILO_{key.upper()}", "1.5")
    assert getattr(load(in_sessions(key, 7))[0], key) == 1.5


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", ["-1", "nan", "inf", "soon", "", "true", "1,5", "9" * 400])
def test_and_so_in_the_environment(refusal, key, value, monkeypatch):
    monkeypatch.setenv(f"SILO_{key.upper()}", value)
    assert f"modules.sessions.{key}: Input should be" in refusal()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SILO_HEARTBEAT_SECOND", "SILO_HEARTBEAT_SECONDS"),
        ("SILO_ALLOWED_HOST", "SILO_ALLOWED_HOSTS"),
        ("SILO_SESSIONS_TIMEOUT_MINUTES", "SILO_SESSION_TIMEOUT_MINUTES"),
        ("SILO_HEARTBEATS", "SILO_HEARTBEAT_SECONDS"),
        ("SILO_SERVER_HTTPS", "did you mean SILO_HTTPS?"),
        ("SILO_DATABASE_URL", "did you mean DATABASE_URL?"),
        ("SILO_PORT", "did you mean PORT?"),
        ("silo_allowed_host", "SILO_ALLOWED_HOSTS"),
        ("SILO_TOKN", "SILO_TOKEN"),
        ("SILO_", "SILO_ is unknown"),
        ("SILO_XYZZY_1", "SILO_XYZZY_1 is unknown. README.md"),
    ],
)
def test_a_variable_that_is_misspelt_is_refused_and_says_how_it_is_spelt(
    refusal, monkeypatch, name, meant
):
    monkeypatch.setenv(name, SECRET)
    message = refusal()
    assert name in message
    assert meant in message


def test_every_unknown_variable_is_named(refusal, monkeypatch):
    monkeypatch.setenv("SILO_FIRST_ONE", SECRET)
    monkeypatch.setenv("SILO_SECOND_ONE", SECRET)
    message = refusal()
    assert "SILO_FIRST_ONE" in message
    assert "SILO_SECOND_ONE" in message


def test_other_variables_are_none_of_its_business(load, monkeypatch):
    for name in ("SILO_CONFIG", "SILO_STATE", "SILO_TEST_SECONDS", "SILO_URL", "HEARTBEAT_SECOND"):
        monkeypatch.setenv(name, "1")
    # Of services of Kubernetes.
    for name, value in {
        "SILO_PORT": "tcp://10.0.0.7:8000",
        "SILO_PORT_8000_TCP_ADDR": "10.0.0.7",
        "SILO_DATABASE_SERVICE_HOST": "10.0.0.8",
        "SILO_SERVICE_PORT_HTTP": "8000",
    }.items():
        monkeypatch.setenv(name, value)
    load()


# What names variables that are wrong on purpose, or that were once.
WRONG_HERE = {
    Path(__file__),
    Path(__file__).with_name("test_config.py"),
    ROOT / "CHANGELOG.md",
}


def test_every_variable_that_the_project_names_is_known(monkeypatch):
    for folder in ("", "client", "demo", "deploy", "docs", "silo", "tests", "tools", ".ci"):
        for file in (ROOT / folder).glob("**/*" if folder else "*"):
            if file.is_file() and file not in WRONG_HERE and file.suffix != ".pyc":
                for name in re.findall(
                    r"\bSILO_[A-Z][A-Z_]*[A-Z]\b", file.read_text(errors="ignore")
                ):
                    monkeypatch.setenv(name, "1")
    sections = (
        config.SessionsConfig,
        config.ServerConfig,
        config.LimitsConfig,
        config.AccountsConfig,
    )
    environment.refuse_unknown([key for section in sections for key in section.model_fields])


@pytest.mark.parametrize("key", ["heartbeat_seconds", "sweep_seconds"])
def test_a_bad_value_is_shown_with_where_it_comes_from(refusal, monkeypatch, tmp_path, key):
    assert f"(it is 'soon' in {tmp_path / 'silo.yaml'})" in refusal(in_sessions(key, "soon"))
    monkeypatch.setenv(f"SILO_{key.upper()}", "-1")
    assert f"(it is '-1' in SILO_{key.upper()})" in refusal(in_sessions(key, "soon"))
    monkeypatch.delenv(f"SILO_{key.upper()}")
    monkeypatch.setenv(f"silo_{key}", "9" * 1000)
    message = refusal()
    assert f"in silo_{key})" in message
    assert len(message) < 300


def test_the_place_of_a_bad_secret_is_named(refusal, monkeypatch, tmp_path):
    said = refusal(in_server("secret_key", "hunter2"))
    assert said.endswith(f"(in {tmp_path / 'silo.yaml'})")
    monkeypatch.setenv("SILO_SECRET_KEY", "hunter2")
    assert refusal().endswith("(in SILO_SECRET_KEY)")


@pytest.mark.parametrize(("written", "value"), [("true", True), ("1", True), ("false", False)])
def test_https_may_be_switched_in_the_environment(load, written, value, monkeypatch):
    monkeypatch.setenv("SILO_HTTPS", written)
    assert load(in_server("https", str(not value).lower()))[1].https is value


@pytest.mark.parametrize(
    ("key", "written", "value"),
    [("log_format", "JSON", "json"), ("log_level", "debug", "DEBUG")],
)
def test_the_log_is_set_in_any_capitals(load, key, written, value, monkeypatch):
    assert getattr(load(in_server(key, written))[1], key) == value
    monkeypatch.setenv(f"SILO_{key.upper()}", written)
    assert getattr(load()[1], key) == value


def test_the_secret_key_comes_from_file_or_environment(load, monkeypatch):
    assert load(in_server("secret_key", SECRET))[1].secret_key == SECRET
    monkeypatch.setenv("SILO_SECRET_KEY", "x" * 40)
    assert load(in_server("secret_key", SECRET))[1].secret_key == "x" * 40
