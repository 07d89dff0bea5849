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

B1_NONE = answer(B1, "y")


def _batch(*got: Any) -> History:
    wanted = [by(BOB, B1, "y"), by(BOB, B2)]
    return forged(operations={1: batch(10.95, BOB, wanted, 200, {"sessions": list(got)})})


def _refused(*holders: str, at: float = 15.0) -> History:
    named = BOTH | {"holders": [{"session_id": name} for name in holders]}
    return forged(operations={5: batch(at, EVE, TWO, 409, named)})


def _a_batch_cut_in_two_by_a_client_that_hung_up() -> History:
    unknown = replace(OPERATIONS[1], end=inf, status=0, answer={})
    return forged(operations={1: unknown}, log={3: None})


def _holders_that_never_met() -> History:
    # Both around the time of the hand-off: the one that ended with it, and the one that it began.
    return _refused("b1", "a2", at=23.95)


def _somebody_who_asks_again_and_is_told_nothing() -> History:
    again = replace(OPERATIONS[0], start=16.0, end=16.1, request=by(BOB, B1, "y"))
    return more("operations", replace(again, answer=B1_NONE | {"existing": True}))


def _a_list_that_does_not_show_idleness() -> History:
    shown = [*SHOWN[:1], SHOWN[1] | {"idle_since": None}, SHOWN[2]]
    done = replace(OPERATIONS[10], answer={"cursor": "e-15", "sessions": shown})
    return forged(operations={10: done})


def _an_opening_that_shows_another_idleness() -> History:
    late = streamed(EVE)
    data = {"connection_id": "c", "sessions": [B2 | {"idle_since": time_at(11)}]}
    first = replace(late.received[0], id="e-15", data=data)
    return more("streams", replace(late, received=[first, *late.received[1:]]))


FORGERIES: Forgeries = {
    "told_while_active": [
        (
            "idle 22 .* comes after .*released 20 ",
            more("log", entry(22, 55.0, IDLE, B2 | IDLE_10, ADA)),
        ),
    ],
    "batches_are_whole": [
        (
            "'batch'.* is in the log as .*b1.*b2",
            forged(log={3: acquired(3, 11.01, B2_GOT, ADA, BOB)}),
        ),
        ("'batch'.* is in the log as ", forged(log={3: None})),
        (
            "acquired .*partdesign.*, and not .*assembly",
            _a_batch_cut_in_two_by_a_client_that_hung_up(),
        ),
    ],
    "nothing_answered_is_lost": [
        ("is in the log as .*assembly", _batch(B2_GOT, B1_GOT)),
    ],
    "all_has_a_cause": [
        (
            "b1.*nobody asked for it",
            forged(operations={1: replace(OPERATIONS[1], status=409, answer=BOTH)}),
        ),
        ("b2.*'idle'.*without a cause", forged(log={20: replace(LOG[19], at=18.0)})),
    ],
    "batches_are_refused_with_all_reasons": [
        ("does not name .*b1", _refused("a1")),
        ("not in the way: .*b2", _refused("a1", "b1", "b2")),
        ("not in the way: None", _refused("a1", "b1", "b9")),
        ("holders of different moments", _holders_that_never_met()),
    ],
    "who_meets_is_told": [
        # Somebody who is not told whom they meet.
        ("b1.* is told to meet set.., not {'a1'}", _batch(B1_NONE, B2_GOT)),
        ("b2.* is told to meet {'a1'}", _batch(B1_GOT, answer(B2, a1="y"))),
        (
            "b3.* is told to meet {'b1'}",
            forged(log={8: replace(LOG[7], data=answer(B3_GOT, "x", b1="x"))}),
        ),
        ("b1.* is told to share .'z'. with a1", _batch(answer(B1, "y", a1="z"), B2_GOT)),
        ("b1.* is told none with {'a1'}", _batch(B1_GOT | {"interference": "none"}, B2_GOT)),
        ("acquired 2 .* is told as none", forged(log={2: acquired(2, 11.0, B1_NONE, ADA, BOB)})),
        ("b1.* is told to meet set.., not {'a1'}", _somebody_who_asks_again_and_is_told_nothing()),
    ],
    "both_sides_are_told": [
        # An earlier one who is not told.
        ("a1 is told 0 times that it meets b1", forged(log={5: None})),
        ("b1 is told 0 times that it meets a1", forged(log={4: None})),
        (
            "a1 is told 2 times that it meets b1",
            forged(log={4: told(4, 11.0, INTERFERENCE, MEET_A1)}),
        ),
        # Both told in another transaction.
        (
            "a1 is told 0 times that it meets b1",
            forged(log={5: told(5, 11.5, INTERFERENCE, MEET_A1)}),
        ),
        (
            "interference 5 .* meets b1 from nowhere",
            forged(log={5: told(5, 11.5, INTERFERENCE, MEET_A1)}),
        ),
        (
            "b2 is told 1 times that it meets a1",
            forged(log={5: told(5, 11.0, INTERFERENCE, B2 | {"with": A1, "shared": []})}),
        ),
        (
            "is told to share .'z'. with b1",
            forged(log={5: told(5, 11.0, INTERFERENCE, MEET_A1 | {"shared": ["z"]})}),
        ),
    ],
    "events_name_their_recipients": [
        (
            "interference 5 .* is addressed to .*'all'",
            forged(log={5: replace(LOG[4], channels=LOG[4].channels | {"all"})}),
        ),
        (
            "idle 14 .* is addressed to",
            forged(log={14: replace(LOG[13], channels=LOG[13].channels - {f"workstation:{ADA}"})}),
        ),
    ],
    "who_is_left_is_told": [
        # Nobody is told that they are alone.
        ("b1 is told 0 times that a1 ended", forged(log={9: None})),
        ("b1 is told 2 times that a1 ended", forged(log={10: replace(LOG[8], id=10)})),
        # It is told in another transaction.
        ("b1 is told 0 times that a1 ended", forged(log={9: replace(LOG[8], at=20.01)})),
        (
            "b2 is told 1 times that a1 ended",
            forged(log={9: told(9, 20.0, RESOLVED, B2 | {"with_session_id": "a1"})}),
        ),
    ],
    "idleness_alternates": [
        (
            "idle 18 .* was told already",
            forged(log={16: None, 18: entry(18, 40.0, IDLE, B2 | IDLE_10, ADA, BOB)}),
        ),
        ("active 16 .* was idle since None", forged(log={14: None})),
        (
            "active 16 .* was idle since 2026",
            forged(log={16: entry(16, 34.0, ACTIVE, B2 | IDLE_20, ADA, BOB)}),
        ),
    ],
    "idleness_is_the_workstations": [
        ("bob-1 is idle in part, after .*idle 14", forged(log={15: None})),
    ],
    "idleness_is_shown": [
        ("shows .*'b3'.*idle since 2026", _a_list_that_does_not_show_idleness()),
        ("the stream of eve-1 .* shows .*'b2'", _an_opening_that_shows_another_idleness()),
        ("shows who acquires as idle", _batch(B1_GOT, B2_GOT | IDLE_10)),
        (
            "granted 8 .* shows 2026.*, which was idle since None",
            forged(log={8: replace(LOG[7], data=B3_GOT | IDLE_10)}),
        ),
    ],
    "idleness_is_what_was_said": [
        ("idle 14 .*: nobody said so", forged(operations={9: None})),
        ("active 16 .*: nobody said so", forged(operations={11: None})),
        ("b2.* was told to be", forged(log=dict.fromkeys((18, 19)))),
        (
            "b2.* was told to be .*id=14",
            forged(log=dict.fromkeys((16, 17)), operations={11: alive(35.0, 0)}),
        ),
    ],
    "who_is_idle_loses_it_in_time": [
        ("idle since None", forged(log={14: None, 16: None, 18: None})),
        ("'idle'.*idle since 2026", forged(log={20: released(20, 27.0, B2, "idle", ADA, BOB)})),
    ],
}


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
