"""A recorded history of a run: what clients did and saw, and at its end the truth of the database.

All times are seconds on one clock. What `tests/history_checker.py` checks; it knows no database and no clock itself.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby, pairwise
from math import inf
from typing import Any, Final

from tests.slow.model_state import Lock

ACQUIRED: Final = "edit.session_acquired"
RELEASED: Final = "edit.session_released"
GRANTED: Final = "edit.session_granted"
REQUESTED: Final = "edit.handoff_requested"
INTERFERENCE: Final = "edit.interference"
RESOLVED: Final = "edit.interference_resolved"
IDLE: Final = "edit.session_idle"
ACTIVE: Final = "edit.session_active"
LINE: Final = "edit.line_changed"

Json = Mapping[str, Any]


def lock_of(data: Json) -> Lock:
    """Return what a request, an event or a session in JSON is about; its item is named by id."""
    return Lock(data["item_id"], data["context_level"], data["object_id"])


def position(cursor: str) -> int:
    """Return the place in the log of an event id `<epoch>-<n>`."""
    return int(cursor.rpartition("-")[2])


@dataclass(frozen=True)
class Limits:
    """What cannot be known more exactly, and what is promised, in seconds."""

    clock: float = 0.25  # from the time of a statement to when others see its effect
    commit: float = 6.0  # the same while a server may be stopped between a statement and its commit
    silence: float = 1.2  # who has sent nothing for longer may have been taken for dead
    tolerance: float = 1.0  # from the end of a stream to when its client has seen it
    lateness: float = 25.0  # until a departure that a fault held up is acted upon
    patience: float = 10.0  # until an event has come
    prompt: float = 3.0  # until a departure without a fault has released
    timeout: float = 60.0  # a session without a heartbeat
    idle: float = inf  # a session whose workstation nobody touches
    idle_step: float = 0.0  # between two times at which others are told that somebody is idle
    settle: float = 90.0  # until all that was left is released, whatever happened


@dataclass(frozen=True)
class Operation:
    """A call of the API. Without an end its outcome is unknown: it broke, or the server failed.

    The request of an acquire, of standing in line, and each one in a batch is the API's and `item_id`, of what is done
    to a session `session_id`, of a list `item_id` or None; of a hand-off also the lock and `to_workstation_id`.
    """

    client: str
    kind: str  # acquire, batch, release, list, stand, leave, list_line, request_handoff, handoff, alive, ...
    start: float
    request: Json
    end: float = inf
    status: int = 0  # 0: it reached no server, or is not known
    answer: Json = field(default_factory=dict)

    @property
    def may_have_happened(self) -> bool:
        return self.end == inf or 200 <= self.status < 300

    @property
    def got(self) -> str | None:
        """The session that an acquire was answered with; None where the answer is not known."""
        return self.answer.get("session_id")

    def acquires(self) -> Iterator["Operation"]:
        """Yield it as the acquires that it is, or may have been: a batch, a turn in line or a hand-off has them too."""
        if self.kind == "acquire":
            yield self
        elif self.kind == "stand" and self.may_have_happened and self.status != 201:
            yield replace(self, kind="acquire")
        elif self.kind == "batch" and self.may_have_happened:
            for number, wanted in enumerate(self.request["sessions"]):
                request = {k: v for k, v in self.request.items() if k != "sessions"} | dict(wanted)
                answer = self.answer["sessions"][number] if self.answer else {}
                yield replace(self, kind="acquire", request=request, answer=answer)
        elif self.kind == "handoff" and self.status == 200:
            # It takes an open stream.
            given = {"workstation_id": self.request["to_workstation_id"], "connection_id": "any"}
            yield replace(self, kind="acquire", request={**self.request, **given})


@dataclass(frozen=True)
class Received:
    """An event on a stream; `id` is empty for heartbeats."""

    at: float
    name: str
    id: str
    data: Json


@dataclass(frozen=True)
class Stream:
    """One event stream from its request to its end."""

    client: str
    workstation: str | None
    channels: frozenset[str]
    requested: float
    last_event_id: str
    received: Sequence[Received]
    ended: float
    by_client: bool  # who ended it, as the client knows it

    def __str__(self) -> str:
        return f"the stream of {self.client} from {self.requested:.3f} to {self.ended:.3f} after {self.last_event_id!r}"

    @property
    def connection_id(self) -> str | None:
        return self.received[0].data.get("connection_id") if self.received else None

    @cached_property
    def _moments(self) -> list[float]:
        return [event.at for event in self.received]

    def live(self, since: float, until: float, silence: float) -> bool:
        """Whether it was open all that time and never silent for longer."""
        first, last = bisect_right(self._moments, since) - 1, bisect_left(self._moments, until)
        if first < 0 or last == len(self._moments):
            return False
        return all(b - a <= silence for a, b in pairwise(self._moments[first : last + 1]))


@dataclass(frozen=True)
class Row:
    """A session as a table has it: an active one, or with a reason the record of its end."""

    session: str
    lock: Lock
    workstation: str
    token: int
    reason: str = ""
    cone: frozenset[str] = field(default=frozenset(), repr=False)  # where it is known


@dataclass(frozen=True)
class Entry:
    """An entry of the event log."""

    id: int
    at: float
    type: str
    data: Json
    channels: frozenset[str]

    @cached_property
    def session(self) -> str:
        """The session that it is about; "" of a line."""
        return "" if self.type == LINE else str(self.data["session_id"])

    @cached_property
    def row(self) -> Row:
        """The session as this event tells it; of a line its lock alone."""
        if self.type == LINE:
            return Row("", lock_of(self.data), "", 0)
        workstation, token = self.data["workstation"]["id"], self.data["fencing_token"]
        reason = self.data["reason"] if self.type == RELEASED else ""
        return Row(self.session, lock_of(self.data), workstation, token, reason)

    def __str__(self) -> str:
        return f"{self.type} {self.id} at {self.at:.3f} of {self.row}"


@dataclass(frozen=True)
class Life:
    """A session in the log."""

    acquired: Entry
    released: Entry | None

    @property
    def row(self) -> Row:
        return self.acquired.row

    @property
    def until(self) -> float:
        return self.released.at if self.released else inf

    def at(self, place: int) -> bool:
        """Whether it is active where the log has reached this place."""
        return self.acquired.id <= place and (not self.released or place < self.released.id)


@dataclass(frozen=True)
class History:
    """What was recorded, and the truth."""

    operations: Sequence[Operation]
    streams: Sequence[Stream]
    log: Sequence[Entry]
    records: Sequence[Row]
    active: Sequence[Row]
    epoch: str
    ended: float = inf  # when the truth was read
    faults: Sequence[tuple[float, float]] = ()  # when servers could not do all they promise
    outages: Sequence[
        tuple[float, float]
    ] = ()  # when there was no server, and no clock ended anything
    limits: Limits = field(default_factory=Limits)

    @cached_property
    def lives(self) -> dict[str, Life]:
        """Every session that the log acquired."""
        ends = {e.session: e for e in reversed(self.log) if e.type == RELEASED}
        begins = {e.session: e for e in reversed(self.log) if e.type == ACQUIRED}
        return {session: Life(e, ends.get(session)) for session, e in begins.items()}

    @cached_property
    def streams_of(self) -> Mapping[str, list[Stream]]:
        """The streams of each workstation."""
        found: dict[str, list[Stream]] = defaultdict(list)
        for stream in self.streams:
            if stream.workstation:
                found[stream.workstation].append(stream)
        return found

    @cached_property
    def lives_of(self) -> Mapping[str, list[Life]]:
        """The sessions of each workstation."""
        found: dict[str, list[Life]] = defaultdict(list)
        for life in self.lives.values():
            found[life.row.workstation].append(life)
        return found

    @cached_property
    def granted(self) -> Mapping[str, Entry]:
        """What was told of the sessions that somebody's turn, or a hand-off, began."""
        return {e.session: e for e in reversed(self.log) if e.type == GRANTED}

    @cached_property
    def transactions(self) -> Mapping[int, Sequence[Entry]]:
        """What was written in the same transaction as an entry, by its id: one statement writes all of it."""
        groups = (list(group) for _, group in groupby(self.log, lambda e: e.at))
        return {e.id: group for group in groups for e in group}

    @cached_property
    def on_item(self) -> Mapping[int, Sequence[Life]]:
        """What was active, after an entry in the order of the log, on its item; by its id."""
        active: dict[str, dict[str, Life]] = defaultdict(dict)
        found = {}
        for e in self.log:
            here = active[e.row.lock.item]
            if e.type == ACQUIRED:
                here[e.session] = self.lives[e.session]
            elif e.type == RELEASED:
                here.pop(e.session, None)
            found[e.id] = list(here.values())
        return found

    @cached_property
    def acquiring(self) -> Sequence[Operation]:
        """Every acquire, in whatever call."""
        return [one for op in self.operations for one in op.acquires()]

    @cached_property
    def acquires_of(self) -> Mapping[tuple[str, Lock], list[Operation]]:
        """What may have acquired a lock for a workstation."""
        found: dict[tuple[str, Lock], list[Operation]] = defaultdict(list)
        for op in self.acquiring:
            if op.may_have_happened:
                found[op.request["workstation_id"], lock_of(op.request)].append(op)
        return found

    def answered(self, kind: str, status: int, **members: Any) -> list[Operation]:
        """Return the operations with this answer."""
        among = self.acquiring if kind == "acquire" else self.operations
        found = (op for op in among if (op.kind, op.status) == (kind, status))
        return [op for op in found if members.items() <= op.answer.items()]

    def latest(self, op: Operation) -> float:
        """Return when an operation has had its effect at the latest."""
        stopped = self.disturbed(op.start, op.start + self.limits.commit)
        return min(op.end, inf if stopped else op.start + self.limits.commit)

    def disturbed(self, since: float, until: float) -> bool:
        """Whether there was a fault at any time between these."""
        return any(begin <= until and end >= since for begin, end in self.faults)

    def overlaps(self, life: Life, since: float, until: float) -> bool:
        """Whether a session may have been seen at some moment between these."""
        stopped = self.disturbed(life.until, life.until + self.limits.clock)
        late = self.limits.commit if stopped else self.limits.clock
        return life.acquired.at <= until + self.limits.clock and life.until + late >= since

    def spans(self, life: Life, since: float, until: float) -> bool:
        """Whether a session must have been seen at every moment between these."""
        stopped = self.disturbed(life.acquired.at, life.acquired.at + self.limits.clock)
        late = self.limits.commit if stopped else self.limits.clock
        return life.acquired.at + late <= since and life.until >= until


# Yields, in words, what contradicts it.
Rule = Callable[[History], Iterator[str]]
