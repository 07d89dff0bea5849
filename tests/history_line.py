"""Rules of a recorded history about the line and hand-offs: who gets a session that somebody else had.

Run by `tests/history_checker.py`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from math import inf
from typing import Any, Final

from tests.history import (
    ACQUIRED,
    GRANTED,
    RELEASED,
    REQUESTED,
    Entry,
    History,
    Life,
    Operation,
    Rule,
    lock_of,
)
from tests.history_places import Line, begun_with
from tests.slow.model_state import Lock


def grants_are_told(h: History) -> Iterator[str]:
    """A session that begins when another ends is told to its workstation: once, as it is, right after its event."""
    told = Counter(e.session for e in h.log if e.type == GRANTED)
    for e in h.log:
        if e.type == GRANTED:
            before = next((b for b in h.transactions[e.id] if b.id == e.id - 1), None)
            if not before or (before.type, before.row) != (ACQUIRED, e.row) or told[e.session] > 1:
                yield f"{e} is told {told[e.session]} times, and comes after {before}"
        elif e.type == RELEASED and (begun := begun_with(h, e)) and not told[begun.session]:
            yield f"{begun} begins when {e} ends, and nobody is told"


def grants_have_a_cause(h: History) -> Iterator[str]:
    """A session is granted to a workstation that may have stood in line or was handed it, and is there."""
    line = Line(h)
    for e in h.granted.values():
        workstation, slack = e.row.workstation, h.limits.clock
        if not _passed_on(h, e) and not line.may_wait(workstation, e.row.lock, e.at):
            yield f"{e}: it did not stand in line"
        there = False
        for s in h.streams_of.get(workstation, ()):
            disturbed = h.disturbed(s.ended - h.limits.prompt, e.at)
            late = h.limits.lateness if disturbed else h.limits.prompt
            there |= s.requested <= e.at + slack and e.at <= s.ended + late
        if not there:
            yield f"{e}: it was not there"


def first_come_first_served(h: History) -> Iterator[str]:
    """Nobody's turn comes while somebody waits who came before, and who asks to stand in line does not overtake."""
    line = Line(h)
    for e in h.granted.values():
        if _passed_on(h, e):
            continue
        came = line.came(e.row.workstation, e.row.lock, e.at)
        for place in line.waiting(e.row.lock, e.at, but=e.row.workstation):
            if place.known < came:
                yield f"{e}, who came at {came:.3f}, was served before {place}"
    for op in h.answered("stand", 200, existing=False):
        if life := h.lives.get(str(op.got)):
            for place in line.waiting(life.row.lock, life.acquired.at, but=life.row.workstation):
                if place.known < op.start:
                    yield f"{op} was served before {place}"


def turns_come_with_the_end(h: History) -> Iterator[str]:
    """Whose turn it is gets the lock in the transaction that ends the session before, or as soon as it can."""
    line = Line(h)
    for lock, places in line.of_lock.items():
        lives: list[Life | None] = [*line.lives[lock]]
        for life, after in pairwise([*lives, None]):
            if not life or not (end := life.released):
                continue
            if not begun_with(h, end):
                for place in line.waiting(lock, end.at):
                    yield f"{end}, and nobody got it, not even {place}"
            until = min(after.acquired.at if after else inf, h.ended)
            for place in places:
                since = max(end.at, place.known) + h.limits.patience
                if since < until and line.waits(place, since):
                    yield f"{end}, and {place} had not got it at {since:.3f}"


def positions_are_true(h: History) -> Iterator[str]:
    """A position counts all who certainly are before, and nobody who cannot be."""
    line = Line(h)
    asked = {place.id: place.asked for place in line.places}
    standing: dict[Lock, set[str]] = defaultdict(set)
    for workstation, lock in line.stands:
        standing[lock].add(workstation)
    for op in h.answered("stand", 201):
        lock, own = lock_of(op.request), op.request["workstation_id"]
        least, most, came = 1, 1, asked[op.answer["request_id"]]
        for place in line.waiting(lock, op.end + h.limits.clock, but=own):
            least += place.known < came
        for other in standing[lock] - {own}:
            makers = line.may_wait(other, lock, op.start)
            most += any(op.start <= m.start <= op.end for m in line.stands[other, lock]) or any(
                makers
            )
        if not least <= op.answer["position"] <= most:
            yield f"{op} is answered {op.answer['position']}, not {least} to {most}"
        holder = op.answer["holder"] and h.lives.get(op.answer["holder"]["session_id"])
        held = [x for x in line.lives[lock] if h.spans(x, op.start, op.end)]
        if op.answer["holder"] and not (
            holder and holder.row.lock == lock and h.overlaps(holder, op.start, op.end)
        ):
            yield f"{op} waits for somebody who did not have it: {holder}"
        elif held and held != [holder]:
            yield f"{op} waits for somebody else than {held[0].acquired}"


def lines_are_true(h: History) -> Iterator[str]:
    """A line shows everybody who certainly stands in it, nobody who cannot, in their order."""
    line = Line(h)
    for op in h.answered("list_line", 200):
        shown: dict[Lock, list[Any]] = defaultdict(list)
        for request in op.answer["requests"]:
            shown[lock_of(request)].append(request)
        for lock, requests in shown.items():
            if [request["position"] for request in requests] != list(range(1, len(requests) + 1)):
                yield f"{op} does not count {requests}"
            for request in requests:
                own = request["workstation"]["id"]
                if not (line.may_wait(own, lock, op.start) or line.may_wait(own, lock, op.end)):
                    yield f"{op} shows {request}, who does not stand there"
        for lock, places in line.of_lock.items():
            if lock.item != op.request["item_id"]:
                continue
            order = {request["request_id"]: n for n, request in enumerate(shown.get(lock, ()))}
            certain = [
                p for p in places if p.known < op.start and line.waits(p, op.end + h.limits.clock)
            ]
            for place in certain:
                if place.id not in order:
                    yield f"{op} does not show {place}"
            certain.sort(key=lambda p: order.get(p.id, inf))
            for a, b in pairwise(certain):
                if b.known < a.asked:
                    yield f"{op} shows {a} before {b}"


def leaving_is_true(h: History) -> Iterator[str]:
    """A place is left once, and one that is not found had been lost."""
    line = Line(h)
    places = {place.id: place for place in line.places}
    left: set[str] = set()
    for op in h.answered("leave", 204):
        if op.request["request_id"] in left:
            yield f"{op} was answered a second time"
        left.add(op.request["request_id"])
    for op in h.answered("leave", 404):
        place = places.get(op.request["request_id"])
        if place and line.waits(place, op.end + h.limits.clock):
            yield f"{op}, and there stood {place}"


def handoffs_are_one(h: History) -> Iterator[str]:
    """A hand-off ends one session and begins the target's, who wanted it, in one transaction."""
    line = Line(h)
    asked = _asked(h)
    answered = {op.request["session_id"]: op for op in h.answered("handoff", 200)}
    unknown: dict[str, set[str]] = defaultdict(set)
    for op in h.operations:
        if op.kind == "handoff" and op.end == inf:
            unknown[op.request["session_id"]].add(op.request["to_workstation_id"])
    for e in (e for e in h.log if e.type == RELEASED and e.row.reason == "handed_off"):
        begun = begun_with(h, e)
        if not begun or begun.id != e.id + 1:
            yield f"{e}, and what came of it is {begun}"
            continue
        to, op = begun.row.workstation, answered.get(e.session)
        targets = {op.request["to_workstation_id"]} if op else unknown[e.session]
        if to not in targets or (op and op.got != begun.session):
            yield f"{e} to {begun}, not as {op or unknown[e.session]}"
        by = e.at + h.limits.clock
        wanted = any(r.start <= by for r in asked[e.session] if _is_for(r, to))
        if not wanted and not line.may_wait(to, e.row.lock, e.at):
            yield f"{begun}: handed to somebody who had not asked"
    for op in answered.values():
        life = h.lives.get(op.request["session_id"])
        if not life or not life.released or life.released.row.reason != "handed_off":
            yield f"{op} is in the log as {life}"


def handoffs_are_refused_with_reason(h: History) -> Iterator[str]:
    """Who is refused a hand-off had not asked for it, has taken that back by leaving the line, or was not there."""
    line, slack = Line(h), h.limits.clock
    asked = _asked(h)
    for op in h.answered("handoff", 409):
        to, session = op.request["to_workstation_id"], op.request["session_id"]
        if op.answer["error"] == "not_requested":
            known = [
                r
                for r in asked[session]
                if (r.status, r.request["workstation_id"]) == (202, to)
                and r.end < op.start
                and not line.may_have_left(to, lock_of(op.request), r.start, op.end)
            ]
            if known:
                yield f"{op}, and it was asked for by {known}"
            stood = [
                p for p in line.of_lock.get(lock_of(op.request), ()) if p.row.workstation == to
            ]
            for place in stood:
                if place.known < op.start and line.waits(place, op.end + slack):
                    yield f"{op}, and this stood in line: {place}"
        elif op.answer["error"] == "not_connected":
            around = op.start - h.limits.tolerance, op.end + h.limits.tolerance
            for stream in h.streams_of.get(to, ()):
                if stream.live(*around, h.limits.silence):
                    yield f"{op}, and this was open: {stream}"


def requests_are_told(h: History) -> Iterator[str]:
    """Who asks for a session is told to its holder, once, with their words; each call has its own."""
    told: dict[str, list[Entry]] = defaultdict(list)
    for e in h.log:
        if e.type == REQUESTED:
            told[e.data["message"]].append(e)
    calls = {op.request["message"]: op for op in h.operations if op.kind == "request_handoff"}
    for words, op in calls.items():
        least, most = op.status == 202, op.may_have_happened
        if not least <= len(told[words]) <= most:
            yield f"{op} is told as {told[words]}"
    for words, entries in told.items():
        for e in entries:
            op = calls.get(words)
            slack = h.limits.clock
            if (
                not op
                or op.request["session_id"] != e.session
                or op.request["workstation_id"] != e.data["workstation_id"]
                or not op.start - slack <= e.at <= op.end + slack
            ):
                yield f"{e} is told for {op}"


def _asked(h: History) -> dict[str, list[Operation]]:
    found: dict[str, list[Operation]] = defaultdict(list)
    for op in h.operations:
        if op.kind == "request_handoff" and op.may_have_happened:
            found[op.request["session_id"]].append(op)
    return found


def _is_for(request: Operation, workstation: str) -> bool:
    """Whether somebody who asked may have done so for this workstation: named, or any of its user's."""
    return request.request["workstation_id"] in {None, workstation}


def _passed_on(h: History, e: Entry) -> bool:
    """Whether it was granted by a hand-off."""
    ends = (x for x in h.transactions[e.id] if x.type == RELEASED and x.row.lock == e.row.lock)
    return any(x.row.reason == "handed_off" for x in ends)


RULES: Final[tuple[Rule, ...]] = (
    grants_are_told,
    grants_have_a_cause,
    first_come_first_served,
    turns_come_with_the_end,
    positions_are_true,
    lines_are_true,
    leaving_is_true,
    handoffs_are_one,
    handoffs_are_refused_with_reason,
    requests_are_told,
)
