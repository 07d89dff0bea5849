"""`silo_client` in a program that computes: alone, because it keeps a whole processor busy."""

import pytest

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
