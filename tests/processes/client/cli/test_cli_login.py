"""`silo login` and `logout`, at a server and at a terminal."""

import os
import pty
import stat
import subprocess
import termios
from pathlib import Path

import pytest

from sessions_app.models import Item
from silo_client.cli.options import COMPLETIONS
from tests.processes.client.cli_user import SILO
from tests.waiting import eventually


@pytest.fixture
def ada(ada):
    # What is kept is what counts here.
    del ada.env["SILO_TOKEN"], ada.env["SILO_URL"]
    return ada


def kept(user):
    """The file with the token."""
    return os.path.join(user.env["SILO_CONFIG_HOME"], "credentials.json")


def test_keeps_a_good_token_where_only_its_owner_can_read_it(ada):
    assert ada.run("who").returncode == 3
    done = ada.run("login", ada.client.server.url, "--token-stdin", given=f"{ada.client.token}\n")
    assert done.returncode == 0, done.stderr
    assert kept(ada) in done.stderr
    assert ada.client.token not in done.stdout + done.stderr
    assert stat.S_IMODE(os.stat(kept(ada)).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(kept(ada))).st_mode) == 0o700
    assert ada.run("who").returncode == 0
    assert ada.run("logout").returncode == 0
    assert ada.client.token not in Path(kept(ada)).read_text()
    assert ada.run("who").returncode == 3
    assert ada.run("logout").returncode == 3


def test_refuses_a_bad_token_and_keeps_nothing(ada):
    done = ada.run("login", ada.client.server.url, "--token-stdin", given="silo_wrong")
    assert done.returncode == 3
    assert "silo_wrong" not in done.stdout + done.stderr
    assert not os.path.exists(kept(ada))
    assert ada.run("login", ada.client.server.url, "--token-stdin", given="a b").returncode == 2
    assert ada.run("login", ada.client.server.url).returncode == 2


def test_a_token_for_one_server_is_not_sent_to_another(ada):
    given = ada.client.token
    assert ada.run("login", ada.client.server.url, "--token-stdin", given=given).returncode == 0
    done = ada.run("who", SILO_URL="http://127.0.0.1:1")
    assert done.returncode == 3
    assert "There is no token for http://127.0.0.1:1; you are logged in to" in done.stderr


def test_asks_at_a_terminal_and_does_not_show_the_token(ada):
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [*SILO, "login"], stdin=its, stdout=its, stderr=its, env=ada.env, start_new_session=True
    )
    os.close(its)
    shown = b""

    def read(until):
        nonlocal shown
        while until not in shown:
            shown += os.read(ours, 1000)

    try:
        read(b"URL of the server:")
        os.write(ours, f"{ada.client.server.url}\n".encode())
        read(b"Token:")
        # What is typed before it listens for a secret is thrown away.
        eventually(lambda: not termios.tcgetattr(ours)[3] & termios.ECHO)
        os.write(ours, f"{ada.client.token}\n".encode())
        read(b"Logged in to")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert ada.client.token.encode() not in shown
    assert ada.run("who").returncode == 0


def test_part_numbers_are_completed(ada, part):
    # However many others have the text somewhere.
    Item.objects.bulk_create(
        Item(part_number=f"A-{number}", description=f"Like {part}") for number in range(COMPLETIONS)
    )
    ada.run("login", ada.client.server.url, "--token-stdin", given=ada.client.token)

    def complete(word, shell="fish", **env):
        asked = {
            "_SILO_COMPLETE": f"complete_{shell}",
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "_TYPER_COMPLETE_ARGS": f"silo who {word}",
        }
        return ada.run(**asked | env)

    assert complete("'DIN 9").stdout.strip() == part
    in_bash = {"COMP_CWORD": "2", "COMP_WORDS": "silo\nwho\nDIN\\ 9"}
    escaped = complete("", "bash", **in_bash)
    assert escaped.stdout.strip() == part.replace(" ", "\\ ")
    assert escaped.stderr == ""
    quoted = complete("", "bash", **in_bash | {"COMP_WORDS": "silo\nwho\n'DIN 9"})
    assert quoted.stdout.strip() == part
    small = complete("", "bash", **in_bash | {"COMP_WORDS": "silo\nwho\ndin"})
    assert small.stdout.strip() == escaped.stdout.strip()
    # Somebody is typing: without an answer there is nothing to say.
    ada.client.server.kill()
    nothing = complete("", "bash", **in_bash)
    assert (nothing.stdout.strip(), nothing.stderr) == ("", "")
    eventually(lambda: not ada.client.server.running)
