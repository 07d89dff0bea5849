"""`make demo`: engineers begin to edit, one crashes and is released, and a Ctrl-C leaves nothing behind."""

import os
import signal

from tests.processes.making import STOP_SECONDS, nothing_is_left

ENGINEERS = 4


def test_engineers_edit_crash_and_leave_nothing(make, migrated_var, port):
    demo = make("demo", ENGINEERS=str(ENGINEERS))
    demo.line(f"http://127.0.0.1:{port}/ ", within=60)
    demo.line("log in as admin with the password ")
    # What happens to the first ones is scripted.
    assert "Anna Bergmann begins to edit " in demo.line("begins to edit", within=30)
    demo.line("Ben Carter stands in line for ")
    demo.line("Anna Bergmann's CAD CRASHES")
    assert "of Anna Bergmann (disconnected)" in demo.line("the server releases")
    assert demo.line(", in turn").endswith("/ partdesign / Pad001, in turn")

    os.killpg(demo.pid, signal.SIGINT)
    demo.wait(within=STOP_SECONDS)
    nothing_is_left(migrated_var)
    assert "Traceback" not in demo.output


def test_a_number_of_engineers_that_cannot_work_is_told_before_anything_is_done(make, var):
    demo = make("demo", ENGINEERS="many")
    assert demo.wait() != 0
    assert demo.lines[0] == "ENGINEERS=many is not a number from 1 to 100."
    assert not list(var.iterdir())
