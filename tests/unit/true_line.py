"""A history of the line, hand-offs, batches, interference and idleness that is true, and how to forge it."""

from dataclasses import replace
from typing import Any

from tests.history import (
    ACQUIRED,
    ACTIVE,
    GRANTED,
    IDLE,
    INTERFERENCE,
    LINE,
    RELEASED,
    REQUESTED,
    RESOLVED,
    Entry,
    History,
    Limits,
    Operation,
    Received,
)
from tests.unit.true_history import call, entry, row, session_json, stream

ADA, BOB, EVE = "ada-1", "bob-1", "eve-1"


def time_at(seconds: float) -> str:
    """A time of the database."""
    return f"2026-01-01T00:00:{seconds:06.3f}Z"


def session(name: str, workstation: str, token: int, level: str, part: str = "Pad") -> Any:
    """A session as lists show it."""
    return session_json(name, workstation, token, level) | {"object_id": part}


A1 = session("a1", ADA, 1, "sketch")
B1 = session("b1", BOB, 2, "partdesign")
B2 = session("b2", BOB, 3, "assembly", "Pocket")
B3 = session("b3", BOB, 4, "sketch")
A2 = session("a2", ADA, 5, "partdesign")


def answer(of: Any, *cone: str, **conflicts: str) -> Any:
    """What an acquire, or a grant, says: the cone, and whom it meets at which node."""
    return of | {
        "dependency_cone": list(cone),
        "existing": False,
        "interference": "soft" if conflicts else "none",
        "conflicts": [{"session_id": n, "shared": [node]} for n, node in conflicts.items()],
    }


A1_GOT, B1_GOT, B2_GOT = answer(A1, "x", "y"), answer(B1, "y", a1="y"), answer(B2)
B3_GOT, A2_GOT = answer(B3, "x"), answer(A2, "y")


def acquired(number: int, at: float, data: Any, *holders: str) -> Entry:
    """The event of a session that begins."""
    shown = {k: v for k, v in data.items() if k not in {"dependency_cone", "conflicts", "existing"}}
    return entry(number, at, ACQUIRED, shown, *holders)


def released(number: int, at: float, data: Any, reason: str, *holders: str) -> Entry:
    """The event of one that ends."""
    data = data | {"reason": reason, "released_at": time_at(at)}
    return entry(number, at, RELEASED, data, *holders)


def told(number: int, at: float, kind: str, data: Any) -> Entry:
    """What is told to the workstation of a session only."""
    return Entry(number, at, kind, data, frozenset({f"workstation:{data['workstation']['id']}"}))


ASKED = {"message": "please", "workstation_id": ADA, "requester": "ada"}
IDLE_10, IDLE_20 = ({"idle_since": time_at(since)} for since in (10, 20))

# Of the line for what a1 was.
A1_LINE = {name: A1[name] for name in ("item_id", "context_level", "object_id")}

MEET_B1 = B1 | {"with": A1, "shared": ["y"]}
MEET_A1 = A1 | {"with": B1, "shared": ["y"]}

LOG = (
    acquired(1, 10.0, A1_GOT, ADA),
    acquired(2, 11.0, B1_GOT, ADA, BOB),
    acquired(3, 11.0, B2_GOT, ADA, BOB),
    told(4, 11.0, INTERFERENCE, MEET_B1),
    told(5, 11.0, INTERFERENCE, MEET_A1),
    # It is bob's turn.
    released(6, 20.0, A1, "released", ADA, BOB),
    acquired(7, 20.0, B3_GOT, BOB),
    told(8, 20.0, GRANTED, B3_GOT),
    told(9, 20.0, RESOLVED, B1 | {"with_session_id": "a1"}),
    told(10, 22.0, REQUESTED, B1 | ASKED),
    released(11, 24.0, B1, "handed_off", BOB),
    acquired(12, 24.0, A2_GOT, ADA, BOB),
    told(13, 24.0, GRANTED, A2_GOT),
    entry(14, 30.0, IDLE, B2 | IDLE_10, ADA, BOB),
    entry(15, 30.0, IDLE, B3 | IDLE_10, ADA, BOB),
    entry(16, 34.0, ACTIVE, B2 | IDLE_10, ADA, BOB),
    entry(17, 34.0, ACTIVE, B3 | IDLE_10, ADA, BOB),
    entry(18, 40.0, IDLE, B2 | IDLE_20, ADA, BOB),
    entry(19, 40.0, IDLE, B3 | IDLE_20, ADA, BOB),
    released(20, 50.0, B2, "idle", ADA, BOB),
    released(21, 50.0, B3, "idle", ADA, BOB),
    entry(22, 51.0, LINE, A1_LINE | {"length": 0}, ADA),
)


def by(workstation: str, wanted: Any, *cone: str) -> Any:
    """What a workstation asks for: the same as somebody else has."""
    lock = {name: wanted[name] for name in ("item_id", "context_level", "object_id")}
    who = {"workstation_id": workstation, "connection_id": "c"}
    return who | lock | {"dependency_cone": list(cone)}


def batch(start: float, workstation: str, wanted: list[Any], status: int, got: Any) -> Operation:
    request = {"workstation_id": workstation, "connection_id": "c", "sessions": wanted}
    return call("batch", start, request, status, got)


def stand(start: float, workstation: str, wanted: Any, number: str, position: int) -> Operation:
    """Standing in line for somebody's session."""
    place = {"request_id": number, "position": position, "existing": False}
    holder = {"holder": {"session_id": wanted["session_id"]}}
    return call("stand", start, by(workstation, wanted, "x"), 201, place | holder)


def standing(number: str, workstation: str, position: int) -> Any:
    """One of a line for what a1 is."""
    place = {"request_id": number, "workstation": {"id": workstation}, "position": position}
    return by(workstation, A1) | place


def alive(start: float, idle_seconds: float) -> Operation:
    """What bob's client says."""
    return call("alive", start, {"workstation_id": BOB, "idle_seconds": idle_seconds}, 204)


def handoff(start: float, of: Any, to: str, status: int, got: Any) -> Operation:
    request = by(to, of) | {"session_id": of["session_id"], "to_workstation_id": to}
    return call("handoff", start, request, status, got)


TWO = [by(EVE, A1), by(EVE, B1)]
BOTH = {"error": "hard_interference", "holders": [{"session_id": n} for n in ("a1", "b1")]}
LEAVE = {"request_id": "p2"}
SHOWN = [session | IDLE_10 for session in (B2, B3)] + [A2 | {"idle_since": None}]

OPERATIONS = (
    call("acquire", 9.95, by(ADA, A1, "x", "y"), 200, A1_GOT),
    batch(10.95, BOB, [by(BOB, B1, "y"), by(BOB, B2)], 200, {"sessions": [B1_GOT, B2_GOT]}),
    stand(12.0, BOB, A1, "p1", 1),
    stand(13.0, EVE, A1, "p2", 2),
    call(
        "list_line",
        14.0,
        {"item_id": "bolt"},
        200,
        {"requests": [standing("p1", BOB, 1), standing("p2", EVE, 2)]},
    ),
    batch(15.0, EVE, TWO, 409, BOTH),
    call("release", 19.95, {"session_id": "a1"}, 204),
    call("request_handoff", 21.95, {"session_id": "b1"} | ASKED, 202),
    handoff(23.95, B1, ADA, 200, A2_GOT),
    alive(29.95, 20),
    call("list", 32.0, {"item_id": None}, 200, {"cursor": "e-15", "sessions": SHOWN}),
    alive(33.95, 0),
    call("leave", 36.0, LEAVE, 204),
    call("leave", 37.0, LEAVE, 404),
    alive(39.95, 20),
    handoff(60.0, A2, EVE, 409, {"error": "not_requested"}),
)


def streamed(name: str | None, until: float = 59.0) -> Any:
    """The stream of somebody who is there all the time, or of who watches."""
    channels = {f"workstation:{name}" if name else "all"}
    events = [e for e in LOG if channels & e.channels]
    got = [Received(e.at + 0.01, e.type, f"e-{e.id}", e.data) for e in events]
    return stream(name, 5.0, until, got, "e-0")


GOOD = History(
    operations=OPERATIONS,
    streams=[streamed(ADA), streamed(BOB), streamed(EVE), streamed(None)],
    log=LOG,
    records=(row(A1, "released"), row(B1, "handed_off"), row(B2, "idle"), row(B3, "idle")),
    active=(row(A2),),
    epoch="e",
    ended=61.0,
    limits=Limits(timeout=60.0, settle=70.0, idle=8.0),
)


def forged(**lists: dict[int, Any]) -> History:
    """The good history, with parts of its lists changed; None drops one, an entry's key is its id."""
    history = GOOD
    for name, changes in lists.items():
        parts: list[Any] = list(getattr(history, name))
        first = 1 if name == "log" else 0
        changed = [changes.get(n, part) for n, part in enumerate(parts, first)]
        history = replace(history, **{name: tuple(part for part in changed if part is not None)})
    return history


def more(name: str, *parts: Any) -> History:
    """The good history with something more."""
    return replace(GOOD, **{name: (*getattr(GOOD, name), *parts)})
