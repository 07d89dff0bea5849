"""`silo_client` in a program that computes: alone, because it keeps a whole processor busy."""

import pytest

from tests.waiting import eventually

pytestmark = pytest.mark.alone

RELEASED = "edit.session_released"


def test_a_computation_that_keeps_the_interpreter_loses_nothing(
    serve, client_of, run_program, part
):
    # Who does not acknowledge for 1.25 s, or reads nothing, is gone.
    ada = client_of(serve(SILO_DEAD_PEER_SECONDS="2"))
    watching = client_of(ada.server, "bob").stream(item=part)
    program = run_program(ada)
    program.edit(part)
    longest = program.ask("hold_the_interpreter", 8, within=40)
    assert longest > 4, "other threads could run"
    assert program.told[-2]["valid_at_once"] is True
    assert program.ask("valid") == [True]
    assert not watching.named(RELEASED)


def test_a_program_that_computes_is_certain_at_once_however_much_has_changed_of_what_it_watches(
    serve, client_of, run_program, connect, part
):
    ada = client_of(serve())
    program, other = run_program(ada), connect(client_of(ada.server, "bob"))
    program.ask("look", [part])
    program.edit(part)
    computing = program.send("hold_the_interpreter", 2)
    changes = 0
    while not [told for told in program.told if "valid_at_once" in told]:
        other.edit(part, level="sketch", object_id=str(changes)).release()
        changes += 1
    computing()
    other.edit(part, level="sketch", object_id="last")
    assert program.heard(valid_at_once=True)
    assert changes > 10
    eventually(lambda: program.ask("seen") == {part: ["", "last"]})
