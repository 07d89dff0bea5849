"""Who a machine is: the same under another host name and after an upgrade, and no copy's."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from itertools import count

import pytest

from silo_client import IdentityInUseError
from silo_client.identity import machine, machine_identity, registration
from silo_client.identity.fingerprint import _user, default_fingerprint, default_name
from silo_client.identity.installation import installation
from silo_client.network.time_limit import TimeLimit

pytestmark = pytest.mark.usefixtures("state")


@pytest.fixture
def be(tmp_path, monkeypatch):
    """Be a machine of this host name, machine number and start, as the system tells them."""

    def be(host="cad-1", number="0123456789abcdef", boot="monday"):
        for file, text in (("machine-id", number), ("boot_id", boot)):
            (tmp_path / file).write_text(text + "\n")
        monkeypatch.setattr(machine, "MACHINE_ID_FILES", [tmp_path / "machine-id"])
        monkeypatch.setattr(machine, "BOOT_ID_FILE", tmp_path / "boot_id")
        monkeypatch.setattr("platform.node", lambda: host)

    be()
    return be


def former(host, program="cad"):
    """The fingerprint as it was made before machines had identities."""
    told = "\n".join(["silo", host, _user(), program, installation()])
    return hashlib.sha256(told.encode()).hexdigest()


def test_a_known_installation_keeps_its_fingerprint(be):
    before = former("cad-1")
    assert default_fingerprint("cad") == before
    be(host="laptop.hotel.example")
    assert default_fingerprint("cad") == before


def test_two_machines_with_one_home_are_two(be):
    first = default_fingerprint()
    be(host="cad-2", number="fedcba9876543210")
    second = default_fingerprint()
    assert second == former("cad-2", "") != first
    be()
    assert default_fingerprint() == first


def test_a_machine_without_a_number_is_known_by_its_host_name(be):
    be(number="uninitialized")
    first = default_fingerprint()
    be(host="cad-2", number="")
    assert default_fingerprint() != first


def test_two_of_one_number_and_one_home_stay_two(be):
    first = default_fingerprint()
    be(host="cad-2", boot="tuesday")
    # Until the server says so, it is the first one under another name.
    one = machine_identity.current()
    assert default_fingerprint() == first
    second = default_fingerprint("", machine_identity.renew(one, 1))
    assert second != first
    for boot in ("wednesday", "thursday"):
        be(boot=boot)
        assert default_fingerprint() == first
        be(host="cad-2", boot=f"the other's {boot}")
        assert default_fingerprint() == second


def test_a_new_identity_stays(be):
    one = machine_identity.current()
    new = machine_identity.renew(one, 2)
    assert (new.number, new.host) == (2, "cad-1")
    assert machine_identity.renew(one, 3) == new == machine_identity.current()
    be(boot="tuesday")
    assert machine_identity.current().installation == new.installation


def test_processes_that_renew_at_once_get_the_same():
    one = machine_identity.current()
    script = (
        "import sys; from silo_client.identity import machine_identity as identity\n"
        "one = identity.current(); print(one.installation, flush=True); sys.stdin.readline()\n"
        "print(identity.renew(one, 2).installation)"
    )
    several = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ),
        )
        for _ in range(4)
    ]
    assert {process.stdout.readline().strip() for process in several} == {one.installation}
    for process in several:
        process.stdin.write("\n")
        process.stdin.flush()
    new = {process.communicate()[0].strip() for process in several}
    assert new == {machine_identity.current().installation} != {one.installation}


@pytest.mark.parametrize("text", ["", "[{", '[{"host": 1, "unknown": 2}]', "{}"])
def test_a_file_that_was_cut_short_is_as_none(be, state, text):
    before = default_fingerprint()
    [file] = state.glob("machine-*.json")
    file.write_text(text)
    assert default_fingerprint() == before
    assert json.loads(file.read_text())


def test_a_running_machine_is_known_until_it_starts_anew(be, state):
    installation()
    running = machine.running_name(state)
    script = (
        "import sys; from pathlib import Path; from silo_client.identity import machine;"
        "machine.BOOT_ID_FILE = Path(sys.argv[1]); print(machine.running_name(Path(sys.argv[2])))"
    )
    other = subprocess.run(
        [sys.executable, "-c", script, machine.BOOT_ID_FILE, state],
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == running
    be(host="another", boot="monday")
    assert machine.running_name(state) == running
    be(boot="tuesday")
    assert machine.running_name(state) != running


def test_a_copied_folder_is_another_running_machine(state, tmp_path):
    installation()
    shutil.copytree(state, tmp_path / "copy")
    assert machine.running_name(state) != machine.running_name(tmp_path / "copy")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "cad-1"),
        ({"program": "CAD"}, "cad-1 (CAD)"),
        ({"program": "CAD", "number": 2}, "cad-1 #2 (CAD)"),
        ({"name": "Ada's", "number": 2}, "Ada's #2"),
    ],
)
def test_names_distinguish_copies(be, given, name):
    assert default_name(**given) == name


# -- what a refusal means --


class Server:
    """A server that refuses what it is told to, and its clock."""

    def __init__(self, *refusals):
        self.refusals = list(refusals)
        self.asked = []

    def register(self, name, fingerprint, deadline, running):
        self.asked.append((name, fingerprint))
        if self.refusals:
            details = {"workstation": {"name": "cad-1"}, "seconds": 45.0, **self.refusals.pop(0)}
            raise IdentityInUseError(409, "identity_in_use", "Another machine is it.", details)
        return {"id": "7c0a4f2e-93d1-4b5c-8f6e-2d1b3a4c5e6f", "name": name}

    def workstations(self):
        return [{"name": "cad-1"}, {"name": "cad-1 #2 (CAD)"}, {"name": "cad-1 #31"}]


@pytest.fixture
def ask(be, monkeypatch):
    """Register at a server, on a machine that has run for so many seconds, of which each try takes one."""

    def ask(server, running_for, fingerprint=""):
        clock = count(running_for)
        monkeypatch.setattr(registration.clock, "now", lambda: float(next(clock)))
        monkeypatch.setattr(registration.time, "sleep", lambda _: None)
        found = registration.register(
            server, TimeLimit(0.0), 1.0, "", "", fingerprint, numbered=False
        )
        found.instance.close()
        return found

    return ask


CONNECTED, AWAY = {"connected": True}, {"connected": False}


def test_a_copy_of_one_that_is_connected_is_another_one(ask):
    server = Server(CONNECTED)
    found = ask(server, 3600)
    assert found.copied_from == "cad-1"
    assert [name for name, _ in server.asked] == ["cad-1", "cad-1 #3"]
    assert len({fingerprint for _, fingerprint in server.asked}) == 2
    assert ask(server, 3600).copied_from == ""
    assert server.asked[2] == server.asked[1]


def test_machine_just_started_waits_for_its_old_connection(ask):
    server = Server(CONNECTED, CONNECTED)
    assert ask(server, 10).copied_from == ""
    assert len(set(server.asked)) == 1


def test_wait_for_the_old_connection_is_limited(ask):
    server = Server(*[CONNECTED] * 100)
    server.refusals = [CONNECTED] * 30
    assert ask(server, 10).copied_from == ""
    server.refusals = [CONNECTED] * 60
    with pytest.raises(IdentityInUseError, match="fingerprint"):
        ask(server, 10, "given")


def test_machine_connected_a_moment_ago_may_come_back(ask):
    server = Server(AWAY, AWAY, AWAY)
    assert ask(server, 3600).copied_from == ""
    server.refusals = [AWAY, AWAY, CONNECTED]
    assert ask(server, 3600).copied_from == "cad-1"


def test_a_fingerprint_that_was_given_cannot_be_made_anew(ask):
    server = Server(CONNECTED)
    with pytest.raises(IdentityInUseError, match="Two machines use the fingerprint"):
        ask(server, 3600, "given")
    assert server.asked == [("cad-1", "given")]


def test_a_caller_who_looks_during_a_pause_sees_a_limit_after_it(be, monkeypatch):
    limit, rests = TimeLimit(0.0), []

    def sleep(seconds):
        rests.append(limit.deadline - time.monotonic() - seconds)

    monkeypatch.setattr(registration.clock, "now", lambda: 0.0)
    monkeypatch.setattr(registration.time, "sleep", sleep)
    found = registration.register(Server(AWAY, AWAY), limit, 20.0, "", "", "", numbered=False)
    found.instance.close()
    assert [round(rest) for rest in rests] == [20, 20]
