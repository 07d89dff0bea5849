"""Forgeries of what happened to sessions: in the log, the record, and the answers of calls."""

from dataclasses import replace

from tests.history import ACQUIRED, History
from tests.unit.true_history import (
    BOB,
    GOOD,
    LOG,
    OPERATIONS,
    S1,
    S2,
    S3,
    S4,
    S5,
    STREAMS,
    Forgeries,
    acquire,
    add,
    call,
    change,
    drop,
    ended,
    entry,
    heartbeats,
    row,
)


def _a_second_session_of_a_lock() -> History:
    more = entry(12, 91.0, ACQUIRED, S5 | {"session_id": "s9", "fencing_token": 9}, BOB)
    return add("log", more)


def _an_open_stream_called_closed() -> History:
    request = S1 | {"workstation_id": BOB, "connection_id": "c"}
    return add("operations", call("acquire", 20, request, 409, {"error": "not_connected"}))


def _an_orphan() -> History:
    history = replace(GOOD, log=LOG[:8] + LOG[9:], records=GOOD.records[:3])
    return replace(history, active=(row(S4), row(S5)))


FORGERIES: Forgeries = {
    "one_holder_in_the_log": [
        (
            "s3.* while it was held since .*s1",
            replace(GOOD, log=(LOG[0], LOG[1], LOG[3], LOG[2], *LOG[4:])),
        ),
        ("s9.* while it was held since .*s5", _a_second_session_of_a_lock()),
    ],
    "one_holder_in_answers": [
        ("answered before the end at 16.950", change("log", 2, at=16.95)),
    ],
    "tokens_grow": [
        ("s3.* comes after .*s2", change("log", 3, data=S3 | {"fencing_token": 2})),
        (
            "when token 3 had been answered",
            change("operations", 9, answer={**OPERATIONS[9].answer, "fencing_token": 3}),
        ),
    ],
    "ends_once": [
        ("s1 has 1 events and 2 records", add("records", row(S1, "released"))),
        ("s2 has 0 events and 1 records", drop("log", 7)),
        ("s2 has 2 events and 1 records", add("log", replace(LOG[7], id=12))),
        (
            "s4.*expired.* was told as .*disconnected",
            change("log", 8, data=ended(S4, "disconnected", 85.5)),
        ),
    ],
    "acquired_first": [
        ("released 4 .* was not acquired before", drop("log", 0)),
        (
            "released 4 .* was not acquired before, but .*object_id=''",
            change("log", 2, data=ended(S1 | {"object_id": "Pad"}, "released", 14)),
        ),
        ("acquired 12 .* a second time", add("log", replace(LOG[0], id=12))),
        ("s9.* was never acquired", add("records", row(S1 | {"session_id": "s9"}, "released"))),
    ],
    "active_is_what_did_not_end": [
        ("s5.* has not ended and is not active", replace(GOOD, active=())),
        ("s4.* is active, but not so by the log", add("active", row(S4))),
    ],
    "nothing_answered_is_lost": [
        ("s1.* is in the log as None", drop("log", 0)),
        (
            "s1.* is in the log as .*assembly",
            change("log", 0, data=S1 | {"context_level": "assembly"}),
        ),
        ("happened at another time", change("log", 0, at=9.0)),
        ("answered with one that had ended", add("operations", acquire(50.0, S2, existing=True))),
        ("release.* is in the log as None", drop("log", 2)),
        (
            "is in the log as .*force_released",
            change("log", 2, data=ended(S1, "force_released", 14)),
        ),
        ("answered a second time", change("operations", 6, status=204)),
    ],
    "refusals_are_true": [
        (
            "names a holder that the log does not know: None",
            change(
                "operations",
                3,
                answer={"error": "hard_interference", "holder": {"session_id": "s9"}},
            ),
        ),
        ("names a holder of another time", change("operations", 3, start=17.0, end=17.1)),
        ("and this was open: the stream of bob-1", _an_open_stream_called_closed()),
        ("404.* came before the end: .*s1", change("operations", 6, start=12.0, end=12.1)),
    ],
    "lists_are_true": [
        (
            "shows too much: set.., and not: {'s2'}",
            change("operations", 4, answer={"cursor": "e-2", "sessions": [S1]}),
        ),
        (
            "shows too much: {'s4'}",
            change("operations", 11, answer={"cursor": "e-11", "sessions": [S4, S5]}),
        ),
        (
            "older than what had been answered: 2",
            change("operations", 4, answer={"cursor": "e-1", "sessions": [S1]}),
        ),
    ],
    "events_name_their_recipients": [
        (
            "released 4 .*; holders: {'workstation:bob-1'}",
            change("log", 2, channels=LOG[2].channels - {f"workstation:{BOB}"}),
        ),
        ("released 9 ", change("log", 7, channels=LOG[7].channels - {f"workstation:{BOB}"})),
        # A stranger who is told.
        ("acquired 1 ", change("log", 0, channels=LOG[0].channels | {f"workstation:{BOB}"})),
        # Watchers who are not told.
        ("acquired 1 ", change("log", 0, channels=LOG[0].channels - {"all"})),
        ("force_released 6 ", change("log", 4, channels=LOG[4].channels | {"all"})),
    ],
    "live_locks_are_kept": [
        ("disconnected.*and this was open: the stream of bob-1", change("log", 7, at=30.0)),
        (
            "disconnected.*and this was open: the stream of ada-1 from 12.9",
            change("log", 2, at=13.0, data=ended(S1, "disconnected", 13)),
        ),
        (
            "expired.*and this was open: the stream of ada-1",
            change("streams", 1, received=[*STREAMS[1].received[:1], *heartbeats(13.0, 95.0)]),
        ),
    ],
    "all_has_a_cause": [
        ("s4.*nobody asked for it", drop("operations", 9)),
        ("'released'.*without a cause", drop("operations", 5)),
        ("'force_released'.*without a cause", change("operations", 8, status=403)),
        (
            "'disconnected'.*without a cause",
            replace(
                GOOD,
                streams=tuple(
                    replace(s, by_client=s.by_client and s.workstation != BOB) for s in STREAMS
                ),
            ),
        ),
        ("'expired'.*without a cause", change("log", 8, at=70.0)),
    ],
    "who_left_holds_nothing": [
        ("s2.* until 44.000, not 42.900, after the stream of bob-1", change("log", 7, at=44.0)),
        ("s4.* until inf, not 95.000, after the stream of ada-1", _an_orphan()),
    ],
}
