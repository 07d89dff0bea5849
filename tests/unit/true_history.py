"""A history that is true in every way, and how to forge it."""

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
    lock_of,
)
from tests.history_checker import check

BOLT, NUT = "bolt", "nut"
ADA, BOB = "ada-1", "bob-1"


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
    workstation, token = session["workstation"]["id"], session["fencing_token"]
    return Row(session["session_id"], lock_of(session), workstation, token, reason)


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


# For each rule the histories that it has to refuse, each with words that it has to say (a pattern).
Forgeries = dict[str, list[tuple[str, History]]]


def parameters(*forgeries: Forgeries) -> list[Any]:
    """Return them as parameters of a test."""
    rows = ((rule, *one) for some in forgeries for rule, ones in some.items() for one in ones)
    return [pytest.param(rule, words, forged, id=f"{rule}-{words}") for rule, words, forged in rows]


def is_found(forged: History, rule: str, words: str) -> bool:
    """Whether the checker refuses a forgery by this rule, in these words."""
    said = [found.what for found in check(forged) if found.rule == rule]
    return any(re.search(words, what) for what in said)
