"""Forgeries of batches, soft interference and idleness."""

from dataclasses import replace
from math import inf
from typing import Any

from tests.history import ACTIVE, IDLE, INTERFERENCE, RESOLVED, History
from tests.unit.true_history import Forgeries, entry
from tests.unit.true_line import (
    A1,
    A2,
    A2_GOT,
    ADA,
    B1,
    B1_GOT,
    B2,
    B2_GOT,
    B3,
    B3_GOT,
    BOB,
    BOTH,
    EVE,
    GOOD,
    IDLE_10,
    IDLE_20,
    LOG,
    MEET_A1,
    OPERATIONS,
    SHOWN,
    TWO,
    acquired,
    alive,
    answer,
    batch,
    by,
    forged,
    more,
    released,
    streamed,
    time_at,
    told,
)

FORGERIES = Forgeries()
forgery = FORGERIES.refused_by

B1_NONE = answer(B1, "y")


def _batch(*got: Any) -> History:
    wanted = [by(BOB, B1, "y"), by(BOB, B2)]
    return forged(operations={1: batch(10.95, BOB, wanted, 200, {"sessions": list(got)})})


def _refused(*holders: str, at: float = 15.0) -> History:
    named = BOTH | {"holders": [{"session_id": name} for name in holders]}
    return forged(operations={5: batch(at, EVE, TWO, 409, named)})


@forgery("told_while_active", "idle 22 .* comes after .*released 20 ")
def an_event_after_the_end() -> History:
    return more("log", entry(22, 55.0, IDLE, B2 | IDLE_10, ADA))


@forgery("batches_are_whole", "'batch'.* is in the log as .*b1.*b2")
def a_batch_in_two_transactions() -> History:
    return forged(log={3: acquired(3, 11.01, B2_GOT, ADA, BOB)})


@forgery("batches_are_whole", "'batch'.* is in the log as ")
def a_batch_of_which_one_is_lost() -> History:
    return forged(log={3: None})


@forgery("batches_are_whole", "acquired .*partdesign.*, and not .*assembly")
def a_batch_cut_in_two_by_a_client_that_hung_up() -> History:
    unknown = replace(OPERATIONS[1], end=inf, status=0, answer={})
    return forged(operations={1: unknown}, log={3: None})


@forgery("nothing_answered_is_lost", "is in the log as .*assembly")
def a_batch_answered_in_another_order() -> History:
    return _batch(B2_GOT, B1_GOT)


@forgery("all_has_a_cause", "b1.*nobody asked for it")
def a_refused_batch_that_acquired() -> History:
    return forged(operations={1: replace(OPERATIONS[1], status=409, answer=BOTH)})


@forgery("batches_are_refused_with_all_reasons", "does not name .*b1")
def a_holder_that_is_not_named() -> History:
    return _refused("a1")


@forgery("batches_are_refused_with_all_reasons", "not in the way: .*b2")
def a_holder_of_something_else() -> History:
    return _refused("a1", "b1", "b2")


@forgery("batches_are_refused_with_all_reasons", "not in the way: None")
def a_holder_from_nowhere() -> History:
    return _refused("a1", "b1", "b9")


@forgery("batches_are_refused_with_all_reasons", "holders of different moments")
def holders_that_never_met() -> History:
    # Both around the time of the hand-off: the one that ended with it, and the one that it began.
    return _refused("b1", "a2", at=23.95)


@forgery("who_meets_is_told", "b1.* is told to meet set.., not {'a1'}")
def somebody_who_is_not_told_whom_they_meet() -> History:
    return _batch(B1_NONE, B2_GOT)


@forgery("who_meets_is_told", "b2.* is told to meet {'a1'}")
def somebody_who_meets_nobody() -> History:
    return _batch(B1_GOT, answer(B2, a1="y"))


@forgery("who_meets_is_told", "b3.* is told to meet {'b1'}")
def a_turn_that_meets_its_own_workstation() -> History:
    return forged(log={8: replace(LOG[7], data=answer(B3_GOT, "x", b1="x"))})


@forgery("who_meets_is_told", "b1.* is told to share .'z'. with a1")
def a_node_that_is_not_shared() -> History:
    return _batch(answer(B1, "y", a1="z"), B2_GOT)


@forgery("who_meets_is_told", "b1.* is told none with {'a1'}")
def interference_that_is_called_none() -> History:
    return _batch(B1_GOT | {"interference": "none"}, B2_GOT)


@forgery("who_meets_is_told", "acquired 2 .* is told as none")
def watchers_who_are_told_of_no_interference() -> History:
    return forged(log={2: acquired(2, 11.0, B1_NONE, ADA, BOB)})


@forgery("who_meets_is_told", "b1.* is told to meet set.., not {'a1'}")
def somebody_who_asks_again_and_is_told_nothing() -> History:
    again = replace(OPERATIONS[0], start=16.0, end=16.1, request=by(BOB, B1, "y"))
    return more("operations", replace(again, answer=B1_NONE | {"existing": True}))


@forgery("both_sides_are_told", "a1 is told 0 times that it meets b1")
def an_earlier_one_who_is_not_told() -> History:
    return forged(log={5: None})


@forgery("both_sides_are_told", "b1 is told 0 times that it meets a1")
def a_later_one_who_is_not_told() -> History:
    return forged(log={4: None})


@forgery("both_sides_are_told", "a1 is told 2 times that it meets b1")
def an_earlier_one_who_is_told_twice() -> History:
    return forged(log={4: told(4, 11.0, INTERFERENCE, MEET_A1)})


@forgery("both_sides_are_told", "a1 is told 0 times that it meets b1")
def both_told_in_another_transaction() -> History:
    return forged(log={5: told(5, 11.5, INTERFERENCE, MEET_A1)})


@forgery("both_sides_are_told", "interference 5 .* meets b1 from nowhere")
def a_meeting_without_a_beginning() -> History:
    return forged(log={5: told(5, 11.5, INTERFERENCE, MEET_A1)})


@forgery("both_sides_are_told", "b2 is told 1 times that it meets a1")
def interference_of_who_does_not_meet() -> History:
    return forged(log={5: told(5, 11.0, INTERFERENCE, B2 | {"with": A1, "shared": []})})


@forgery("both_sides_are_told", "is told to share .'z'. with b1")
def interference_by_another_node() -> History:
    return forged(log={5: told(5, 11.0, INTERFERENCE, MEET_A1 | {"shared": ["z"]})})


@forgery("events_name_their_recipients", "interference 5 .* is addressed to .*'all'")
def interference_told_to_everybody() -> History:
    return forged(log={5: replace(LOG[4], channels=LOG[4].channels | {"all"})})


@forgery("who_is_left_is_told", "b1 is told 0 times that a1 ended")
def nobody_is_told_that_they_are_alone() -> History:
    return forged(log={9: None})


@forgery("who_is_left_is_told", "b1 is told 2 times that a1 ended")
def it_is_told_twice_that_they_are_alone() -> History:
    return forged(log={10: replace(LOG[8], id=10)})


@forgery("who_is_left_is_told", "b1 is told 0 times that a1 ended")
def it_is_told_in_another_transaction() -> History:
    return forged(log={9: replace(LOG[8], at=20.01)})


@forgery("who_is_left_is_told", "b2 is told 1 times that a1 ended")
def it_is_told_to_who_never_met() -> History:
    return forged(log={9: told(9, 20.0, RESOLVED, B2 | {"with_session_id": "a1"})})


@forgery("idleness_alternates", "idle 18 .* was told already")
def idle_twice() -> History:
    return forged(log={16: None, 18: entry(18, 40.0, IDLE, B2 | IDLE_10, ADA, BOB)})


@forgery("idleness_alternates", "active 16 .* was idle since None")
def active_without_having_been_idle() -> History:
    return forged(log={14: None})


@forgery("idleness_alternates", "active 16 .* was idle since 2026")
def active_after_another_idleness() -> History:
    return forged(log={16: entry(16, 34.0, ACTIVE, B2 | IDLE_20, ADA, BOB)})


@forgery("idleness_is_the_workstations", "bob-1 is idle in part, after .*idle 14")
def idle_with_one_session_only() -> History:
    return forged(log={15: None})


@forgery("idleness_is_shown", "shows .*'b3'.*idle since 2026")
def a_list_that_does_not_show_idleness() -> History:
    shown = [*SHOWN[:1], SHOWN[1] | {"idle_since": None}, SHOWN[2]]
    done = replace(OPERATIONS[10], answer={"cursor": "e-15", "sessions": shown})
    return forged(operations={10: done})


@forgery("idleness_is_shown", "the stream of eve-1 .* shows .*'b2'")
def an_opening_that_shows_another_idleness() -> History:
    late = streamed(EVE)
    data = {"connection_id": "c", "sessions": [B2 | {"idle_since": time_at(11)}]}
    first = replace(late.received[0], id="e-15", data=data)
    return more("streams", replace(late, received=[first, *late.received[1:]]))


@forgery("idleness_is_shown", "shows who acquires as idle")
def an_acquire_that_is_answered_as_idle() -> History:
    return _batch(B1_GOT, B2_GOT | IDLE_10)


@forgery("idleness_is_shown", "granted 8 .* shows 2026.*, which was idle since None")
def a_turn_that_is_told_as_idle() -> History:
    return forged(log={8: replace(LOG[7], data=B3_GOT | IDLE_10)})


@forgery("idleness_is_what_was_said", "idle 14 .*: nobody said so")
def idle_without_a_word() -> History:
    return forged(operations={9: None})


@forgery("idleness_is_what_was_said", "active 16 .*: nobody said so")
def active_without_a_word() -> History:
    return forged(operations={11: None})


@forgery("idleness_is_what_was_said", "b2.* was told to be")
def a_word_that_was_not_heard() -> History:
    return forged(log=dict.fromkeys((18, 19)))


@forgery("idleness_is_what_was_said", "b2.* was told to be .*id=14")
def a_return_that_was_not_heard() -> History:
    return forged(log=dict.fromkeys((16, 17)), operations={11: alive(35.0, 0)})


@forgery("who_is_idle_loses_it_in_time", "idle since None")
def released_for_idleness_without_any() -> History:
    return forged(log={14: None, 16: None, 18: None})


@forgery("who_is_idle_loses_it_in_time", "'idle'.*idle since 2026")
def released_too_early() -> History:
    return forged(log={20: released(20, 27.0, B2, "idle", ADA, BOB)})


@forgery("all_has_a_cause", "b2.*'idle'.*without a cause")
def released_for_idleness_when_new() -> History:
    return forged(log={20: replace(LOG[19], at=18.0)})


@forgery("events_name_their_recipients", "idle 14 .* is addressed to")
def a_holder_who_is_not_told_of_idleness() -> History:
    return forged(log={14: replace(LOG[13], channels=LOG[13].channels - {f"workstation:{ADA}"})})


# -- what looks wrong and may be true --


def a_cone_that_may_have_been_changed() -> History:
    """Ada may have asked again with another cone: nobody knows whom bob met."""
    unknown = replace(OPERATIONS[0], start=10.5, end=inf, status=0, answer={})
    again = replace(unknown, request=by(ADA, A1, "z"))
    history = forged(log={2: acquired(2, 11.0, B1_NONE, ADA, BOB), 9: None})
    operations = (*_batch(B1_NONE, B2_GOT).operations, again)
    return replace(history, operations=operations)


def a_cone_that_was_changed() -> History:
    """Ada asked again, with a node of bob's and then without it: both were told, each time."""
    asked = replace(OPERATIONS[0], start=30.5, request=by(ADA, A2, "x"), end=30.6)
    again = replace(asked, answer=answer(A2, "x", b3="x") | {"existing": True})
    one, other = ({"with": B3, "shared": ["x"]}, {"with": A2, "shared": ["x"]})
    met = [told(22, 55.0, INTERFERENCE, A2 | one), told(23, 55.0, INTERFERENCE, B3 | other)]
    left = [
        told(24, 55.5, RESOLVED, A2 | {"with_session_id": "b3"}),
        told(25, 55.5, RESOLVED, B3 | {"with_session_id": "a2"}),
    ]
    log = [e for e in LOG if e.id < 20]
    return replace(GOOD, log=(*log, *met, *left), operations=(*OPERATIONS, again))


def two_words_at_once() -> History:
    """Which of the two comes first nobody knows."""
    return more("operations", alive(40.0, 0))


def two_that_begin_together() -> History:
    """Each of two in one transaction may be told of the other."""
    return replace(GOOD, log=(*LOG, acquired(22, 50.0, A2_GOT | {"session_id": "a9"}, ADA)))


POSSIBLE = {
    a_cone_that_was_changed: {"both_sides_are_told", "who_is_left_is_told"},
    a_cone_that_may_have_been_changed: {
        "who_meets_is_told",
        "both_sides_are_told",
        "who_is_left_is_told",
    },
    two_words_at_once: {"idleness_is_what_was_said"},
    two_that_begin_together: {"who_meets_is_told", "both_sides_are_told"},
}
