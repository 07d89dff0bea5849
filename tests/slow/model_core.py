"""What all operations of the model are made of: acquire, end, whose turn it is, who is told, and the refusals."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import wraps
from typing import Any

from tests.slow.model_state import (
    ADMIN,
    End,
    Event,
    Expected,
    Got,
    Line,
    Lock,
    Place,
    Refused,
    Session,
    State,
    Stream,
    User,
    Workstation,
    channel,
    meet,
    shared,
)

LINE_CHANGED = "edit.line_changed"
# Between two operations: less than any clock counts, more than nothing.
MOMENT = 0.001

Wanted = tuple[Lock, frozenset[str]]


def operation(method: Callable[..., Any]) -> Callable[..., Expected]:
    """Make a method that returns status and answer, or raises `Refused`, return what is expected."""

    @wraps(method)
    def run(self: "Core", *args: Any, **kwargs: Any) -> Expected:
        self.now += MOMENT
        self.events, self.ended = [], []
        try:
            status, answer = method(self, *args, **kwargs) or (0, None)
            self.tell_lines()
        except Refused as refusal:
            assert not self.events
            assert not self.ended
            return Expected(refusal.status, refusal.code, refusal.holders)
        return Expected(status, "", answer, self.events, self.ended)

    return run


class Core(State):
    """What changes the state, without who may ask for it."""

    def come_back(self, at: Workstation, *, active: bool = False) -> None:
        """It is here, and with `active` somebody is at it."""
        if at.away_since is not None:
            self._tell_of([at], "edit.session_back")
        at.departed_at = at.departed_by = at.away_since = None
        if active and at.idle_since is not None:
            self._tell_of([at], "edit.session_active")
            at.idle_since = None

    def touch_sessions(
        self, workstations: Collection[Workstation], unless_within: float = 0.0
    ) -> None:
        for session in self.held_by(workstations):
            if self.now - session.heartbeat >= unless_within:
                session.heartbeat = self.now

    def _tell_of(self, workstations: Collection[Workstation], kind: str) -> None:
        for session in self.held_by(workstations):
            self.events.append(Event(kind, session, self.watchers(session.lock.item), {}))

    def tell_lines(self) -> None:
        """Tell of each line that is longer or shorter than it was: a transaction does so at its end."""
        now = Counter(place.lock for place in self.places)
        for lock in {*now, *self.lengths}:
            if now[lock] != self.lengths[lock]:
                data = {"length": now[lock]}
                to = self.watchers(lock.item)
                self.events.append(Event(LINE_CHANGED, Line(lock), to, data))
        self.lengths = now

    def _acquire(
        self, at: Workstation, wanted: Sequence[Wanted], stream: Stream | None
    ) -> list[Got]:
        in_the_way = [
            held
            for lock, _ in wanted
            if (held := self.sessions.get(lock)) and held.workstation is not at
        ]
        if in_the_way:
            raise Refused(409, "hard_interference", in_the_way)
        self.come_back(at, active=True)
        locks = {lock for lock, _ in wanted}
        before = {session: self.met_by(session) for session in self.held_by([at])}
        self.places = [p for p in self.places if p.workstation is not at or p.lock not in locks]
        existing = [lock in self.sessions for lock, _ in wanted]
        for lock, cone in wanted:
            if held := self.sessions.get(lock):
                held.cone = cone or held.cone
                held.stream = held.stream or stream
                self.touch_sessions([at])
            else:
                self.sessions[lock] = Session(lock, at, cone, self.now, self.now, stream)
        got = []
        for (lock, _), had in zip(wanted, existing, strict=True):
            session = self.sessions[lock]
            got.append(Got(session, had, self.met_by(session)))
            if not had:
                self._tell_acquired(got[-1], self.watchers(lock.item))
        for session, met in before.items():
            for other in [one for one in met if not meet(session, one)]:
                self._tell_no_more(session, other)
                self._tell_no_more(other, session)
        for session, met in before.items():
            for other in [one for one in self.met_by(session) if one not in met]:
                self._tell_both(session, other)
        self._tell_met(one.session for one in got if not one.existing)
        return got

    def _tell_met(self, new: Iterable[Session]) -> None:
        """Whoever begins and whom that meets are told of each other: once, if both begin."""
        told: list[Session] = []
        for session in new:
            for other in self.met_by(session):
                if other not in told:
                    self._tell_both(session, other)
            told.append(session)

    def _tell_both(self, one: Session, other: Session) -> None:
        for own, met in ((one, other), (other, one)):
            to = frozenset({channel(own.workstation)})
            data = {"other": met, "shared": shared(own, met)}
            self.events.append(Event("edit.interference", own, to, data))

    def _tell_no_more(self, left: Session, other: Session) -> None:
        to = frozenset({channel(left.workstation)})
        self.events.append(Event("edit.interference_resolved", left, to, {"with": other}))

    def _tell_acquired(self, got: Got, to: frozenset[str]) -> None:
        stream = got.session.stream
        data = {"interference": got.interference, "connection_id": stream and stream.id}
        self.events.append(Event("edit.session_acquired", got.session, to, data))

    def _end(
        self,
        ending: Collection[Session],
        reason: str,
        *,
        by: str = "",
        note: str = "",
        leaving: Collection[Workstation] = (),
        turn: Place | None = None,
    ) -> list[Got]:
        """The only way in which sessions end; what is free then goes to whose turn it is."""
        self.places = [place for place in self.places if place.workstation not in leaving]
        turns = [turn] if turn else [self.next_in_line(session.lock) for session in ending]
        for session in ending:
            del self.sessions[session.lock]
            self.past.append(session)
            self.ended.append(End(session, reason, by, note))
        for session in ending:
            own = frozenset({channel(session.workstation)})
            if reason == "force_released":
                data = {"by": by, "reason": note}
                self.events.append(Event("edit.force_released", session, own, data))
            to = self.watchers(session.lock.item) | own
            self.events.append(Event("edit.session_released", session, to, {"reason": reason}))
        # Who ends as well is not left to be told; who gets something here has met nobody yet.
        freed = [
            (left, one) for one in ending for left in self.sessions.values() if meet(one, left)
        ]
        granted = self.grant(turns)
        for left, one in freed:
            self._tell_no_more(left, one)
        self._tell_met(got.session for got in granted)
        return granted

    def grant(self, places: Iterable[Place | None]) -> list[Got]:
        """It is their turn."""
        sessions, audiences = [], []
        for place in self.in_order(places):
            self.places = [other for other in self.places if other is not place]
            session = Session(
                place.lock, place.workstation, place.cone, self.now, self.now, place.stream
            )
            self.sessions[place.lock] = session
            sessions.append(session)
            audiences.append(self.watchers(place.lock.item))
        granted = [Got(session, False, self.met_by(session)) for session in sessions]
        for got, to in zip(granted, audiences, strict=True):
            self._tell_acquired(got, to)
            own = frozenset({channel(got.session.workstation)})
            self.events.append(Event("edit.session_granted", got.session, own, {"got": got}))
            if got.session.workstation.idle_since is not None:
                self.events.append(Event("edit.session_idle", got.session, to, {}))
        return granted

    # -- refusals --

    def _need(self, user: User, role: int) -> None:
        if user.role < role:
            raise Refused(403, "forbidden")

    def _check_exists(self, at: Workstation) -> None:
        if self.workstations.get(at.name) is not at:
            raise Refused(404, "not_found")

    def _check_users(self, user: User, at: Workstation) -> None:
        if at.user is not user:
            raise Refused(403, "forbidden")

    def _check_own(self, user: User, at: Workstation, stream: Stream | None) -> None:
        self._check_exists(at)
        self._check_users(user, at)
        if stream and (stream not in self.streams or stream.workstation is not at):
            raise Refused(409, "not_connected")

    def _check_may_end(self, user: User, at: Workstation) -> None:
        self._check_exists(at)
        if at.user is not user and user.role < ADMIN:
            raise Refused(403, "forbidden")

    def _find(self, session: Session) -> None:
        if not self.live(session):
            raise Refused(404, "not_found")
