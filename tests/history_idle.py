"""Rules of a recorded history about idleness: when somebody has left their workstation, and is back.

Run by `tests/history_checker.py`.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from math import inf
from typing import Any, Final

from tests.history import (
    ACQUIRED,
    ACTIVE,
    GRANTED,
    IDLE,
    RELEASED,
    Entry,
    History,
    Operation,
    Rule,
    position,
)

# Events tell milliseconds, answers microseconds.
MILLISECONDS: Final = len("2026-01-01T00:00:00.000")
# Each says that somebody is there, where it succeeds.
ACTS: Final = frozenset({"acquire", "batch", "stand"})


def idleness_alternates(h: History) -> Iterator[str]:
    """A session becomes idle, or idle since another time, and active only from what it was told to be."""
    since: dict[str, str | None] = {}
    for e in h.log:
        before = since.get(e.session)
        if e.type == IDLE:
            since[e.session] = _time(e.data["idle_since"])
            if before == since[e.session]:
                yield f"{e} was told already"
        elif e.type == ACTIVE:
            since[e.session] = None
            if before is None or before != _time(e.data["idle_since"]):
                yield f"{e} was idle since {before}"


def idleness_is_the_workstations(h: History) -> Iterator[str]:
    """At the end of each transaction all sessions of a workstation are idle since the same time, or none is."""
    idle: dict[str, dict[str, str | None]] = defaultdict(dict)
    for e in h.log:
        mine = idle[e.row.workstation]
        if e.type == ACQUIRED:
            mine[e.session] = None
        elif e.type == RELEASED:
            mine.pop(e.session, None)
        elif e.type in {IDLE, ACTIVE}:
            mine[e.session] = _time(e.data["idle_since"]) if e.type == IDLE else None
        if h.transactions[e.id][-1] is e:
            for workstation in {x.row.workstation for x in h.transactions[e.id]}:
                if len(set(idle[workstation].values())) > 1:
                    yield f"{workstation} is idle in part, after {e}: {idle[workstation]}"


def idleness_is_shown(h: History) -> Iterator[str]:
    """Lists and openings show the idleness that was told; who has just acquired is not idle, who is granted may be."""
    changes: dict[str, list[tuple[int, str | None]]] = defaultdict(list)
    for e in h.log:
        if e.type in {IDLE, ACTIVE}:
            told = _time(e.data["idle_since"]) if e.type == IDLE else None
            changes[e.session].append((e.id, told))
    for op in h.answered("acquire", 200):
        if "to_workstation_id" not in op.request and op.answer.get("idle_since"):
            yield f"{op} shows who acquires as idle"
    for e in h.granted.values():
        after = (x for x in h.transactions[e.id] if x.type == IDLE and x.session == e.session)
        wanted = next((_time(x.data["idle_since"]) for x in after), None)
        if _time(e.data.get("idle_since")) != wanted:
            yield f"{e} shows {e.data['idle_since']}, which was idle since {wanted}"
    shown = [(op.answer, op.answer["cursor"], str(op)) for op in h.answered("list", 200)]
    for stream in h.streams:
        first = stream.received[0] if stream.received else None
        if first and first.id and not stream.last_event_id:
            shown.append((first.data, first.id, str(stream)))
    for answer, cursor, where in shown:
        for session in answer["sessions"]:
            known = changes[session["session_id"]]
            place = bisect_right(known, position(cursor), key=lambda change: change[0])
            wanted = known[place - 1][1] if place else None
            if "idle_since" in session and _time(session["idle_since"]) != wanted:
                yield f"{where} shows {session}, which was idle since {wanted}"


def idleness_is_what_was_said(h: History) -> Iterator[str]:
    """Nobody is idle or active without their client's word, and who said so is."""
    slack = h.limits.clock
    says: dict[str, list[Operation]] = defaultdict(list)
    for op in h.operations:
        silent = op.kind == "alive" and op.request.get("idle_seconds") is None
        if op.kind in ACTS | {"alive"} and op.may_have_happened and not silent:
            says[op.request["workstation_id"]].append(op)
    told: dict[str, list[Entry]] = defaultdict(list)
    for e in h.log:
        if e.type not in {IDLE, ACTIVE}:
            continue
        told[e.session].append(e)
        kind = e.type == IDLE
        said = [
            o for o in says[e.row.workstation] if _is_idle(o) == kind and o.start <= e.at + slack
        ]
        granted = any(x.type == GRANTED and x.session == e.session for x in h.transactions[e.id])
        # Whom a session is granted has been idle for a while.
        if not any(e.at <= h.latest(o) + slack or (granted and kind) for o in said):
            yield f"{e}: nobody said so"
    for workstation, ops in says.items():
        for op in ops:
            if op.status != 204 or op.end == inf:
                continue
            # What came between, or may have come late, says something else.
            if any(
                o is not op and o.start <= op.end + 2 * slack and h.latest(o) + slack >= op.start
                for o in ops
            ):
                continue
            # Others were told just before.
            step = h.limits.idle_step + slack
            if _is_idle(op) and any(
                o is not op and _is_idle(o) and o.start <= op.end and h.latest(o) >= op.start - step
                for o in ops
            ):
                continue
            for life in h.lives_of.get(workstation, ()):
                if h.spans(life, op.start - slack, op.end + slack):
                    by = [e for e in told[life.row.session] if e.at <= op.end + slack]
                    if (bool(by) and by[-1].type == IDLE) != _is_idle(op):
                        yield f"{op}, and {life.acquired} was told to be {by[-1:]}"


def who_is_idle_loses_it_in_time(h: History) -> Iterator[str]:
    """What ends for idleness was held, and idle, for as long as that takes."""
    since: dict[str, str | None] = {}
    for e in h.log:
        if e.type in {IDLE, ACTIVE}:
            since[e.session] = _time(e.data["idle_since"]) if e.type == IDLE else None
        elif e.type == RELEASED and e.row.reason == "idle":
            idle, ended = since.get(e.session), datetime.fromisoformat(e.data["released_at"])
            left = idle and ended - datetime.fromisoformat(f"{idle}+00:00")
            # Told in whole milliseconds.
            if not left or left < timedelta(seconds=h.limits.idle) - timedelta(milliseconds=2):
                yield f"{e}, which was idle since {idle}"


def _is_idle(op: Operation) -> bool:
    return op.kind == "alive" and op.request["idle_seconds"] > 0


def _time(text: Any) -> str | None:
    """Return a time as events and answers can be compared."""
    return None if text is None else str(text).rstrip("Z")[:MILLISECONDS]


RULES: Final[tuple[Rule, ...]] = (
    idleness_alternates,
    idleness_is_the_workstations,
    idleness_is_shown,
    idleness_is_what_was_said,
    who_is_idle_loses_it_in_time,
)
