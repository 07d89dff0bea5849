"""Forgeries of the line and of hand-offs."""

from dataclasses import replace
from math import inf

from tests.history import GRANTED, REQUESTED, History, Operation
from tests.unit.true_history import Forgeries, call
from tests.unit.true_line import (
    A1,
    A2,
    A2_GOT,
    ADA,
    ASKED,
    B1,
    B3,
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

E3_GOT = answer(session("b3", EVE, 4, "sketch"), "x")
EVES_TURN = {7: acquired(7, 20.0, E3_GOT, EVE), 8: told(8, 20.0, GRANTED, E3_GOT)}
NOT_ASKED = handoff(45.0, B3, EVE, 409, {"error": "not_requested"})
B3_LATER = {7: acquired(7, 20.4, B3_GOT, BOB), 8: told(8, 20.4, GRANTED, B3_GOT)}


def _line(*requests: object) -> History:
    line = replace(OPERATIONS[4], answer={"requests": list(requests)})
    return forged(operations={4: line})


def _a_place_that_outlived_a_departure() -> History:
    streams = [streamed(BOB, 14.0), replace(streamed(BOB), requested=19.0)]
    return replace(GOOD, streams=streams)


def _somebody_who_came_again_keeps_the_old_place() -> History:
    again = stand(16.0, EVE, A1, "p3", 2)
    return replace(forged(log=EVES_TURN), operations=(*OPERATIONS, again))


def _somebody_who_stands_behind_overtakes() -> History:
    got = call("stand", 20.4, by(EVE, A1, "x"), 200, E3_GOT)
    history = forged(log={7: acquired(7, 20.45, E3_GOT, EVE), 8: None})
    return replace(history, operations=(*OPERATIONS, got))


def _no_holder_of_what_is_held() -> History:
    place = OPERATIONS[2].answer | {"holder": None}
    return forged(operations={2: replace(OPERATIONS[2], answer=place)})


def _a_handoff_in_two_transactions() -> History:
    changes = {12: acquired(12, 24.1, A2_GOT, ADA), 13: told(13, 24.1, GRANTED, A2_GOT)}
    return forged(log=changes)


def _eve_asks(at: float) -> Operation:
    request = {"session_id": "b3"} | ASKED | {"workstation_id": EVE}
    return call("request_handoff", at, request, 202)


def _an_open_stream_that_cannot_stand_in_line() -> History:
    refused = replace(OPERATIONS[3], status=409, answer={"error": "not_connected"})
    return forged(operations={3: refused})


def _a_handoff_answered_with_what_is_not_there() -> History:
    other = A2_GOT | {"session_id": "a9"}
    return forged(operations={8: handoff(23.95, B1, ADA, 200, other)})


FORGERIES: Forgeries = {
    "grants_are_told": [
        ("b3.* begins when .*a1.* ends, and nobody is told", forged(log={8: None})),
        ("b3.* is told 2 times", more("log", told(22, 55.0, GRANTED, B3_GOT))),
        (
            "b3.* is told 1 times, and comes after .*resolved 8 ",
            forged(log={8: replace(LOG[8], id=8), 9: replace(LOG[7], id=9)}),
        ),
        (
            "b3.*comes after .*acquired 7 ",
            forged(log={8: told(8, 20.0, GRANTED, B3_GOT | {"fencing_token": 3})}),
        ),
    ],
    "grants_have_a_cause": [
        # A turn of somebody who did not stand there.
        ("b3.*: it did not stand in line", forged(operations={2: None})),
        # A turn of somebody who was refused.
        (
            "b3.*: it did not stand in line",
            forged(operations={2: replace(OPERATIONS[2], status=409)}),
        ),
        # A turn of somebody who had left the line.
        (
            "b3.*: it did not stand in line",
            more("operations", call("leave", 19.0, {"request_id": "p1"}, 204)),
        ),
        ("b3.*: it did not stand in line", _a_place_that_outlived_a_departure()),
        ("b3.*: it was not there", replace(GOOD, streams=[streamed(BOB, 14.0)])),
    ],
    "first_come_first_served": [
        ("eve-1.*, who came at 13.000, was served before bob-1, who", forged(log=EVES_TURN)),
        (
            "eve-1.*, who came at 16.000, was served before bob-1, who",
            _somebody_who_came_again_keeps_the_old_place(),
        ),
        ("'stand'.* was served before bob-1, who", _somebody_who_stands_behind_overtakes()),
    ],
    "turns_come_with_the_end": [
        ("a1.*, and nobody got it, not even bob-1, who stands", forged(log=B3_LATER)),
        (
            "a1.*, and bob-1, who .* had not got it at 30",
            forged(log=dict.fromkeys((7, 8, 9, 15, 17, 19, 21))),
        ),
    ],
    "positions_are_true": [
        ("is answered 1, not 2 to 2", forged(operations={3: stand(13.0, EVE, A1, "p2", 1)})),
        ("is answered 2, not 1 to 1", forged(operations={2: stand(12.0, BOB, A1, "p1", 2)})),
        (
            "waits for somebody who did not have it",
            forged(operations={2: stand(12.0, BOB, A1 | {"session_id": "b1"}, "p1", 1)}),
        ),
        ("waits for somebody else than .*a1", _no_holder_of_what_is_held()),
    ],
    "lines_are_true": [
        ("does not show eve-1, who stands", _line(standing("p1", BOB, 1))),
        (
            "'ada-1'.*, who does not stand there",
            _line(standing("p1", BOB, 1), standing("p2", EVE, 2), standing("p3", ADA, 3)),
        ),
        ("does not count", _line(standing("p1", BOB, 0), standing("p2", EVE, 1))),
        ("shows eve-1, .* before bob-1, ", _line(standing("p2", EVE, 1), standing("p1", BOB, 2))),
    ],
    "leaving_is_true": [
        ("was answered a second time", more("operations", call("leave", 38.0, LEAVE, 204))),
        ("and there stood eve-1, who", more("operations", call("leave", 16.0, LEAVE, 404))),
    ],
    "handoffs_are_one": [
        ("handed_off.*, and what came of it is None", _a_handoff_in_two_transactions()),
        (
            "to .*ada-1.*, not as .*'to_workstation_id': 'eve-1'",
            forged(operations={8: handoff(23.95, B1, EVE, 200, A2_GOT)}),
        ),
        ("a2.*: handed to somebody who had not asked", forged(operations={7: None})),
        (
            "is in the log as .*'released'",
            forged(log={11: released(11, 24.0, B1, "released", BOB)}),
        ),
    ],
    "handoffs_are_refused_with_reason": [
        (
            "and it was asked for by .*please",
            more("operations", handoff(23.0, B1, ADA, 409, {"error": "not_requested"})),
        ),
        ("and it was asked for by .*eve-1", more("operations", _eve_asks(38.0), NOT_ASKED)),
        (
            "and this stood in line: bob-1, who",
            more("operations", handoff(16.0, A1, BOB, 409, {"error": "not_requested"})),
        ),
        (
            "and this was open: the stream of eve-1",
            forged(operations={15: handoff(57.0, A2, EVE, 409, {"error": "not_connected"})}),
        ),
    ],
    "requests_are_told": [
        (r"is told as \[\]", forged(log={10: None})),
        ("is told as .*id=10.*id=22", more("log", told(22, 22.0, REQUESTED, B1 | ASKED))),
        ("b1.* is told for None", forged(operations={7: None})),
        ("a2.* is told for .*please", forged(log={10: told(10, 22.0, REQUESTED, A2 | ASKED)})),
    ],
    "refusals_are_true": [
        (
            "not_connected.*and this was open: the stream of eve-1",
            _an_open_stream_that_cannot_stand_in_line(),
        ),
    ],
    "events_name_their_recipients": [
        (
            "granted 8 .* is addressed to .*'all'",
            forged(log={8: replace(LOG[7], channels=LOG[7].channels | {"all"})}),
        ),
        (
            "line_changed 22 .* is addressed to",
            forged(log={22: replace(LOG[21], channels=LOG[21].channels - {f"workstation:{ADA}"})}),
        ),
        (
            "line_changed 22 .* is addressed to",
            forged(log={22: replace(LOG[21], channels=LOG[21].channels | {f"workstation:{BOB}"})}),
        ),
    ],
    "all_has_a_cause": [
        ("'handed_off'.*without a cause", forged(operations={8: None})),
    ],
    "nothing_answered_is_lost": [
        ("'handoff'|acquire.*is in the log as", _a_handoff_answered_with_what_is_not_there()),
    ],
}


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


def a_request_taken_back_with_the_place() -> History:
    """Eve asked bob for what she stood for, and has left the line since."""
    return more("operations", _eve_asks(35.0), NOT_ASKED)


POSSIBLE = {
    a_request_taken_back_with_the_place: {"handoffs_are_refused_with_reason"},
    a_place_of_which_no_answer_is_known: {"positions_are_true", "grants_have_a_cause"},
    a_turn_passed_over_who_may_be_gone: {"first_come_first_served", "turns_come_with_the_end"},
    a_turn_passed_over_in_a_fault: {"first_come_first_served"},
    a_turn_found_by_a_beat_after_a_fault: {"turns_come_with_the_end"},
}
