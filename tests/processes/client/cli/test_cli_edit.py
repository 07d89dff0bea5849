"""`silo edit`: the session is held just as long as the command, the terminal and the machine live."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
from django.contrib.auth.models import User

from sessions_app.roles import Role
from tests.waiting import eventually


def watch(user, part):
    """Watch a part by a stream."""
    return user.client.stream(item=part)


def test_holds_the_session_while_the_command_runs_and_ends_with_its_code(ada, part, gate):
    process = ada.edit(part, gate.command(7), "--level", "sketch", "--object", "Sketch001")
    [row] = ada.run("who", part).stdout.splitlines()
    assert row.split("\t")[:4] == [part, "sketch", "Sketch001", "ada"]
    gate.open()
    assert process.wait() == 7
    assert ada.holders(part) == []
    nobody = ada.run("who", part)
    assert (nobody.stdout, nobody.returncode) == ("", 0)
    assert "Nobody is editing" in nobody.stderr


def test_tells_the_command_what_it_holds_and_not_the_token(ada, part):
    script = "import os; print({k: v for k, v in os.environ.items() if k.startswith('SILO_')})"
    config = ada.run("login", ada.client.server.url, "--token-stdin", given=ada.client.token)
    assert config.returncode == 0, config.stderr
    del ada.env["SILO_TOKEN"]
    done = ada.run("edit", part, "--", sys.executable, "-c", script)
    told = eval(done.stdout)
    assert told["SILO_PART_NUMBER"] == part
    assert told["SILO_URL"] == ada.client.server.url
    assert int(told["SILO_FENCING_TOKEN"]) > 0
    [record] = ada.json("history", part)["history"]
    assert told["SILO_SESSION_ID"] == record["session_id"]
    assert ada.client.token not in done.stdout + done.stderr


def test_a_second_terminal_is_refused_and_told_what_to_do(ada, part, gate, bob):
    ada.edit(part, gate.command())
    own = ada.run("edit", part, "--", "true")
    assert own.returncode == 6
    assert "yourself" in own.stderr
    other = bob.run("edit", part, "--", "true")
    assert other.returncode == 6
    assert f"silo: ada is editing {part} / assembly on " in other.stderr
    assert f"`silo edit '{part}' --wait` stands in line" in other.stderr
    # Another object of it is free.
    assert bob.run("edit", part, "--level", "sketch", "--", "true").returncode == 0


def test_waiting_terminal_gets_the_session_when_the_first_ends(ada, part, gate, bob):
    first = ada.edit(part, gate.command())
    second = bob.start("edit", part, "--wait", "--", "echo", "my turn")
    assert "place 1. ada has been editing it" in second.line("In line for")
    gate.open()
    assert first.wait() == 0
    second.line("my turn")
    assert second.wait() == 0


def test_wait_that_times_out_ends_with_7(ada, part, gate, bob):
    ada.edit(part, gate.command())
    late = bob.run("edit", part, "--wait-for", "0.3", "--", "true")
    assert late.returncode == 7
    assert re.search(r"was not free within \d\.\d s; the line was left", late.stderr)
    assert ada.json("line", part) == {"requests": []}


def test_ctrl_c_leaves_the_line(ada, part, gate, bob):
    ada.edit(part, gate.command())
    waiting = bob.start("edit", part, "--wait", "--", "true")
    waiting.line("In line for")
    waiting.signal_group(signal.SIGINT)
    assert waiting.wait() == 130
    assert ada.json("line", part) == {"requests": []}
    assert "Traceback" not in waiting.output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_the_end_of_a_terminal_frees_what_it_edits_at_once(ada, part, gate, number):
    process = ada.edit(part, gate.command())
    watcher = watch(ada, part)
    process.signal(number)
    watcher.event("edit.session_released", within=5)
    assert ada.holders(part) == []
    gate.open()
    # What ends the terminal has ended the command too, except for what cannot be passed on.
    assert process.wait() == (-number if number == signal.SIGKILL else 128 + number)


def test_two_terminals_edit_two_parts_and_one_that_dies_keeps_the_others(ada, part, gate):
    first = ada.edit(part, gate.command(), "--object", "one")
    ada.edit(part, gate.command(), "--object", "two")
    watcher = watch(ada, part)
    first.signal(signal.SIGKILL)
    watcher.event("edit.session_released", object_id="one")
    [left] = ada.client.held(part)
    assert left["object_id"] == "two"
    # The number of the dead one is free again.
    third = ada.edit(part, gate.command(), "--object", "three")
    names = {held["object_id"]: held["workstation"]["name"] for held in ada.client.held(part)}
    assert names["three"] != names["two"]
    gate.open()
    assert third.wait() == 0
    assert len(watcher.named("edit.session_released")) >= 1


def test_with_a_grace_the_dead_predecessors_session_is_no_obstacle(serve, cli_user_of, part, gate):
    ada = cli_user_of(serve(SILO_DISCONNECT_GRACE_SECONDS="30"))
    first = ada.edit(part, gate.command(), "--object", "one")
    # Both at once, as when the machine loses power: nobody is left to release anything.
    helper = helper_of(first)
    first.signal(signal.SIGSTOP)
    os.kill(helper, signal.SIGKILL)
    first.signal(signal.SIGKILL)
    eventually(lambda: ada.client.held(part)[0]["away_since"], "away")
    second = ada.edit(part, gate.command(), "--object", "two")
    [held] = ada.client.held(part)
    assert held["object_id"] == "two"
    gate.open()
    assert second.wait() == 0


def test_without_a_command_it_holds_until_ctrl_c(ada, part):
    process = ada.edit(part)
    assert len(ada.holders(part)) == 1
    process.signal_group(signal.SIGINT)
    assert process.wait() == 0
    assert ada.holders(part) == []
    again = ada.edit(part)
    again.signal(signal.SIGTERM)
    assert again.wait() == 0
    assert ada.holders(part) == []


def test_ctrl_c_is_left_to_the_command(ada, part):
    script = "trap 'echo caught; exit 3' INT; echo begun; while :; do sleep 0.05; done"
    process = ada.edit(part, ("sh", "-c", script))
    process.signal_group(signal.SIGINT)
    process.line("caught")
    assert process.wait() == 3
    dies = ada.edit(part, ("sh", "-c", "echo begun; while :; do sleep 0.05; done"))
    dies.signal_group(signal.SIGINT)
    assert dies.wait() == 130
    assert ada.holders(part) == []


def test_an_interrupt_that_is_sent_to_silo_alone_reaches_the_command(ada, part):
    script = "trap 'exit 4' INT; echo begun; while :; do sleep 0.05; done"
    process = ada.edit(part, ("sh", "-c", script))
    process.signal(signal.SIGINT)
    assert process.wait() == 4


def test_commands_that_cannot_be_run(ada, part, tmp_path):
    assert ada.run("edit", part, "--", "no-such-command").returncode == 127
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    assert ada.run("edit", part, "--", str(script)).returncode == 126
    script.chmod(0o755)
    assert ada.run("edit", part, "--", str(script)).returncode == 127
    assert ada.run("edit", part, "--", "sh", "-c", "kill -9 $$").returncode == 137
    assert ada.holders(part) == []


def test_soft_interference_is_told_to_both(ada, part, gate, bob):
    User.objects.filter(username="ada").update(first_name="Ada", last_name="Lovelace")
    first = ada.edit(part, gate.command(), "--level", "sketch", "--note", "until Friday")
    watching = bob.start("watch", part)
    watching.line("is editing it")
    second = bob.edit(part, gate.command(), "--level", "sketch", "--object", "Sketch001")
    told = next(line for line in second.lines if "may conflict" in line)
    assert "ada (Ada Lovelace) is editing the whole part on " in told
    assert told.rstrip().endswith("(“until Friday”); your changes may conflict.")
    assert "bob is editing Sketch001 (sketch) on " in first.line("your changes may conflict")
    watching.line("and may conflict with ada (Ada Lovelace) on")
    rows = ada.run("who", part).stdout.splitlines()
    assert [row.count("may conflict with") for row in rows] == [1, 1]
    assert "may conflict with bob on" in rows[0]
    assert rows[0].endswith("\tuntil Friday")
    second.signal(signal.SIGTERM)
    first.line("no longer conflicts with your changes")
    gate.open()
    assert first.wait() == 0


def test_an_admin_takes_it_over_in_one_step(ada, part, gate, cli_user_of):
    held = ada.edit(part, gate.command())
    cyn = cli_user_of(ada.client.server, "cyn", Role.ADMIN)
    assert cyn.run("edit", part, "--take", "--", "true").returncode == 2
    done = cyn.run("edit", part, "--take", "--reason", "It is due.", "--", "true")
    assert (done.returncode, "Taken over from ada on" in done.stderr) == (0, True), done.stderr
    assert "cyn released it by force: “It is due.”" in held.line("LOST")
    gate.open()
    assert held.wait() == 9
    # Whoever may not is told so, and nothing happens.
    gate_of_cyn = cyn.edit(part)
    refused = ada.run("edit", part, "--take", "--reason", "Mine.", "--", "true")
    assert refused.returncode == 4
    gate_of_cyn.signal(signal.SIGTERM)
    assert gate_of_cyn.wait() == 0


def helper_of(process):
    """The process id of the helper of a `silo edit`."""
    found = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "silo_client.helper.main"],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(found.stdout)


def test_a_copy_of_this_machine_is_a_workstation_of_its_own_and_says_so(ada, part, gate, tmp_path):
    ada.edit(part, gate.command())
    state = str(tmp_path / "copy")
    shutil.copytree(ada.env["SILO_STATE"], state)
    copy = ada.run("edit", part, "--level", "sketch", "--", "true", SILO_STATE=state)
    assert copy.returncode == 0, copy.stderr
    [name] = ada.holders(part)
    assert f"Another machine is connected as {name}: this one is a copy of it" in copy.stderr
    again = ada.run("edit", part, "--level", "sketch", "--", "true", SILO_STATE=state)
    assert (again.returncode, "copy" in again.stderr) == (0, False)
