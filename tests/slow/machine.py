"""The state machine: what clients can do, in any order."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.slow.machine_base import (
    ITEMS,
    LEVELS,
    OBJECTS,
    OWNERS,
    ROLES,
    Base,
    items_url,
    session_url,
    wish_json,
)
from tests.slow.model_state import Lock, Session, Standing, Stream, Workstation

workstations = st.sampled_from(list(OWNERS))
# Most often the owner asks, sometimes somebody.
askers = st.sampled_from([*[""] * 20, *ROLES])
locks = st.builds(
    Lock,
    st.sampled_from([ITEMS[0], *ITEMS]),
    st.sampled_from(["sketch", *LEVELS]),
    st.sampled_from(["pad", *OBJECTS]),
)
cones = st.frozensets(st.sampled_from("abc"), max_size=2)
wishes = st.tuples(locks, cones)
ones = st.integers(0, 11)
connections = st.sampled_from([*["none"] * 5, *["own"] * 5, "ended", "foreign"])
rare = precondition(lambda self: self.step % 4 == 3)
paced = precondition(lambda self: self.driver.paced)
held = precondition(lambda self: self.model.sessions or self.model.past)


class Machine(Base):
    """What clients can do. Presence, servers and clocks: `machine_presence.py`."""

    @rare
    @rule(name=workstations)
    def register(self, name: str) -> None:
        self.compare(*self.registered(name))

    @rule(at=workstations, wish=wishes, asker=askers, stream=connections)
    def acquire(self, at: str, wish: Any, asker: str, stream: str) -> None:
        where, user = self.at(at), asker or OWNERS[at]
        used = self.stream(where, stream)
        expected = self.expect(self.model.acquire, self.model.users[user], where, [wish], used)
        path = f"{items_url(wish[0].item)}/edit-sessions"
        answer = self.call(expected, user, "POST", path, self._wanted(where, wish, used))
        self.compare_got(expected, [answer], holder="holder")

    @rule(at=st.sampled_from(["ada-1", "bob-1", "eve-1", "bob-2"]), wish=wishes)
    def acquire_own(self, at: str, wish: Any) -> None:
        self.acquire(at, wish, "", "none")

    @rule(
        at=workstations,
        wanted=st.lists(wishes, min_size=1, max_size=5, unique_by=lambda wish: wish[0]),
        asker=askers,
        stream=connections,
    )
    def batch(self, at: str, wanted: Any, asker: str, stream: str) -> None:
        where, user = self.at(at), asker or OWNERS[at]
        used = self.stream(where, stream)
        expected = self.expect(self.model.acquire, self.model.users[user], where, wanted, used)
        body = {
            "workstation_id": self.id(where),
            "connection_id": used and used.id,
            "sessions": [{"part_number": wish[0].item} | wish_json(wish) for wish in wanted],
        }
        answer = self.call(expected, user, "POST", "/api/edit-sessions/batch", body)
        self.compare_got(expected, answer.get("sessions"), holder="holders", answer=answer)

    @rule(at=workstations, wish=wishes, asker=askers, stream=connections)
    def stand(self, at: str, wish: Any, asker: str, stream: str) -> None:
        self._stand(at, wish, asker, stream)

    @precondition(lambda self: self.model.sessions)
    @rule(at=workstations, one=ones, cone=cones)
    def stand_for_held(self, at: str, one: int, cone: Any) -> None:
        held = list(self.model.sessions)
        self._stand(at, (held[one % len(held)], cone), "", "none")

    @precondition(lambda self: self.model.places)
    @rule(one=ones, asker=askers)
    def leave_line(self, one: int, asker: str) -> None:
        place = self.model.places[one % len(self.model.places)]
        user = asker or place.workstation.user.name
        expected = self.expect(self.model.leave_line, self.model.users[user], place)
        path = f"{items_url(place.lock.item)}/edit-session-requests/{place.id}"
        self.call(expected, user, "DELETE", path)

    @held
    @rule(one=ones, asker=askers)
    def release(self, one: int, asker: str) -> None:
        session = self.session(one)
        user = asker or session.workstation.user.name
        expected = self.expect(self.model.release, self.model.users[user], session)
        self.call(expected, user, "DELETE", session_url(session))

    @rare
    @rule(at=workstations, asker=askers)
    def release_all(self, at: str, asker: str) -> None:
        where, user = self.at(at), asker or OWNERS[at]
        expected = self.expect(self.model.release_all, self.model.users[user], where)
        path = f"/api/workstations/{self.id(where)}/edit-sessions"
        answer = self.call(expected, user, "DELETE", path)
        assert expected.error or answer == {"released": expected.answer}

    @rare
    @rule(at=workstations, asker=askers)
    def delete_workstation(self, at: str, asker: str) -> None:
        where, user = self.at(at), asker or OWNERS[at]
        expected = self.expect(self.model.delete_workstation, self.model.users[user], where)
        self.call(expected, user, "DELETE", f"/api/workstations/{self.id(where)}")
        if not expected.error:
            self.driver.forget(self.id(where))

    @held
    @rule(one=ones, user=st.sampled_from(["eve", "eve", "ada"]), reason=st.sampled_from("xyz "))
    def force_release(self, one: int, user: str, reason: str) -> None:
        session, why = self.session(one), reason.strip()
        expected = self.expect(self.model.force_release, self.model.users[user], session, why)
        self.call(
            expected, user, "DELETE", f"{session_url(session)}/force-release", {"reason": reason}
        )

    @held
    @rule(one=ones, at=st.sampled_from(["eve-1", "eve-1", "bob-1"]), stream=connections)
    def take_over(self, one: int, at: str, stream: str) -> None:
        session, where = self.session(one), self.at(at)
        used = self.stream(where, stream)
        eve = self.model.users["eve"]
        expected = self.expect(self.model.take_over, eve, session, where, "due", used)
        body = {
            "reason": "due",
            "take": True,
            "workstation_id": self.id(where),
            "connection_id": used and used.id,
        }
        path = f"{session_url(session)}/force-release"
        answer = self.call(expected, "eve", "DELETE", path, body)
        self.compare_got(expected, [answer], holder="")

    @held
    @rule(one=ones, at=workstations, named=st.booleans(), asker=askers)
    def request_handoff(self, one: int, at: str, named: bool, asker: str) -> None:
        session, user = self.session(one), asker or OWNERS[at]
        where = self.at(at) if named else None
        expected = self.expect(
            self.model.request_handoff, self.model.users[user], session, where, "please"
        )
        body = {"message": "please"} | ({"workstation_id": self.id(where)} if where else {})
        self.call(expected, user, "POST", f"{session_url(session)}/request-handoff", body)

    @held
    @rule(one=ones, to=workstations, asker=askers)
    def hand_off(self, one: int, to: str, asker: str) -> None:
        self._hand_off(self.session(one), self.at(to), asker)

    @precondition(lambda self: any(one.asked for one in self.model.sessions.values()))
    @rule(one=ones)
    def hand_off_as_asked(self, one: int) -> None:
        asked = [session for session in self.model.sessions.values() if session.asked]
        session = asked[one % len(asked)]
        wanted = sorted(session.asked, key=lambda ask: (ask[0].name, ask[1].name if ask[1] else ""))
        user, at = wanted[one % len(wanted)]
        own = [name for name, owner in OWNERS.items() if owner == user.name]
        self._hand_off(session, at or self.at(own[one % len(own)]), "")

    @held
    @rule(one=ones, other=ones, asker=st.sampled_from(list(ROLES)))
    def verify(self, one: int, other: int, asker: str) -> None:
        self._verify(self.session(one), self.session(other if other % 3 else one).token, asker)

    @rule(
        at=workstations,
        idle=st.sampled_from([None, 0.0, 0.0, 60.0, 1250.0]),
        asker=askers,
        stream=connections,
    )
    def alive(self, at: str, idle: float | None, asker: str, stream: str) -> None:
        where, user = self.at(at), asker or OWNERS[at]
        used = self.stream(where, stream)
        expected = self.expect(self.model.alive, self.model.users[user], where, used, idle)
        body = {
            "connection_id": used and used.id,
            "idle_seconds": idle and idle + self.driver.elapsed(),
        }
        self.call(expected, user, "POST", f"/api/workstations/{self.id(where)}/alive", body)

    @precondition(lambda self: self.model.sessions)
    @rule(one=ones, idle=st.sampled_from([0.0, 1250.0, 1250.0]))
    def holder_is_idle(self, one: int, idle: float) -> None:
        name = self.session(one).workstation.name
        if name in self.model.workstations:
            self.alive(name, idle, "", "none")

    @rare
    @rule()
    def read_snapshot(self) -> None:
        self.new_snapshot()

    # -- what rules are made of --

    def contend(self) -> None:
        """Begin where it takes long to come by chance: with lines, and somebody who has asked."""
        one = Lock(ITEMS[0], "sketch", "pad")
        other = Lock(ITEMS[0], "assembly", "")
        self.acquire("ada-1", (one, frozenset("ab")), "", "none")
        self.acquire("bob-1", (other, frozenset("b")), "", "none")
        for at, lock in (("bob-2", one), ("eve-1", one), ("ada-2", other), ("eve-1", other)):
            self._stand(at, (lock, frozenset("a")), "", "none")
        self.request_handoff(1, "ada-1", False, "")

    def _stand(self, at: str, wish: Any, asker: str, stream: str) -> None:
        where, user = self.at(at), asker or OWNERS[at]
        used = self.stream(where, stream)
        expected = self.expect(self.model.stand, self.model.users[user], where, wish, used)
        path = f"{items_url(wish[0].item)}/edit-session-requests"
        body = self._wanted(where, wish, used)
        status, answer = self.driver.call(user, "POST", path, body)
        if isinstance(expected.answer, Standing) and status == expected.status:
            self.comparison.standing(expected.answer, answer)
        self.compare(expected, status, answer)
        if not isinstance(expected.answer, Standing):
            self.compare_got(expected, [answer], holder="holder")

    def _hand_off(self, session: Session, target: Workstation, asker: str) -> None:
        user = asker or session.workstation.user.name
        expected = self.expect(self.model.hand_off, self.model.users[user], session, target)
        body = {"to_workstation_id": self.id(target)}
        answer = self.call(expected, user, "POST", f"{session_url(session)}/handoff", body)
        self.compare_got(expected, [answer], holder="")

    def _verify(self, session: Session, token: int, asker: str) -> None:
        expected = self.expect(self.model.verify, session, token)
        path = f"{session_url(session)}/verify"
        answer = self.call(expected, asker, "POST", path, {"fencing_token": token})
        if not expected.error:
            self.comparison.verified(session, answer)

    def _wanted(self, at: Workstation, wish: Any, stream: Stream | None) -> dict[str, Any]:
        where = {"workstation_id": self.id(at), "connection_id": stream and stream.id}
        return where | wish_json(wish)
