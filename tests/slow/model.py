"""The model: what the server has to do, in plain Python. One operation after the other, so there are no races in it.

Every operation returns what is `Expected` of the server. How presence moves on is in `model_presence.py`.
"""

from collections.abc import Sequence
from typing import Any

from tests.slow.model_core import Core, Wanted, operation
from tests.slow.model_state import (
    ADMIN,
    EDITOR,
    Event,
    Got,
    Place,
    Refused,
    Session,
    Standing,
    Stream,
    User,
    Workstation,
    channel,
)

IDLE_JITTER = 5.0
# By the default heartbeat of 30 s: between two changes to idle, and how old a touch is that an acknowledgement renews.
IDLE_STEP = 27.0
FRESH = 15.0


class Sessions(Core):
    """Edit sessions, their line and their hand-off."""

    # -- what clients ask for --

    @operation
    def register(self, user: User, name: str) -> tuple[int, Any]:
        """A client installation makes itself known."""
        if name in self.workstations:
            self.workstations[name].last_seen = self.now
            return 200, None
        self.workstations[name] = Workstation(name, user, self.now)
        return 201, None

    @operation
    def acquire(
        self, user: User, at: Workstation, wanted: Sequence[Wanted], stream: Stream | None
    ) -> tuple[int, list[Got]]:
        self._need(user, EDITOR)
        self._check_own(user, at, stream)
        return 200, self._acquire(at, wanted, stream)

    @operation
    def stand(
        self, user: User, at: Workstation, wanted: Wanted, stream: Stream | None
    ) -> tuple[int, Any]:
        """Stand in line, or acquire what is free."""
        self._need(user, EDITOR)
        self._check_own(user, at, stream)
        # Whichever stream it names: of a dead server none will tell it of its turn.
        if not self.served(at):
            raise Refused(409, "not_connected")
        lock, cone = wanted
        holder = self.sessions.get(lock)
        others = [place for place in self.line(lock) if place.workstation is not at]
        waited_for = any(self.reachable(place.workstation) for place in others)
        if (holder and holder.workstation is at) or not (holder or waited_for):
            return 200, self._acquire(at, [wanted], stream)
        self.come_back(at, active=True)
        place = self.place_of(at, lock)
        existing = place is not None
        if place is None:
            place = Place(lock, at, cone, stream)
            self.places.append(place)
        place.stream = place.stream or stream
        place.cone = cone or place.cone
        position = self.line(lock).index(place) + 1
        return 201, Standing(place, position, existing, holder)

    @operation
    def leave_line(self, user: User, place: Place) -> tuple[int, Any]:
        if place not in self.places:
            raise Refused(404, "not_found")
        self._check_may_end(user, place.workstation)
        self.places.remove(place)
        if held := self.sessions.get(place.lock):
            held.asked = {(who, at) for who, at in held.asked if at is not place.workstation}
        return 204, None

    @operation
    def release(self, user: User, session: Session) -> tuple[int, Any]:
        self._find(session)
        self._check_users(user, session.workstation)
        self._end([session], "released")
        return 204, None

    @operation
    def release_all(self, user: User, at: Workstation) -> tuple[int, int]:
        self._check_may_end(user, at)
        held = self.held_by([at])
        self._end(held, "released", by="" if at.user is user else user.name)
        return 200, len(held)

    @operation
    def delete_workstation(self, user: User, at: Workstation) -> tuple[int, Any]:
        self._check_may_end(user, at)
        by = "" if at.user is user else user.name
        self._end(self.held_by([at]), "workstation_deleted", by=by, leaving=[at])
        del self.workstations[at.name]
        self.streams = [stream for stream in self.streams if stream.workstation is not at]
        for session in self.sessions.values():
            session.asked = {(who, where) for who, where in session.asked if where is not at}
        return 204, None

    @operation
    def force_release(self, user: User, session: Session, reason: str) -> tuple[int, Any]:
        self._need(user, ADMIN)
        if not reason:
            raise Refused(422, "invalid")
        self._find(session)
        self._end([session], "force_released", by=user.name, note=reason)
        return 204, None

    @operation
    def take_over(
        self, user: User, session: Session, at: Workstation, reason: str, stream: Stream | None
    ) -> tuple[int, list[Got]]:
        """End it by force and get it, ahead of the line."""
        self._need(user, ADMIN)
        self._find(session)
        self._check_own(user, at, stream)
        self.come_back(at, active=True)
        place = self.place_of(at, session.lock) or Place(session.lock, at, session.cone)
        place.cone, place.stream = place.cone or session.cone, stream
        return 200, self._end([session], "force_released", by=user.name, note=reason, turn=place)

    @operation
    def request_handoff(
        self, user: User, session: Session, at: Workstation | None, message: str
    ) -> tuple[int, Any]:
        self._need(user, EDITOR)
        self._find(session)
        if at:
            self._check_own(user, at, None)
        if session.workstation.user is user:
            raise Refused(409, "own_session")
        session.asked.add((user, at))
        data = {"requester": user.name, "workstation": at, "message": message}
        to = frozenset({channel(session.workstation)})
        self.events.append(Event("edit.handoff_requested", session, to, data))
        return 202, None

    @operation
    def hand_off(self, user: User, session: Session, target: Workstation) -> tuple[int, Any]:
        self._find(session)
        self._check_exists(target)
        self._check_users(user, session.workstation)
        if not self.served(target):
            raise Refused(409, "not_connected")
        if target.user.role < EDITOR:
            raise Refused(409, "not_an_editor")
        place = self.place_of(target, session.lock)
        if not place:
            if not session.asked & {(target.user, target), (target.user, None)}:
                raise Refused(409, "not_requested")
            place = Place(session.lock, target, session.cone)
        place.cone = place.cone or session.cone
        return 200, self._end([session], "handed_off", turn=place)

    @operation
    def verify(self, session: Session, token: int) -> tuple[int, Any]:
        """Is this session live with this token?"""
        if not (self.live(session) and session.token == token):
            raise Refused(409, "stale_token")
        return 200, session

    @operation
    def alive(
        self, user: User, at: Workstation, stream: Stream | None, idle: float | None
    ) -> tuple[int, Any]:
        """A sign of life; `idle` says for how long nobody has touched the workstation."""
        self._check_own(user, at, stream)
        at.last_seen = self.now
        self.come_back(at, active=idle == 0)
        if idle:
            since = self.now - idle
            news = at.idle_since is None or abs(at.idle_since - since) > IDLE_JITTER
            if news and self.now - at.idle_told_at >= IDLE_STEP:
                at.idle_since, at.idle_told_at = since, self.now
                self._tell_of([at], "edit.session_idle")
        # What a heartbeat has touched, its acknowledgement need not touch again.
        self.touch_sessions([at], unless_within=FRESH if stream else 0.0)
        return 204, None

    # -- what the sweeper does --

    def stale(self, timeout: float) -> list[Session]:
        return [one for one in self.sessions.values() if self.now - one.heartbeat > timeout]

    def idle(self, timeout: float) -> list[Session]:
        """What nobody touches, and what its workstation has had for as long."""
        return [
            session
            for session in self.sessions.values()
            if session.workstation.idle_since is not None
            and self.now - session.workstation.idle_since > timeout
            and self.now - session.acquired_at > timeout
        ]

    def lost(self, timeout: float) -> list[Place]:
        """Those whose workstation no server has seen."""
        return [
            place
            for place in self.places
            if not self.connected(place.workstation)
            and self.now - place.workstation.last_seen > timeout
        ]

    @operation
    def expire(self, timeout: float) -> None:
        self._end(self.stale(timeout), "expired")

    @operation
    def expire_idle(self, timeout: float) -> None:
        self._end(self.idle(timeout), "idle")

    @operation
    def lose_places(self, timeout: float) -> None:
        lost = self.lost(timeout)
        self.places = [place for place in self.places if place not in lost]
