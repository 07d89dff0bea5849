"""Checks a recorded history: what clients did and saw, the event log, the record and the active sessions must agree.

`check` runs every rule. A rule is a function that yields, in words, what contradicts it. Those of single streams and
of who lives and who has left are in `tests/history_streams.py`, of batches and interference in
`tests/history_together.py`, of the line and hand-offs in `tests/history_line.py`, of idleness in
`tests/history_idle.py`; here is what is said of locks and sessions.

Many clients acted at the same time, and that decides what the model (`tests/slow/model.py`) can judge. It needs to know
which operation came after which, and all that was there before. Of that a history has only one part:

* The log is in one order, and tells which sessions there were at each entry. By it the functions of the model judge who
  meets whom, what two share, and who is told (`meet`, `shared` and `audience` in `tests/slow/model_state.py`).
* Of operations the order is not known. Several may be one transaction (group commit), so that even the log does not say
  which was decided first. Places in line, departures and changes of a cone are not in the log; they happened at some
  moment between a call and its answer, and if that was never received, perhaps not at all. So a run of the model cannot
  say who was next in line, or what a call had to be answered. Here a rule asks instead what is true in every possible
  order (must), and what in at least one (may).
* And there is what no model breaks, since it does one thing after the other: two holders at once, an end without a
  record or with two, tokens that do not grow, an answer older than one that was given before, an event that is missing.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from tests import history_idle, history_line, history_streams, history_together
from tests.history import (
    ACQUIRED,
    ACTIVE,
    IDLE,
    LINE,
    RELEASED,
    Entry,
    History,
    Operation,
    Row,
    Rule,
    lock_of,
    position,
)
from tests.slow.model_state import Lock, audience, channel

ABOUT_THE_ITEM: Final = frozenset({ACQUIRED, RELEASED, IDLE, ACTIVE, LINE})


@dataclass(frozen=True)
class Violation:
    """What contradicts a rule."""

    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.what}"


def check(history: History) -> list[Violation]:
    """Return every violation of every rule."""
    rules = (*RULES, *history_together.RULES, *history_line.RULES, *history_idle.RULES)
    return [Violation(rule.__name__, what) for rule in rules for what in rule(history)]


def one_holder_in_the_log(h: History) -> Iterator[str]:
    """In the order of the log a lock is free when it is acquired."""
    held: dict[Lock, Entry] = {}
    for e in h.log:
        if e.type == ACQUIRED:
            if other := held.get(e.row.lock):
                yield f"{e} while it was held since {other}"
            held[e.row.lock] = e
        elif e.type == RELEASED and (mine := held.get(e.row.lock)) and mine.session == e.session:
            del held[e.row.lock]


def one_holder_in_answers(h: History) -> Iterator[str]:
    """Who was answered that it has a lock has it alone until the end of its session."""
    answers: dict[Lock, list[Operation]] = defaultdict(list)
    for op in h.answered("acquire", 200, existing=False):
        answers[lock_of(op.answer)].append(op)
    for ops in answers.values():
        for a, b in pairwise(sorted(ops, key=lambda op: int(op.answer["fencing_token"]))):
            life = h.lives.get(a.answer["session_id"])
            if life and b.end + h.limits.clock < life.until:
                yield f"{b} was answered before the end at {life.until:.3f} of {a}"


def tokens_grow(h: History) -> Iterator[str]:
    """Fencing tokens of an item grow in the order of the log, and from an answer to the next acquire."""
    highest: dict[str, Entry] = {}
    for e in h.log:
        if e.type == ACQUIRED:
            before = highest.get(e.row.lock.item)
            if before and e.row.token <= before.row.token:
                yield f"{e} comes after {before}"
            highest[e.row.lock.item] = e
    answers: dict[str, list[Operation]] = defaultdict(list)
    for op in h.answered("acquire", 200, existing=False):
        answers[op.answer["item_id"]].append(op)
    for ops in answers.values():
        ops.sort(key=lambda op: op.end)
        tops = list(accumulate((int(op.answer["fencing_token"]) for op in ops), max))
        for op in ops:
            before_it = bisect_left(ops, op.start, key=lambda other: other.end)
            if before_it and tops[before_it - 1] >= op.answer["fencing_token"]:
                yield f"{op} began when token {tops[before_it - 1]} had been answered"


def ends_once(h: History) -> Iterator[str]:
    """Every end has exactly one record and exactly one event, which say the same."""
    told = Counter(e.session for e in h.log if e.type == RELEASED)
    recorded = Counter(record.session for record in h.records)
    for session in sorted(told.keys() | recorded.keys()):
        if (told[session], recorded[session]) != (1, 1):
            yield f"{session} has {told[session]} events and {recorded[session]} records of its end"
    for record in h.records:
        life = h.lives.get(record.session)
        if life and life.released and life.released.row != record:
            yield f"{record} was told as {life.released}"


def acquired_first(h: History) -> Iterator[str]:
    """No session without its one acquired event; all that is told of it comes later, and of the same row."""
    known: dict[str, Row] = {}
    for e in h.log:
        if e.type == ACQUIRED and e.session in known:
            yield f"{e} a second time"
        elif e.type == ACQUIRED:
            known[e.session] = e.row
        elif e.type != LINE and replace(e.row, reason="") != known.get(e.session):
            yield f"{e} was not acquired before, but {known.get(e.session)}"
    for row in (*h.records, *h.active):
        if row.session not in known:
            yield f"{row} was never acquired"


def active_is_what_did_not_end(h: History) -> Iterator[str]:
    """The active sessions are those that the log acquired and did not release."""
    left = {life.row for life in h.lives.values() if not life.released}
    yield from (f"{row} has not ended and is not active" for row in left - set(h.active))
    yield from (f"{row} is active, but not so by the log" for row in set(h.active) - left)


def nothing_answered_is_lost(h: History) -> Iterator[str]:
    """What was answered is in the log, as it was answered, and happened while it was asked."""
    slack = h.limits.clock
    for op in h.answered("acquire", 200):
        session, token = op.answer["session_id"], op.answer["fencing_token"]
        wanted = Row(session, lock_of(op.request), op.request["workstation_id"], token)
        life = h.lives.get(session)
        if not life or life.row != wanted:
            yield f"{op} is in the log as {life}"
        elif not op.answer["existing"] and not _within(life.acquired.at, op, slack):
            yield f"{op} happened at another time: {life.acquired}"
        elif not h.overlaps(life, op.start, op.end):
            yield f"{op} was answered with one that had ended: {life.released}"
    for kind, reason in (("release", "released"), ("force_release", "force_released")):
        ended: set[str] = set()
        for op in h.answered(kind, 204):
            life = h.lives.get(op.request["session_id"])
            end = life and life.released
            if not end or end.row.reason != reason or not _within(end.at, op, slack):
                yield f"{op} is in the log as {end}"
            if op.request["session_id"] in ended:
                yield f"{op} was answered a second time"
            ended.add(op.request["session_id"])


def refusals_are_true(h: History) -> Iterator[str]:
    """A lock that was refused was held, a session that was not found had ended, a lost connection was lost."""
    for op in h.answered("acquire", 409, error="hard_interference"):
        life = h.lives.get(op.answer["holder"]["session_id"])
        if not life or life.row.lock != lock_of(op.request):
            yield f"{op} names a holder that the log does not know: {life}"
        elif not h.overlaps(life, op.start, op.end):
            yield f"{op} names a holder of another time: {life.acquired}, {life.released}"
    kinds = ("acquire", "batch", "stand", "alive")
    for op in (op for kind in kinds for op in h.answered(kind, 409, error="not_connected")):
        around = op.start - h.limits.tolerance, op.end + h.limits.tolerance
        for stream in h.streams_of[op.request["workstation_id"]]:
            own = op.request.get("connection_id") in {None, stream.connection_id}
            if own and stream.live(*around, h.limits.silence):
                yield f"{op}, and this was open: {stream}"
    kinds = ("release", "force_release", "request_handoff", "handoff")
    for op in (op for kind in kinds for op in h.answered(kind, 404)):
        life = h.lives.get(op.request["session_id"])
        if life and life.until > op.end + h.limits.clock:
            yield f"{op} came before the end: {life.released}"


def lists_are_true(h: History) -> Iterator[str]:
    """A list shows what is active at its cursor, which is not before what had been answered."""
    done = [(op.end, h.lives.get(op.answer["session_id"])) for op in h.answered("acquire", 200)]
    known = sorted((end, life.acquired.id) for end, life in done if life)
    ends, places = [end for end, _ in known], list(accumulate((n for _, n in known), max))
    for op in h.answered("list", 200):
        place, item = position(op.answer["cursor"]), op.request["item_id"]
        shown = {session["session_id"] for session in op.answer["sessions"]}
        active = {s for s, x in h.lives.items() if x.at(place) and item in (None, x.row.lock.item)}
        if shown != active:
            yield f"{op} shows too much: {shown - active}, and not: {active - shown}"
        answered = bisect_left(ends, op.start)
        if answered and place < places[answered - 1]:
            yield f"{op} is older than what had been answered: {places[answered - 1]}"


def events_name_their_recipients(h: History) -> Iterator[str]:
    """An event goes to who watches its item and who holds a session on it, an end also to who held that.

    What is said to somebody, and is no news of the item, goes to that workstation only.
    """
    for e in h.log:
        if e.type not in ABOUT_THE_ITEM:
            if e.channels != {channel(e.row.workstation)}:
                yield f"{e} is addressed to {set(e.channels)}"
            continue
        here = h.on_item[e.id]
        # Of those that end in the same statement each workstation is told its own only.
        stay = [life for life in here if not _end_together(life.released, e)]
        may, must = ({channel(x.row.workstation) for x in lives} for lives in (here, stay))
        always = audience(e.row.lock.item, [e.row.workstation] if e.type != LINE else [])
        if not must | always <= e.channels <= may | always:
            yield f"{e} is addressed to {set(e.channels)}; holders: {must}"


def _within(moment: float, op: Operation, slack: float) -> bool:
    return op.start - slack <= moment <= op.end + slack


def _end_together(one: Entry | None, other: Entry) -> bool:
    return one is not None and one.data["released_at"] == other.data.get("released_at")


RULES: Final[tuple[Rule, ...]] = (
    one_holder_in_the_log,
    one_holder_in_answers,
    tokens_grow,
    ends_once,
    acquired_first,
    active_is_what_did_not_end,
    nothing_answered_is_lost,
    refusals_are_true,
    lists_are_true,
    events_name_their_recipients,
    *history_streams.RULES,
)
