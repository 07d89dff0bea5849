"""`silo edit` with a command that ends while what it has opened is still open."""

import signal
import sys
from pathlib import Path

from tests.waiting import eventually

# As an opener does it: the program is nobody's child, and in a session of its own. The command ends once the program
# runs, as the pipe is closed then.
HANDS_OVER = """
import os
reading, writing = os.pipe()
if os.fork():
    os.close(writing)
    os.read(reading, 1)
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
os.execvp("sh", ["sh", "-c", {!r}])
"""


def opener(gate):
    """A command that ends at once, and leaves a program that ends when the gate opens."""
    return sys.executable, "-c", HANDS_OVER.format(gate.command()[2])


def test_holds_the_session_until_what_the_command_has_left_ends(ada, part, gate):
    process = ada.start("edit", part, "--until-closed", "--", *opener(gate))
    told = process.line("The command has ended;")
    assert "is held until these processes end, or Ctrl-C: sh (" in told
    assert len(ada.holders(part)) == 1
    gate.open()
    assert process.wait() == 0
    assert ada.holders(part) == []


def test_ctrl_c_ends_the_session_before_that(ada, part, gate):
    process = ada.start("edit", part, "--until-closed", "--", *opener(gate))
    process.line("The command has ended;")
    process.signal_group(signal.SIGINT)
    eventually(lambda: ada.holders(part) == [])
    # What is left has the end of the pipe too.
    gate.open()
    assert process.wait() == 0


def test_session_is_held_until_ctrl_c_where_no_process_is_left(ada, part):
    process = ada.start("edit", part, "--until-closed", "--", "true")
    process.line("The command has ended;")
    assert "until Ctrl-C" in process.output
    assert len(ada.holders(part)) == 1
    process.signal_group(signal.SIGINT)
    assert process.wait() == 0
    assert ada.holders(part) == []


def test_a_command_that_fails_holds_nothing(ada, part):
    done = ada.run("edit", part, "--until-closed", "--", "false")
    assert done.returncode == 1
    assert "until Ctrl-C" not in done.stderr


def test_without_it_silo_says_that_the_part_is_free(ada, part, gate):
    left = ada.start("edit", part, "--", *opener(gate))
    assert "--until-closed" in left.line("The command has left sh (")
    eventually(lambda: ada.holders(part) == [])
    gate.open()
    assert left.wait() == 0

    def told_of_a_short_command() -> str:
        # Where the machine stood still meanwhile, it was not short.
        told = ada.run("edit", part, "--", "true").stderr
        return told if "The command ended within a second" in told else ""

    assert "--until-closed" in eventually(told_of_a_short_command)
    # What fails opens nothing; what runs longer is what was waited for.
    assert "--until-closed" not in ada.run("edit", part, "--", "false").stderr
    assert "--until-closed" not in ada.run("edit", part, "--", "sleep", "1.1").stderr


def test_left_processes_end_with_the_session_where_wanted(ada, part, gate):
    process = ada.start("edit", part, "--until-closed", "--on-lost", "end", "--", *opener(gate))
    process.line("The command has ended;")
    assert ada.run("release", part).returncode == 0
    process.line("LOST")
    assert process.wait() == 9


def test_orphans_that_end_are_reaped(ada, part, gate, tmp_path):
    script = f"({sys.executable} -c 'import os; os.fork() or os._exit(0)' &) ; {gate.command()[2]}"
    process = ada.edit(part, ("sh", "-c", script))
    eventually(lambda: "Z" not in states_of_children(process.pid))
    gate.open()
    assert process.wait() == 0


def states_of_children(pid):
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = file.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid:
            found.append(state)
    return found
