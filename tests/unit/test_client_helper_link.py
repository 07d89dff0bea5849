"""The parent's end of the helper: what is told when it does not start, dies, or reads nothing."""

import json
import os
import signal
import sys
import time

import pytest

from silo_client import HelperError, ServerUnavailableError, within
from silo_client.common import clock
from silo_client.common.protocol import Plan
from silo_client.common.shared_memory import SharedMemory
from silo_client.link import helper_link
from silo_client.link.helper_link import HelperLink, await_ended
from tests.waiting import eventually


def make_program(path, text="#!/bin/sh\nexit 0\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def link(tmp_path):
    made = []

    def link(python):
        shared = SharedMemory(tmp_path / "memory", new=True)
        plan = Plan("http://127.0.0.1:1", "t", "w", str(shared.path), "/nowhere")
        messages = []
        made.append(HelperLink(plan, shared, messages.append, str, python))
        made[-1].start()
        return made[-1], messages

    yield link
    for each in made:
        each.close()


def test_helper_that_cannot_start_is_reported(link):
    with pytest.raises(HelperError, match=r"/no/such could not be started .*SILO_PYTHON"):
        link("/no/such")


def test_first_helper_that_ends_at_once_is_final_and_reported(link, tmp_path):
    python = make_program(tmp_path / "python", "#!/bin/sh\necho no httpx here >&2\nexit 3\n")
    started, messages = link(python)
    eventually(lambda: messages)
    assert messages == [{"died": 3, "why": "no httpx here", "final": True}]
    started.memory.valid_until = clock.now() + 60
    assert started.valid_until() == 0.0


def test_valid_until_waits_briefly_for_unread_messages(link, monkeypatch):
    monkeypatch.setattr(helper_link, "CATCH_UP_SECONDS", 0.05)
    started, messages = link(sys.executable)
    eventually(lambda: any("trying" in message for message in messages))
    shared = started.memory
    shared.valid_until = until = clock.now() + 60
    eventually(lambda: started.valid_until() == until)
    shared.message_count += 1
    assert started.valid_until() == 0.0


def test_a_line_that_is_no_message_does_no_harm(link, tmp_path):
    python = make_program(
        tmp_path / "python",
        "#!/bin/sh\nread plan\necho hello\necho '{\"started\": 1}'\necho '{\"half'\nexec sleep 60\n",
    )
    started, messages = link(python)
    eventually(lambda: messages)
    assert messages == [{"started": 1}]
    os.kill(started.pid, 9)
    eventually(lambda: messages[1:])
    assert messages[1]["final"] is False


def test_next_helper_gets_the_obligations(link, tmp_path, monkeypatch):
    monkeypatch.setattr(helper_link, "RESTART_SECONDS", 0.01)
    python = make_program(
        tmp_path / "python",
        f'#!/bin/sh\nread plan\necho "$plan" >>{tmp_path}/plans\necho \'{{"started": 1}}\'\ncat >/dev/null\n',
    )
    started, messages = link(python)
    eventually(lambda: messages)
    started.note(connected=["c1"])
    started.send(hold=["s1", "s2", "s3"], stand=[("P", "sketch", "")])
    started.send(drop=["s1"], release=["s2"], ask=[("P", "sketch", "A")])
    os.kill(started.pid, 9)
    started.send(leave_line=[("P", "sketch", "")])
    plans = eventually(lambda: (tmp_path / "plans").read_text().splitlines()[1:])
    assert json.loads(plans[0])["obligations"] == {
        "connected": ["c1"],
        "hold": ["s2", "s3"],
        "release": ["s2"],
        "ask": [["P", "sketch", "A"]],
        "abandon": [],
        "stand": [],
        "leave_line": [["P", "sketch", ""]],
    }


@pytest.fixture
def deaf(link, tmp_path, monkeypatch):
    """A helper that reads nothing, and does not leave."""
    monkeypatch.setattr(helper_link, "END_SECONDS", 0.2)
    python = make_program(
        tmp_path / "python", "#!/bin/sh\necho '{\"started\": 1}'\nexec sleep 60\n"
    )
    started, messages = link(python)
    eventually(lambda: messages)
    return started


def test_helper_that_reads_nothing_holds_nobody(deaf):
    begun = time.monotonic()
    sent = deaf.send(hold=["x" * 500_000])
    deaf.send(hold=["s1"])
    with within(0.1), pytest.raises(ServerUnavailableError, match="does not read"):
        sent.check()
    with within(0.1):
        deaf.send_and_confirm(hold=["s2"])
    deaf.close(0.1)
    assert time.monotonic() - begun < 1.5
    # Nobody waits for what is sent later.
    deaf.send(hold=["s3"]).check()
    assert time.monotonic() - begun < 2
    # It is ended nevertheless.
    eventually(lambda: not deaf._process.is_running)
    eventually(lambda: not deaf.memory.is_there)


def test_helper_that_is_stopped_gets_all_when_it_goes_on(link, tmp_path):
    python = make_program(
        tmp_path / "python",
        f"#!/bin/sh\necho '{{\"started\": 1}}'\ncat >{tmp_path}/read\n",
    )
    started, messages = link(python)
    eventually(lambda: messages)
    os.kill(started.pid, signal.SIGSTOP)
    sent = [started.send(hold=[f"{number}-{'x' * 100_000}"]) for number in range(3)]
    started.send(release=["s1"])
    os.kill(started.pid, signal.SIGCONT)
    for one in sent:
        one.check()
    eventually(lambda: '"release": ["s1"]' in (tmp_path / "read").read_text())


def test_nothing_of_the_current_folder_is_run(link, tmp_path, monkeypatch):
    for name in ("queue.py", "silo_client.py", "httpx.py"):
        (tmp_path / name).write_text("raise SystemExit(99)")
    monkeypatch.chdir(tmp_path)
    _, messages = link(sys.executable)
    eventually(lambda: any("trying" in message for message in messages))


def test_a_new_connection_waits_for_a_helper_that_leaves_the_same_workstation(deaf, monkeypatch):
    """What it had would else be released after the new connection has got it back."""
    monkeypatch.setattr(helper_link, "END_SECONDS", 1.0)
    deaf.close(0.05)
    with within(5):
        await_ended("another")
    assert deaf._process.is_running
    with within(0.05), pytest.raises(ServerUnavailableError, match="still leaving"):
        await_ended("w")
    with within(20):
        await_ended("w")
    assert not deaf._process.is_running
    assert not helper_link._ending
