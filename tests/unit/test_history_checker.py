"""The checker of histories finds every kind of forgery, and nothing in a history that is true."""

import re
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from tests.history import (
    ACQUIRED,
    RELEASED,
    Entry,
    History,
    Limits,
    Operation,
    Received,
    Row,
    Stream,
)
from tests.history_checker import RULES, check

BOLT, NUT = "bolt", "nut"
ADA, BOB = "ada-1", "bob-1"
FORGERIES: list[Any] = []


def session_json(session: str, workstation: str, token: int, level: str, item: str = BOLT) -> Any:
    """A session as events and answers show it."""
    return {
        "session_id": session,
        "item_id": item,
        "context_level": level,
        "object_id": "",
        "workstation": {"id": workstation},
        "fencing_token": token,
    }


S1 = session_json("s1", ADA, 1, "sketch")
S2 = session_json("s2", BOB, 2, "assembly")
S3 = session_json("s3", BOB, 3, "sketch")
S4 = session_json("s4", ADA, 4, "sketch")
S5 = session_json("s5", BOB, 5, "sketch", NUT)


def ended(session: Any, reason: str, at: float) -> Any:
    """The data of an end."""
    return session | {"reason": reason, "released_at": f"at {at}"}


def entry(number: int, at: float, kind: str, data: Any, *holders: str) -> Entry:
    """An event about an item, for its watchers and these workstations."""
    watchers = () if kind == "edit.force_released" else ("all", f"item:{data['item_id']}")
    names = frozenset({*watchers, *(f"workstation:{holder}" for holder in holders)})
    return Entry(number, at, kind, data, names)


LOG = (
    entry(1, 10.0, ACQUIRED, S1, ADA),
    entry(2, 12.0, ACQUIRED, S2, ADA, BOB),
    entry(4, 14.0, RELEASED, ended(S1, "released", 14), ADA, BOB),
    entry(5, 16.0, ACQUIRED, S3, BOB),
    entry(6, 18.0, "edit.force_released", S3, BOB),
    entry(7, 18.0, RELEASED, ended(S3, "force_released", 18), BOB),
    entry(8, 20.0, ACQUIRED, S4, ADA, BOB),
    # The server of ada's stream was killed at 25, and ada did not come back.
    entry(9, 40.0, RELEASED, ended(S2, "disconnected", 40), ADA, BOB),
    entry(10, 85.5, RELEASED, ended(S4, "expired", 85.5), ADA),
    entry(11, 90.0, ACQUIRED, S5, BOB),
)


def call(kind: str, start: float, request: Any, status: int, answer: Any = None) -> Operation:
    """A call that took a tenth of a second."""
    return Operation("c", kind, start, request, start + 0.1, status, answer or {})


def acquire(start: float, session: Any, **answer: Any) -> Operation:
    """An acquire of this session, answered with it."""
    request = session | {"workstation_id": session["workstation"]["id"], "connection_id": "c"}
    return call("acquire", start, request, 200, session | {"existing": False} | answer)


OPERATIONS = (
    acquire(9.95, S1),
    acquire(11.95, S2),
    acquire(13.0, S2, existing=True),
    replace(
        acquire(13.2, S1 | {"workstation": {"id": BOB}}),
        status=409,
        answer={"error": "hard_interference", "holder": {"session_id": "s1"}},
    ),
    call("list", 13.5, {"item_id": BOLT}, 200, {"cursor": "e-2", "sessions": [S1, S2]}),
    call("release", 13.95, {"session_id": "s1"}, 204),
    call("release", 14.5, {"session_id": "s1"}, 404),
    acquire(15.95, S3),
    call("force_release", 17.95, {"session_id": "s3"}, 204),
    acquire(19.95, S4),
    # Its outcome was never known: it happened.
    replace(acquire(89.95, S5), end=inf, status=0, answer={}),
    call("list", 91.0, {"item_id": None}, 200, {"cursor": "e-11", "sessions": [S5]}),
)


def got(*numbers: int, log: tuple[Entry, ...] = LOG) -> list[Received]:
    """These entries, each as soon as it is in the log."""
    return [Received(e.at + 0.01, e.type, f"e-{e.id}", e.data) for e in log if e.id in numbers]


def heartbeats(since: float, until: float) -> list[Received]:
    """One each half second."""
    count = int((until - since) * 2)
    return [Received(since + n / 2, "heartbeat", "", {}) for n in range(count + 1)]


def stream(
    workstation: str | None,
    since: float,
    until: float,
    events: list[Received],
    cursor: str,
    *,
    after: str = "",
    sessions: Any = (),
    by_client: bool = True,
) -> Stream:
    """A stream that was open from one time to another."""
    data = {"connection_id": workstation and "c", "sessions": list(sessions)}
    opening = Received(since + 0.05, "stream-open", cursor, data)
    received = [
        opening,
        *sorted([*events, *heartbeats(since + 0.1, until)], key=lambda e: e.at),
    ]
    channels = frozenset({f"workstation:{workstation}" if workstation else "all"})
    client = workstation or "eve"
    return Stream(client, workstation, channels, since, after, received, until, by_client)


STREAMS = (
    stream(ADA, 5.0, 13.0, got(1, 2), "e-0"),
    stream(ADA, 12.9, 25.0, got(4, 8), "e-2", after="e-2", sessions=[S1], by_client=False),
    stream(BOB, 5.0, 15.0, got(2, 4), "e-0"),
    stream(BOB, 15.1, 39.9, got(5, 6, 7, 8), "e-4", after="e-4", sessions=[S2]),
    stream(None, 5.0, 30.0, got(1, 2, 4, 5, 7, 8), "e-0"),
    # It brought what no log ever gave it.
    Stream(
        "eve",
        None,
        frozenset({"all"}),
        31.0,
        "nonsense",
        [
            Received(31.1, "stream-open", "reset", {"connection_id": None, "sessions": []}),
            Received(31.1, "stream-reset", "e-8", {}),
            *got(9, 10, 11),
            *heartbeats(90.5, 95.0),
        ],
        95.0,
        True,
    ),
    stream(BOB, 89.0, 95.0, got(11), "e-10"),
)


def row(session: Any, reason: str = "") -> Row:
    """A row of the session, or of the record of its end."""
    lock = session["item_id"], session["context_level"], session["object_id"]
    token = session["fencing_token"]
    return Row(session["session_id"], lock, session["workstation"]["id"], token, reason)


GOOD = History(
    operations=OPERATIONS,
    streams=STREAMS,
    log=LOG,
    records=(
        row(S1, "released"),
        row(S3, "force_released"),
        row(S2, "disconnected"),
        row(S4, "expired"),
    ),
    active=(row(S5),),
    epoch="e",
    ended=95.0,
    limits=Limits(timeout=60.0, settle=70.0),
)


def test_a_true_history_is_accepted() -> None:
    assert check(GOOD) == []


def forgery(rule: str, found: str) -> Callable[[Callable[[], History]], None]:
    """Mark what makes a history that this rule has to refuse, with words that it has to say (a pattern)."""

    def mark(make: Callable[[], History]) -> None:
        FORGERIES.append(pytest.param(make, rule, found, id=f"{rule}-{make.__name__}"))

    return mark


def change(name: str, index: int, **changes: Any) -> History:
    """The good history with one of its parts changed."""
    rows: Any = list(getattr(GOOD, name))
    rows[index] = replace(rows[index], **changes)
    return replace(GOOD, **{name: tuple(rows)})


def add(name: str, *more: Any) -> History:
    """The good history with something more at the end."""
    return replace(GOOD, **{name: (*getattr(GOOD, name), *more)})


def drop(name: str, index: int) -> History:
    """The good history without one of its parts."""
    rows: Any = list(getattr(GOOD, name))
    del rows[index]
    return replace(GOOD, **{name: tuple(rows)})


def receive(index: int, change_them: Callable[[list[Received]], list[Received]]) -> History:
    """The good history in which one stream received something else."""
    return change("streams", index, received=change_them(list(STREAMS[index].received)))


def lose(number: int) -> Callable[[list[Received]], list[Received]]:
    return lambda events: [event for event in events if event.id != f"e-{number}"]


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


@forgery("openings_are_true", "wrong: set.., missing: {'s2'}")
def an_opening_without_a_session() -> History:
    opening = replace(STREAMS[3].received[0], data={"connection_id": "c", "sessions": []})
    return receive(3, lambda events: [opening, *events[1:]])


@forgery("openings_are_true", "wrong: {'s4'}")
def an_opening_with_a_session_that_ended() -> History:
    opening = replace(STREAMS[6].received[0], data={"connection_id": "c", "sessions": [S4]})
    return receive(6, lambda events: [opening, *events[1:]])


@forgery("openings_are_true", "begins with .*heartbeat")
def no_opening() -> History:
    return receive(6, lambda events: events[1:])


@forgery("resets_have_a_reason", "its resets: .*e-8")
def a_reset_without_need() -> History:
    return change("streams", 5, last_event_id="e-8")


@forgery("resets_have_a_reason", r"its resets: \[\]")
def a_foreign_cursor_that_was_continued() -> History:
    return receive(5, lambda events: [e for e in events if e.name != "stream-reset"])


@forgery("resets_have_a_reason", "begins with .*'e-8'.*'e-8'")
def a_client_that_could_miss_its_reset() -> History:
    return receive(5, lambda events: [replace(events[0], id="e-8"), *events[1:]])


@forgery("resets_have_a_reason", "begins with .*'e-4'")
def a_stream_continued_from_elsewhere() -> History:
    return change("streams", 3, last_event_id="e-2")


@forgery("streams_are_complete", "got .*'e-4'.* where the log has .*acquired 2 ")
def an_event_that_was_lost() -> History:
    return receive(4, lose(2))


@forgery("streams_are_complete", "got .*'e-5'.* where the log has .*released 7 ")
def an_event_that_came_twice() -> History:
    def twice(events: list[Received]) -> list[Received]:
        number = next(n for n, event in enumerate(events) if event.id == "e-5")
        return [*events[: number + 1], *events[number:]]

    return receive(4, twice)


@forgery("streams_are_complete", "got .*'e-5'.* where the log has .*released 4 ")
def events_out_of_order() -> History:
    def swapped(events: list[Received]) -> list[Received]:
        told = [event for event in events if event.id]
        return [*told[:3], told[4], told[3], *told[5:]]

    return receive(4, swapped)


@forgery("streams_are_complete", "got .*'e-1'.* where the log has .*acquired 2 ")
def an_event_for_others() -> History:
    return receive(2, lambda events: [events[0], *got(1), *events[1:]])


@forgery("streams_are_complete", "sketchy")
def an_event_with_other_data() -> History:
    other = replace(got(1)[0], data=S1 | {"context_level": "sketchy"})
    return receive(4, lambda events: [other if e.id == "e-1" else e for e in events])


@forgery("streams_are_complete", "had not got .*acquired 8 .* at 39")
def an_event_that_does_not_come() -> History:
    return receive(3, lose(8))


@forgery("clients_go_on_where_they_were", "begins where its client never was")
def a_client_that_skips() -> History:
    return change("streams", 1, last_event_id="e-7")


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


@pytest.mark.parametrize(("make", "rule", "found"), FORGERIES)
def test_a_forgery_is_found(make: Callable[[], History], rule: str, found: str) -> None:
    told = [violation.what for violation in check(make()) if violation.rule == rule]
    assert any(re.search(found, what) for what in told), check(make())


def test_every_rule_has_its_forgery() -> None:
    assert {forged.values[1] for forged in FORGERIES} == {rule.__name__ for rule in RULES}


def test_a_fault_gives_a_departure_more_time() -> None:
    late = change("log", 7, at=44.0)
    assert check(late)
    assert check(replace(late, faults=((38.0, 41.0),))) == []


def test_who_was_left_by_a_server_is_given_a_time_out_after_every_outage() -> None:
    left = replace(GOOD, limits=Limits(timeout=60.0, settle=55.0))
    assert check(left)
    assert check(replace(left, outages=((30.0, 31.0),))) == []
