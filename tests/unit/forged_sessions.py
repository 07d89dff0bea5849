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

FORGERIES = Forgeries()
forgery = FORGERIES.refused_by


@forgery("one_holder_in_the_log", "s3.* while it was held since .*s1")
def acquired_while_held() -> History:
    return replace(GOOD, log=(LOG[0], LOG[1], LOG[3], LOG[2], *LOG[4:]))


@forgery("one_holder_in_the_log", "s9.* while it was held since .*s5")
def a_second_session_of_a_lock() -> History:
    more = entry(12, 91.0, ACQUIRED, S5 | {"session_id": "s9", "fencing_token": 9}, BOB)
    return add("log", more)


@forgery("one_holder_in_answers", "answered before the end at 16.950")
def answered_before_the_other_ended() -> History:
    return change("log", 2, at=16.95)


@forgery("tokens_grow", "s3.* comes after .*s2")
def a_token_that_went_back() -> History:
    return change("log", 3, data=S3 | {"fencing_token": 2})


@forgery("tokens_grow", "when token 3 had been answered")
def a_lower_token_for_a_later_acquire() -> History:
    return change("operations", 9, answer={**OPERATIONS[9].answer, "fencing_token": 3})


@forgery("ends_once", "s1 has 1 events and 2 records")
def a_record_too_many() -> History:
    return add("records", row(S1, "released"))


@forgery("ends_once", "s2 has 0 events and 1 records")
def an_end_that_was_never_told() -> History:
    return drop("log", 7)


@forgery("ends_once", "s2 has 2 events and 1 records")
def an_end_that_was_told_twice() -> History:
    return add("log", replace(LOG[7], id=12))


@forgery("ends_once", "s4.*expired.* was told as .*disconnected")
def an_end_that_was_told_otherwise() -> History:
    return change("log", 8, data=ended(S4, "disconnected", 85.5))


@forgery("acquired_first", "released 4 .* was not acquired before")
def a_session_from_nowhere() -> History:
    return drop("log", 0)


@forgery("acquired_first", "acquired 12 .* a second time")
def a_session_acquired_twice() -> History:
    return add("log", replace(LOG[0], id=12))


@forgery("acquired_first", "s9.* was never acquired")
def a_record_of_nothing() -> History:
    return add("records", row(S1 | {"session_id": "s9"}, "released"))


@forgery("active_is_what_did_not_end", "s5.* has not ended and is not active")
def a_session_that_vanished() -> History:
    return replace(GOOD, active=())


@forgery("active_is_what_did_not_end", "s4.* is active, but not so by the log")
def a_session_that_stayed() -> History:
    return add("active", row(S4))


@forgery("nothing_answered_is_lost", "s1.* is in the log as None")
def an_acquire_that_was_lost() -> History:
    return drop("log", 0)


@forgery("nothing_answered_is_lost", "s1.* is in the log as .*assembly")
def an_acquire_of_something_else() -> History:
    return change("log", 0, data=S1 | {"context_level": "assembly"})


@forgery("nothing_answered_is_lost", "happened at another time")
def an_acquire_of_another_time() -> History:
    return change("log", 0, at=9.0)


@forgery("nothing_answered_is_lost", "answered with one that had ended")
def a_session_given_back_after_its_end() -> History:
    return add("operations", acquire(50.0, S2, existing=True))


@forgery("nothing_answered_is_lost", "release.* is in the log as None")
def a_release_that_was_lost() -> History:
    return drop("log", 2)


@forgery("nothing_answered_is_lost", "is in the log as .*force_released")
def a_release_that_somebody_else_did() -> History:
    return change("log", 2, data=ended(S1, "force_released", 14))


@forgery("nothing_answered_is_lost", "answered a second time")
def a_release_answered_twice() -> History:
    return change("operations", 6, status=204)


@forgery("refusals_are_true", "names a holder that the log does not know: None")
def a_holder_from_nowhere() -> History:
    return change(
        "operations",
        3,
        answer={"error": "hard_interference", "holder": {"session_id": "s9"}},
    )


@forgery("refusals_are_true", "names a holder of another time")
def a_holder_of_before() -> History:
    return change("operations", 3, start=17.0, end=17.1)


@forgery("refusals_are_true", "and this was open: the stream of bob-1")
def an_open_stream_called_closed() -> History:
    request = S1 | {"workstation_id": BOB, "connection_id": "c"}
    return add("operations", call("acquire", 20, request, 409, {"error": "not_connected"}))


@forgery("refusals_are_true", "404.* came before the end: .*s1")
def not_found_though_held() -> History:
    return change("operations", 6, start=12.0, end=12.1)


@forgery("lists_are_true", "shows too much: set.., and not: {'s2'}")
def a_list_without_a_session() -> History:
    return change("operations", 4, answer={"cursor": "e-2", "sessions": [S1]})


@forgery("lists_are_true", "shows too much: {'s4'}")
def a_list_with_a_session_that_ended() -> History:
    return change("operations", 11, answer={"cursor": "e-11", "sessions": [S4, S5]})


@forgery("lists_are_true", "older than what had been answered: 2")
def a_list_of_before() -> History:
    return change("operations", 4, answer={"cursor": "e-1", "sessions": [S1]})


@forgery("events_name_their_recipients", "released 4 .*; holders: {'workstation:bob-1'}")
def a_holder_who_is_not_told() -> History:
    return change("log", 2, channels=LOG[2].channels - {f"workstation:{BOB}"})


@forgery("events_name_their_recipients", "released 9 ")
def an_end_its_own_holder_is_not_told() -> History:
    return change("log", 7, channels=LOG[7].channels - {f"workstation:{BOB}"})


@forgery("events_name_their_recipients", "acquired 1 ")
def a_stranger_who_is_told() -> History:
    return change("log", 0, channels=LOG[0].channels | {f"workstation:{BOB}"})


@forgery("events_name_their_recipients", "acquired 1 ")
def watchers_who_are_not_told() -> History:
    return change("log", 0, channels=LOG[0].channels - {"all"})


@forgery("events_name_their_recipients", "force_released 6 ")
def a_reason_told_to_everybody() -> History:
    return change("log", 4, channels=LOG[4].channels | {"all"})


@forgery("live_locks_are_kept", "disconnected.*and this was open: the stream of bob-1")
def a_live_session_that_was_disconnected() -> History:
    return change("log", 7, at=30.0)


@forgery("live_locks_are_kept", "disconnected.*and this was open: the stream of ada-1 from 12.9")
def a_session_lost_to_a_change_of_streams() -> History:
    return change("log", 2, at=13.0, data=ended(S1, "disconnected", 13))


@forgery("live_locks_are_kept", "expired.*and this was open: the stream of ada-1")
def a_live_session_that_expired() -> History:
    return change("streams", 1, received=[*STREAMS[1].received[:1], *heartbeats(13.0, 95.0)])


@forgery("all_has_a_cause", "s4.*nobody asked for it")
def an_acquire_that_nobody_asked_for() -> History:
    return drop("operations", 9)


@forgery("all_has_a_cause", "'released'.*without a cause")
def a_release_that_nobody_asked_for() -> History:
    return drop("operations", 5)


@forgery("all_has_a_cause", "'force_released'.*without a cause")
def a_force_release_that_was_refused() -> History:
    return change("operations", 8, status=403)


@forgery("all_has_a_cause", "'disconnected'.*without a cause")
def a_departure_that_was_the_servers_doing() -> History:
    return replace(
        GOOD,
        streams=tuple(replace(s, by_client=s.by_client and s.workstation != BOB) for s in STREAMS),
    )


@forgery("all_has_a_cause", "'expired'.*without a cause")
def a_time_out_before_its_time() -> History:
    return change("log", 8, at=70.0)


@forgery("who_left_holds_nothing", "s2.* until 44.000, not 42.900, after the stream of bob-1")
def a_departure_noticed_too_late() -> History:
    return change("log", 7, at=44.0)


@forgery("who_left_holds_nothing", "s4.* until inf, not 95.000, after the stream of ada-1")
def an_orphan() -> History:
    history = replace(GOOD, log=LOG[:8] + LOG[9:], records=GOOD.records[:3])
    return replace(history, active=(row(S4), row(S5)))
