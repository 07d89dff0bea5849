"""Rules of a recorded history about what is done together, and who meets: batches and soft interference.

The model says who meets, and what two share (`tests/slow/model_state.py`). The cone of a session is known from answers;
where a call may have changed it, the session may have several, and the model is asked with each.

Run by `tests/history_checker.py`.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from math import inf
from typing import Any, Final

from tests.history import (
    ACQUIRED,
    INTERFERENCE,
    RELEASED,
    RESOLVED,
    Entry,
    History,
    Life,
    Operation,
    Row,
    Rule,
    lock_of,
)
from tests.slow.model_state import apart, meet, shared

# Each session as it may have been: with every cone.
Seen = Mapping[str, Collection[Row]]


def told_while_active(h: History) -> Iterator[str]:
    """Nothing is told of a session after its end."""
    for e in h.log:
        life = h.lives.get(e.session)
        if life and life.released and e.id > life.released.id:
            yield f"{e} comes after {life.released}"


def batches_are_whole(h: History) -> Iterator[str]:
    """A batch acquires all that is new of it in one transaction, or nothing."""
    for op in h.operations:
        if op.kind != "batch":
            continue
        parts = list(op.acquires())
        if op.status == 200:
            new = {str(part.got) for part in parts if not part.answer["existing"]}
            begun = [h.lives[session].acquired for session in sorted(new & h.lives.keys())]
            groups = {h.transactions[e.id][0].id for e in begun}
            if (
                len(groups) > 1
                or len(begun) < len(new)
                or len(parts) != len(op.request["sessions"])
            ):
                yield f"{op} is in the log as {begun}"
        elif op.end == inf:
            yield from _torn(h, op, parts)


def batches_are_refused_with_all_reasons(h: History) -> Iterator[str]:
    """A batch that is refused names everybody in the way, who were there at one moment."""
    for op in h.answered("batch", 409, error="hard_interference"):
        own, locks = op.request["workstation_id"], [lock_of(one) for one in op.request["sessions"]]
        named = {holder["session_id"] for holder in op.answer["holders"]}
        lives = [h.lives.get(session) for session in named]
        for life in lives:
            if (
                not life
                or life.row.lock not in locks
                or life.row.workstation == own
                or not h.overlaps(life, op.start, op.end)
            ):
                yield f"{op} names a holder that was not in the way: {life}"
        ends = (x.released.id for x in lives if x and x.released)
        if max((x.acquired.id for x in lives if x), default=0) > min(ends, default=inf):
            yield f"{op} names holders of different moments: {lives}"
        for life in h.lives.values():
            other = life.row.lock in locks and life.row.workstation != own
            if other and life.row.session not in named and h.spans(life, op.start, op.end):
                yield f"{op} does not name {life.acquired}"


def who_meets_is_told(h: History) -> Iterator[str]:
    """Who begins a session is told of all whom it meets, and of nobody else; watchers are told that it does."""
    seen = _seen(h)
    answers = {str(o.got): o.answer for o in h.answered("acquire", 200, existing=False)}
    answers |= {session: e.data for session, e in h.granted.items()}
    for e, must, may in _beginnings(h, seen):
        yield from _wrongly_told(e, answers.get(e.session, {}), must, may, seen)
        soft = e.data.get("interference")
        if soft and ((soft == "none" and must) or (soft == "soft" and not may)):
            yield f"{e} is told as {soft}; it meets {must or may}"
    for op in h.answered("acquire", 200, existing=True):
        life = h.lives.get(str(op.got))
        if life:
            here = [x for x in h.lives.values() if apart(x.row, life.row)]
            stays = [x for x in here if h.spans(x, op.start, op.end)]
            comes = [x for x in here if h.overlaps(x, op.start, op.end)]
            must = _met(seen, life.row, stays, surely=True)
            may = _met(seen, life.row, comes, surely=False)
            yield from _wrongly_told(life.acquired, op.answer, must, may, seen)


def both_sides_are_told(h: History) -> Iterator[str]:
    """When two begin to meet each is told of the other: once, in that transaction, with what both reach."""
    seen = _seen(h)
    told: dict[int, Counter[tuple[str, str]]] = defaultdict(Counter)
    for e in h.log:
        if e.type == INTERFERENCE:
            group, other = h.transactions[e.id], e.data["with"]["session_id"]
            told[group[0].id][e.session, other] += 1
            yield from _wrongly_shared(seen, e, other, e.data["shared"])
    for e in h.log:
        group = h.transactions[e.id]
        begun = {x.session for x in group if x.type == ACQUIRED}
        if e.type == INTERFERENCE and not begun & {e.session, e.data["with"]["session_id"]}:
            yield from _wrongly_renewed(h, seen, e, told[group[0].id])
    for e, must, may in _beginnings(h, seen):
        said = told[h.transactions[e.id][0].id]
        for one in must | {other for pair in said if e.session in pair for other in pair}:
            for pair in ((e.session, one), (one, e.session)):
                if one != e.session and (said[pair] != 1 or one not in may):
                    yield f"{pair[0]} is told {said[pair]} times that it meets {pair[1]}, with {e}"


def _wrongly_renewed(
    h: History, seen: Seen, e: Entry, said: Counter[tuple[str, str]]
) -> Iterator[str]:
    """Yield what contradicts that two, of which none begins, meet from now on: one has another cone."""
    other = e.data["with"]["session_id"]
    mine, theirs = h.lives.get(e.session), h.lives.get(other)
    changed = any(len(seen.get(one, ())) > 1 for one in (e.session, other))
    there = mine and theirs and mine.at(e.id) and theirs.at(e.id) and apart(mine.row, theirs.row)
    if not there or not changed or (said[e.session, other], said[other, e.session]) != (1, 1):
        yield f"{e} meets {other} from nowhere"


def who_is_left_is_told(h: History) -> Iterator[str]:
    """When one of two that met ends, the other is told: once, in that transaction, if it does not end with it.

    Where one of two gets another cone, both may be told.
    """
    seen = _seen(h)
    told: dict[int, Counter[tuple[str, str]]] = defaultdict(Counter)
    for e in h.log:
        if e.type == RESOLVED:
            told[h.transactions[e.id][0].id][e.session, e.data["with_session_id"]] += 1
    for group in (group for n, group in h.transactions.items() if group[0].id == n):
        ends = [e for e in group if e.type == RELEASED]
        ended = {e.session for e in ends}
        must, may = set(), set()
        for e in ends:
            # Who begins here has met nobody yet.
            before = [x for x in h.on_item[e.id] if x.acquired.id < group[0].id]
            left = [x for x in before if x.row.session not in ended]
            must |= {(one, e.session) for one in _met(seen, e.row, left, surely=True)}
            may |= {(one, e.session) for one in _met(seen, e.row, left, surely=False)}
        said = told.get(group[0].id, Counter())
        renewed = {
            (one, other)
            for one, other in said
            if not ended & {one, other}
            and _may_stop(h, seen, (one, other))
            and said[one, other] == said[other, one] == 1
        }
        for pair in (said.keys() - renewed) | must:
            if pair not in may or said[pair] != 1:
                yield f"{pair[0]} is told {said[pair]} times that {pair[1]} ended, with {group[0]}"


def _may_stop(h: History, seen: Seen, pair: tuple[str, str]) -> bool:
    """Say whether two may have met no more with another cone of one of them."""
    mine, theirs = (h.lives.get(one) for one in pair)
    if not mine or not theirs or not apart(mine.row, theirs.row):
        return False
    changed = any(len(seen[one]) > 1 for one in pair)
    return changed and not _met(seen, mine.row, [theirs], surely=True)


def _torn(h: History, op: Operation, parts: Collection[Operation]) -> Iterator[str]:
    """Yield what only this batch, whose outcome is not known, can have acquired without the rest of it."""
    own, locks = op.request["workstation_id"], {lock_of(part.request) for part in parts}
    until = h.latest(op) + h.limits.clock
    for e in h.log:
        if e.type != ACQUIRED or e.row.workstation != own or e.row.lock not in locks:
            continue
        if e.session in h.granted or not op.start - h.limits.clock <= e.at <= until:
            continue
        others = (o for o in h.acquires_of[own, e.row.lock] if not _is_part(o, op))
        if any(o.got in {None, e.session} for o in others):
            continue
        group = {x.row.lock for x in h.transactions[e.id] if x.type == ACQUIRED}
        held = {x.row.lock for x in h.lives_of[own] if x.at(h.transactions[e.id][0].id - 1)}
        if missing := locks - group - held:
            yield f"{op} acquired {group}, and not {missing}"


def _is_part(part: Operation, of: Operation) -> bool:
    return (part.client, part.start) == (of.client, of.start)


def _beginnings(h: History, seen: Seen) -> Iterator[tuple[Entry, set[str], set[str]]]:
    """Yield what began a session, whom it met for certain, and whom it may have met by the end of its transaction."""
    for e in h.log:
        if e.type == ACQUIRED:
            item = e.row.lock.item
            last = next(x for x in reversed(h.transactions[e.id]) if x.row.lock.item == item)
            must = _met(seen, e.row, h.on_item[e.id], surely=True)
            yield e, must, _met(seen, e.row, h.on_item[last.id], surely=False)


def _wrongly_told(
    e: Entry, answer: Any, must: set[str], may: set[str], seen: Seen
) -> Iterator[str]:
    if "conflicts" not in answer:
        return
    told = {conflict["session_id"]: conflict for conflict in answer["conflicts"]}
    if not must <= told.keys() <= may or len(told) != len(answer["conflicts"]):
        yield f"{e} is told to meet {set(told)}, not {must} to {may}"
    if (answer["interference"] == "soft") != bool(told):
        yield f"{e} is told {answer['interference']} with {set(told)}"
    for other, conflict in told.items():
        yield from _wrongly_shared(seen, e, other, conflict["shared"])


def _wrongly_shared(seen: Seen, e: Entry, other: str, nodes: Collection[str]) -> Iterator[str]:
    pairs = product(seen.get(e.session, ()), seen.get(other, ()))
    if set(nodes) not in [set(shared(*pair)) for pair in pairs]:
        yield f"{e} is told to share {nodes} with {other}"


def _seen(h: History) -> Seen:
    found = {}
    for session, life in h.lives.items():
        mine = set()
        if session in h.granted:
            mine.add(frozenset(h.granted[session].data.get("dependency_cone", ())))
        for op in h.acquires_of.get((life.row.workstation, life.row.lock), ()):
            if op.got == session and "dependency_cone" in op.answer:
                mine.add(frozenset(op.answer["dependency_cone"]))
            elif op.got is None and "dependency_cone" in op.request:
                mine.add(frozenset(op.request["dependency_cone"]))
        found[session] = [replace(life.row, cone=cone) for cone in mine]
    return found


def _met(seen: Seen, row: Row, lives: Iterable[Life], *, surely: bool) -> set[str]:
    """Return the sessions that one met for certain, or may have met."""
    found = set()
    for other in (life.row for life in lives if apart(life.row, row)):
        pairs = list(product(seen.get(row.session, ()), seen.get(other.session, ())))
        met = [meet(*pair) for pair in pairs] or [not surely]
        if (all if surely else any)(met):
            found.add(other.session)
    return found


RULES: Final[tuple[Rule, ...]] = (
    told_while_active,
    batches_are_whole,
    batches_are_refused_with_all_reasons,
    who_meets_is_told,
    both_sides_are_told,
    who_is_left_is_told,
)
