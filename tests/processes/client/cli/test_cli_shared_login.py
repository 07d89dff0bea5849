"""One log-in for `silo` and for plug-ins: either finds what the other has kept."""

import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session

from sessions_app.models.api_token import ApiToken
from sessions_app.roles import Role
from silo_client import AuthenticationError, ServerUnavailableError, credentials
from tests.processes import warm
from tests.processes.client.cli_user import SILO
from tests.waiting import eventually

PASSWORD = "correct horse battery"

# A plug-in: logs as much as can be logged.
PLUG_IN = """
import logging, sys
from silo_client import SiloError, Workstation, credentials

logging.basicConfig(level=logging.DEBUG)
what, *words = sys.argv[1:]
try:
    if what == "log in":
        url, user = words
        print("kept in", credentials.store(credentials.by_password(url, user, input(), name="my CAD")))
    elif what == "forget":
        print("forgotten", credentials.forget(credentials.kept_url()))
    else:
        login = credentials.current()
        with Workstation.connect(login.url, login.token, program="my CAD", ca_file=login.ca_file) as own:
            with own.edit(words[0], level="sketch") as session:
                print("valid", session.valid, "at", credentials.kept_url())
except SiloError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def ada(ada):
    """She has a password, and no variables that would override what is kept."""
    del ada.env["SILO_TOKEN"], ada.env["SILO_URL"]
    user = User.objects.get(username="ada")
    user.set_password(PASSWORD)
    user.save()
    return ada


@pytest.fixture
def plug_in(ada, tmp_path):
    """Run a program of hers; return what it says and logs."""
    script = tmp_path / "plug_in.py"
    script.write_text(PLUG_IN)

    def run(*words, given=""):
        command = (sys.executable, "-W", "error", str(script), *words)
        done = warm.run(command, ada.env, f"{given}\n")
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


def test_a_plug_in_finds_what_silo_login_has_kept(ada, plug_in, part):
    url = ada.client.server.url
    assert "NotLoggedInError No server is known" in plug_in("edit", part)
    assert ada.run("login", f"{url}/", "--token-stdin", given=ada.client.token).returncode == 0
    told = plug_in("edit", part)
    assert f"valid True at {url}" in told
    assert ada.client.token not in told
    assert ada.run("logout").returncode == 0
    assert "NotLoggedInError" in plug_in("edit", part)


def test_silo_finds_what_a_plug_in_has_kept(ada, plug_in, part):
    told = plug_in("log in", f"{ada.client.server.url}/", "ada", given=PASSWORD)
    assert f"kept in the file {ada.env['SILO_CONFIG_HOME']}" in told
    who = ada.json("whoami")
    assert (who["user"], who["role"], who["token"]["name"]) == ("ada", "editor", "my CAD")
    assert "valid True" in plug_in("edit", part)
    # The password made a token, and the login session by which it did has ended.
    assert not Session.objects.exists()
    kept = Path(ada.env["SILO_CONFIG_HOME"], "credentials.json").read_text()
    assert PASSWORD not in kept + told
    token = kept.partition('"token": "')[2].partition('"')[0]
    assert token.startswith("silo_")
    assert token not in told
    assert "forgotten True" in plug_in("forget")
    assert ada.run("who").returncode == 3


def test_a_wrong_password_keeps_nothing_and_is_nowhere(ada, plug_in):
    before = ApiToken.objects.count()
    told = plug_in("log in", ada.client.server.url, "ada", given="wrong and secret")
    assert "AuthenticationError The user name or the password is wrong" in told
    assert "wrong and secret" not in told
    assert ada.run("who").returncode == 3
    assert ApiToken.objects.count() == before


def test_the_token_allows_no_more_than_its_user(ada, cli_user_of):
    url = ada.client.server.url
    for name, role in (("vera", Role.VIEWER), ("root", Role.ADMIN)):
        cli_user_of(ada.client.server, name, role)
        user = User.objects.get(username=name)
        user.set_password(PASSWORD)
        user.save()
    for name, role, allowed in (
        ("vera", "editor", "viewer"),
        ("root", "editor", "editor"),
        ("root", "admin", "admin"),
    ):
        login = credentials.by_password(url, name, PASSWORD, role=role)
        assert (login.url, ApiToken.objects.latest("pk").role) == (url, allowed)


def test_many_wrong_passwords_are_slowed_down_and_the_error_says_for_how_long(ada):
    told = ""
    for _ in range(20):
        with pytest.raises((AuthenticationError, ServerUnavailableError)) as caught:
            credentials.by_password(ada.client.server.url, "ada", "wrong")
        if isinstance(caught.value, ServerUnavailableError):
            told = str(caught.value)
            break
    assert re.search(r"too many were wrong: try again in \d+ seconds", told)


def test_a_server_without_the_page_is_named(ada, plug_in):
    told = plug_in("log in", f"{ada.client.server.url}/elsewhere", "ada", given=PASSWORD)
    assert "ServerUnavailableError" in told
    assert "/elsewhere" in told
    assert PASSWORD not in told


def test_silo_login_asks_for_the_password_of_a_user(ada):
    ours, its = pty.openpty()
    command = [*SILO, "login", ada.client.server.url, "--user", "ada"]
    process = subprocess.Popen(
        command, stdin=its, stdout=its, stderr=its, env=ada.env, start_new_session=True
    )
    os.close(its)
    shown = b""

    def read(until):
        nonlocal shown
        while until not in shown:
            shown += os.read(ours, 1000)

    try:
        read(b"Password:")
        eventually(lambda: not termios.tcgetattr(ours)[3] & termios.ECHO)
        os.write(ours, f"{PASSWORD}\n".encode())
        read(b"Logged in to")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert PASSWORD.encode() not in shown
    assert ada.json("whoami")["token"]["name"].startswith("silo-client on ")
    both = ada.run("login", ada.client.server.url, "--user", "ada", "--token-stdin", given="t")
    assert both.returncode == 2
    assert ada.run("login", ada.client.server.url, "--user", "ada").returncode == 2
