"""Forgeries of the line and of hand-offs."""

from dataclasses import replace
from math import inf

from tests.history import GRANTED, REQUESTED, History
from tests.unit.true_history import Forgeries, call
from tests.unit.true_line import (
    A1,
    A2,
    A2_GOT,
    ADA,
    ASKED,
    B1,
    B3_GOT,
    BOB,
    EVE,
    GOOD,
    LEAVE,
    LOG,
    OPERATIONS,
    acquired,
    answer,
    by,
    forged,
    handoff,
    more,
    released,
    session,
    stand,
    standing,
    streamed,
    told,
)

FORGERIES = Forgeries()
forgery = FORGERIES.refused_by

E3_GOT = answer(session("b3", EVE, 4, "sketch"), "x")
EVES_TURN = {7: acquired(7, 20.0, E3_GOT, EVE), 8: told(8, 20.0, GRANTED, E3_GOT)}
B3_LATER = {7: acquired(7, 20.4, B3_GOT, BOB), 8: told(8, 20.4, GRANTED, B3_GOT)}


@forgery("grants_are_told", "b3.* begins when .*a1.* ends, and nobody is told")
def a_turn_that_nobody_is_told_of() -> History:
    return forged(log={8: None})


@forgery("grants_are_told", "b3.* is told 2 times")
def a_turn_told_twice() -> History:
    return more("log", told(22, 55.0, GRANTED, B3_GOT))


@forgery("grants_are_told", "b3.* is told 1 times, and comes after .*resolved 8 ")
def a_turn_told_too_late() -> History:
    return forged(log={8: replace(LOG[8], id=8), 9: replace(LOG[7], id=9)})


@forgery("grants_are_told", "b3.*comes after .*acquired 7 ")
def a_turn_told_with_another_token() -> History:
    return forged(log={8: told(8, 20.0, GRANTED, B3_GOT | {"fencing_token": 3})})


@forgery("grants_have_a_cause", "b3.*: it did not stand in line")
def a_turn_of_somebody_who_did_not_stand_there() -> History:
    return forged(operations={2: None})


@forgery("grants_have_a_cause", "b3.*: it did not stand in line")
def a_turn_of_somebody_who_was_refused() -> History:
    return forged(operations={2: replace(OPERATIONS[2], status=409)})


@forgery("grants_have_a_cause", "b3.*: it did not stand in line")
def a_turn_of_somebody_who_had_left_the_line() -> History:
    return more("operations", call("leave", 19.0, {"request_id": "p1"}, 204))


@forgery("grants_have_a_cause", "b3.*: it did not stand in line")
def a_place_that_outlived_a_departure() -> History:
    streams = [streamed(BOB, 14.0), replace(streamed(BOB), requested=19.0)]
    return replace(GOOD, streams=streams)


@forgery("grants_have_a_cause", "b3.*: it was not there")
def a_turn_of_somebody_who_is_gone() -> History:
    return replace(GOOD, streams=[streamed(BOB, 14.0)])


@forgery("first_come_first_served", "eve-1.*, who came at 13.000, was served before bob-1, who")
def the_second_of_the_line_is_served() -> History:
    return forged(log=EVES_TURN)


@forgery("first_come_first_served", "eve-1.*, who came at 16.000, was served before bob-1, who")
def somebody_who_came_again_keeps_the_old_place() -> History:
    again = stand(16.0, EVE, A1, "p3", 2)
    return replace(forged(log=EVES_TURN), operations=(*OPERATIONS, again))


@forgery("first_come_first_served", "'stand'.* was served before bob-1, who")
def somebody_who_stands_behind_overtakes() -> History:
    got = call("stand", 20.4, by(EVE, A1, "x"), 200, E3_GOT)
    history = forged(log={7: acquired(7, 20.45, E3_GOT, EVE), 8: None})
    return replace(history, operations=(*OPERATIONS, got))


@forgery("turns_come_with_the_end", "a1.*, and nobody got it, not even bob-1, who stands")
def a_turn_in_a_transaction_of_its_own() -> History:
    return forged(log=B3_LATER)


@forgery("turns_come_with_the_end", "a1.*, and bob-1, who .* had not got it at 30")
def a_turn_that_never_comes() -> History:
    return forged(log=dict.fromkeys((7, 8, 9, 15, 17, 19, 21)))


@forgery("positions_are_true", "is answered 1, not 2 to 2")
def two_who_are_first() -> History:
    return forged(operations={3: stand(13.0, EVE, A1, "p2", 1)})


@forgery("positions_are_true", "is answered 2, not 1 to 1")
def a_first_one_who_is_second() -> History:
    return forged(operations={2: stand(12.0, BOB, A1, "p1", 2)})


@forgery("positions_are_true", "waits for somebody who did not have it")
def a_holder_of_something_else() -> History:
    return forged(operations={2: stand(12.0, BOB, A1 | {"session_id": "b1"}, "p1", 1)})


@forgery("positions_are_true", "waits for somebody else than .*a1")
def no_holder_of_what_is_held() -> History:
    place = OPERATIONS[2].answer | {"holder": None}
    return forged(operations={2: replace(OPERATIONS[2], answer=place)})


def _line(*requests: object) -> History:
    line = replace(OPERATIONS[4], answer={"requests": list(requests)})
    return forged(operations={4: line})


@forgery("lines_are_true", "does not show eve-1, who stands")
def a_line_without_one() -> History:
    return _line(standing("p1", BOB, 1))


@forgery("lines_are_true", "'ada-1'.*, who does not stand there")
def a_line_with_a_stranger() -> History:
    return _line(standing("p1", BOB, 1), standing("p2", EVE, 2), standing("p3", ADA, 3))


@forgery("lines_are_true", "does not count")
def a_line_that_counts_from_zero() -> History:
    return _line(standing("p1", BOB, 0), standing("p2", EVE, 1))


@forgery("lines_are_true", "shows eve-1, .* before bob-1, ")
def a_line_in_another_order() -> History:
    return _line(standing("p2", EVE, 1), standing("p1", BOB, 2))


@forgery("leaving_is_true", "was answered a second time")
def a_place_left_twice() -> History:
    return more("operations", call("leave", 38.0, LEAVE, 204))


@forgery("leaving_is_true", "and there stood eve-1, who")
def a_place_that_is_not_found() -> History:
    return more("operations", call("leave", 16.0, LEAVE, 404))


@forgery("handoffs_are_one", "handed_off.*, and what came of it is None")
def a_handoff_in_two_transactions() -> History:
    changes = {12: acquired(12, 24.1, A2_GOT, ADA), 13: told(13, 24.1, GRANTED, A2_GOT)}
    return forged(log=changes)


@forgery("handoffs_are_one", "to .*ada-1.*, not as .*'to_workstation_id': 'eve-1'")
def a_handoff_to_somebody_else() -> History:
    return forged(operations={8: handoff(23.95, B1, EVE, 200, A2_GOT)})


@forgery("handoffs_are_one", "a2.*: handed to somebody who had not asked")
def a_handoff_that_nobody_asked_for() -> History:
    return forged(operations={7: None})


@forgery("handoffs_are_one", "is in the log as .*'released'")
def a_handoff_that_was_a_release() -> History:
    return forged(log={11: released(11, 24.0, B1, "released", BOB)})


@forgery("handoffs_are_refused_with_reason", "and it was asked for by .*please")
def a_handoff_refused_though_asked_for() -> History:
    return more("operations", handoff(23.0, B1, ADA, 409, {"error": "not_requested"}))


@forgery("handoffs_are_refused_with_reason", "and this stood in line: bob-1, who")
def a_handoff_refused_though_in_line() -> History:
    return more("operations", handoff(16.0, A1, BOB, 409, {"error": "not_requested"}))


@forgery("handoffs_are_refused_with_reason", "and this was open: the stream of eve-1")
def a_handoff_refused_to_who_is_there() -> History:
    return forged(operations={15: handoff(57.0, A2, EVE, 409, {"error": "not_connected"})})


@forgery("requests_are_told", r"is told as \[\]")
def a_request_that_was_never_told() -> History:
    return forged(log={10: None})


@forgery("requests_are_told", "is told as .*id=10.*id=22")
def a_request_told_twice() -> History:
    return more("log", told(22, 22.0, REQUESTED, B1 | ASKED))


@forgery("requests_are_told", "b1.* is told for None")
def a_request_that_nobody_made() -> History:
    return forged(operations={7: None})


@forgery("requests_are_told", "a2.* is told for .*please")
def a_request_told_of_another_session() -> History:
    return forged(log={10: told(10, 22.0, REQUESTED, A2 | ASKED)})


@forgery("refusals_are_true", "not_connected.*and this was open: the stream of eve-1")
def an_open_stream_that_cannot_stand_in_line() -> History:
    refused = replace(OPERATIONS[3], status=409, answer={"error": "not_connected"})
    return forged(operations={3: refused})


@forgery("events_name_their_recipients", "granted 8 .* is addressed to .*'all'")
def a_turn_told_to_everybody() -> History:
    return forged(log={8: replace(LOG[7], channels=LOG[7].channels | {"all"})})


@forgery("all_has_a_cause", "'handed_off'.*without a cause")
def a_handoff_that_nobody_did() -> History:
    return forged(operations={8: None})


@forgery("nothing_answered_is_lost", "'handoff'|acquire.*is in the log as")
def a_handoff_answered_with_what_is_not_there() -> History:
    other = A2_GOT | {"session_id": "a9"}
    return forged(operations={8: handoff(23.95, B1, ADA, 200, other)})


# -- what looks wrong and may be true --


def a_place_of_which_no_answer_is_known() -> History:
    unknown = replace(OPERATIONS[2], end=inf, status=0, answer={})
    return forged(operations={2: unknown, 3: stand(13.0, EVE, A1, "p2", 1)})


def a_turn_passed_over_who_may_be_gone() -> History:
    """Bob's stream was just changing, so it is eve's turn."""
    streams = [streamed(ADA), streamed(BOB, 19.0), streamed(EVE), streamed(None)]
    return replace(forged(log=EVES_TURN), streams=streams)


def a_turn_passed_over_in_a_fault() -> History:
    return replace(forged(log=EVES_TURN), faults=((18.0, 19.0),))


def a_turn_found_by_a_beat_after_a_fault() -> History:
    return replace(forged(log=B3_LATER), faults=((18.0, 21.0),))


POSSIBLE = {
    a_place_of_which_no_answer_is_known: {"positions_are_true", "grants_have_a_cause"},
    a_turn_passed_over_who_may_be_gone: {"first_come_first_served", "turns_come_with_the_end"},
    a_turn_passed_over_in_a_fault: {"first_come_first_served"},
    a_turn_found_by_a_beat_after_a_fault: {"turns_come_with_the_end"},
}
