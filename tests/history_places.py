"""Who certainly stood in line, and who may have: what `tests/history_line.py` judges by.

The log does not tell of places in line. That somebody waits is known from answers, and that they would have heard of
their turn from their stream: only what has one that was open all the time is certain.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from tests.history import Entry, History, Life, Operation, Row, lock_of
from tests.history_streams import absences
from tests.slow.model_state import Lock


@dataclass(frozen=True)
class Place:
    """A place in line that somebody was answered to have."""

    id: str
    row: Row  # as the session that it waits for; without id and token
    asked: float  # when it was asked for at the earliest; not known: -inf
    seen: float  # when the first call began that was answered with it
    known: float  # when the first answer came
    until: float  # when it may have been lost by its own doing

    def __str__(self) -> str:
        return f"{self.row.workstation}, who stands for {self.row.lock} since {self.known:.3f} ({self.id})"


class Line:
    """Every line of a history."""

    def __init__(self, h: History) -> None:
        self._h = h
        # What may have made a place.
        self.stands: dict[tuple[str, Lock], list[Operation]] = defaultdict(list)
        self.gone: dict[str, float] = {}  # places that were left, when that was answered
        self._leaving: dict[str, float] = {}  # and when it was first asked for
        self._leaves: dict[str, list[Operation]] = defaultdict(list)
        self.lives: dict[Lock, list[Life]] = defaultdict(list)
        self._lives: dict[tuple[str, Lock], list[Life]] = defaultdict(list)
        for life in sorted(h.lives.values(), key=lambda life: life.acquired.id):
            self.lives[life.row.lock].append(life)
            self._lives[life.row.workstation, life.row.lock].append(life)
        for op in h.operations:
            if op.kind == "stand" and op.may_have_happened and op.status != 200:
                self.stands[op.request["workstation_id"], lock_of(op.request)].append(op)
            elif op.kind == "leave" and op.may_have_happened:
                place = op.request["request_id"]
                self._leaving[place] = min(op.start, self._leaving.get(place, inf))
                self._leaves[place].append(op)
                if op.status == 204:
                    self.gone[place] = op.end
        self._lost = {
            workstation: list(self._losses(workstation)) for workstation, _ in self.stands
        }
        self.places = list(self._places())
        self.of_lock: dict[Lock, list[Place]] = defaultdict(list)
        for place in self.places:
            self.of_lock[place.row.lock].append(place)

    def waits(self, place: Place, at: float) -> bool:
        """Whether it was certainly there, and its workstation reachable, for what was written at this time."""
        h, slack = self._h, self._h.limits.clock
        if not place.known + slack < at < place.until - slack:
            return False
        if h.disturbed(place.seen - slack, at + slack):
            return False
        streams = h.streams_of.get(place.row.workstation, ())
        return any(s.live(place.seen, at + slack, h.limits.silence) for s in streams)

    def waiting(self, lock: Lock, at: float, but: str = "") -> list[Place]:
        """Return who certainly waits for a lock, others than this workstation."""
        places = self.of_lock.get(lock, ())
        return [p for p in places if p.row.workstation != but and self.waits(p, at)]

    def may_wait(self, workstation: str, lock: Lock, at: float) -> list[Operation]:
        """Return what may have made a place that is still there at this time."""
        slack = self._h.limits.clock
        found = []
        for op in self.stands.get((workstation, lock), ()):
            latest = self._h.latest(op) + slack
            if (
                op.start > at + slack
                or self.gone.get(op.answer.get("request_id", ""), inf) + slack < at
                or any(
                    latest < life.acquired.at < at - slack
                    for life in self._lives[workstation, lock]
                )
                or any(max(latest, lost) < min(back, at) for lost, back in self._lost[workstation])
            ):
                continue
            found.append(op)
        return found

    def may_have_left(self, workstation: str, lock: Lock, since: float, until: float) -> bool:
        """Whether a workstation may have stepped out of a line at a time between these."""
        numbers = (op.answer.get("request_id", "") for op in self.stands[workstation, lock])
        left = [op for number in numbers for op in self._leaves.get(number, ())]
        return any(op.start <= until and since <= self._h.latest(op) for op in left)

    def came(self, workstation: str, lock: Lock, at: float) -> float:
        """Return when a place that is there at this time was made at the earliest."""
        makers = self.may_wait(workstation, lock, at)
        new = [op for op in makers if op.end <= at and op.answer.get("existing") is False]
        return max((op.start for op in new), default=min((op.start for op in makers), default=-inf))

    def _losses(self, workstation: str) -> Iterator[tuple[float, float]]:
        """Yield from when to when a workstation was certainly gone, and its places with it."""
        h = self._h
        for last, back in absences(h.streams_of.get(workstation, ())):
            lost = last.ended + h.limits.prompt
            if last.by_client and not h.disturbed(last.ended - h.limits.prompt, lost):
                yield lost, back

    def _places(self) -> Iterator[Place]:
        answers: dict[str, list[Operation]] = defaultdict(list)
        for op in self._h.answered("stand", 201):
            answers[op.answer["request_id"]].append(op)
        for number, ops in answers.items():
            request = ops[0].request
            workstation, lock = request["workstation_id"], lock_of(request)
            seen = min(op.start for op in ops)
            made = [op.start for op in ops if not op.answer["existing"]]
            ends = [self._leaving.get(number, inf)]
            ends += [
                life.acquired.at
                for life in self._lives[workstation, lock]
                if life.acquired.at > seen - self._h.limits.clock
            ]
            yield Place(
                number,
                Row("", lock, workstation, 0),
                made[0] if made else -inf,
                seen,
                min(op.end for op in ops),
                min(ends),
            )


def begun_with(h: History, end: Entry) -> Entry | None:
    """Return what began the next session of a lock in the transaction that ended this one."""
    group = h.transactions[end.id]
    same = (e for e in group if e.id > end.id and e.session in h.lives)
    return next(
        (e for e in same if e.row.lock == end.row.lock and h.lives[e.session].acquired is e), None
    )
