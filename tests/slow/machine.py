"""The state machine: any order of all that can happen, and after every step the server is compared with the model."""

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.slow.comparison import Comparison
from tests.slow.model_presence import Model
from tests.slow.model_state import (
    ADMIN,
    EDITOR,
    VIEWER,
    Expected,
    Lock,
    Server,
    Session,
    Standing,
    Stream,
    User,
    Workstation,
)
from tests.slow.snapshot import Snapshot

ROLES = {"ada": EDITOR, "bob": EDITOR, "eve": ADMIN, "vic": VIEWER}
OWNERS = {"ada-1": "ada", "ada-2": "ada", "bob-1": "bob", "bob-2": "bob", "eve-1": "eve"}
OWNERS |= {"vic-1": "vic"}
ITEMS = ("DIN 912/M5 größe", "A01-0001")
LEVELS = ("assembly", "sketch")
OBJECTS = ("", "pad", "rib")

# Seconds. Time goes by in steps far from every time-out, so that what the test itself takes does not matter.
STEP, TIMEOUT, GRACE = 600.0, 900.0, 300.0

workstations = st.sampled_from(list(OWNERS))
STARTS = ["empty", "connected", "contended", "contended"]
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


class Machine(RuleBasedStateMachine):
    """What clients can do. Presence, servers and clocks: `machine_presence.py`."""

    driver: ClassVar[Any]
    counts: ClassVar[Counter[str]] = Counter()

    @initialize(grace=st.sampled_from([0.0, 0.0, GRACE]), start=st.sampled_from(STARTS))
    def begin(self, grace: float, start: str) -> None:
        grace = grace if self.driver.paced else 0.0
        users = [User(name, role) for name, role in ROLES.items()]
        self.model = Model(users, grace, self.driver.server_dead)
        self.comparison = Comparison(self.model, self.driver.items)
        self.step = 0
        self.opened = 0
        self.known: list[Workstation] = []
        for pk in self.driver.begin(grace):
            self.model.start(Server(pk, 0.0))
        self.counts["examples"] += 1
        self._read_snapshot()
        for name in OWNERS:
            self._register(name)
        if start != "empty":
            self.everybody_connects()
        if start == "contended":
            self._contend()

    def everybody_connects(self) -> None:
        """All have a stream."""

    def _contend(self) -> None:
        """Begin where it takes long to come by chance: with lines, and somebody who has asked."""
        one = Lock(ITEMS[0], "sketch", "pad")
        other = Lock(ITEMS[0], "assembly", "")
        self.acquire("ada-1", (one, frozenset("ab")), "", "none")
        self.acquire("bob-1", (other, frozenset("b")), "", "none")
        for at, lock in (("bob-2", one), ("eve-1", one), ("ada-2", other), ("eve-1", other)):
            self._stand(at, (lock, frozenset("a")), "", "none")
        self.request_handoff(1, "ada-1", False, "")

    def teardown(self) -> None:
        if hasattr(self, "model"):
            self.driver.end()

    # -- rules --

    @rare
    @rule(name=workstations)
    def register(self, name: str) -> None:
        self.compare(*self._register(name))

    @rule(at=workstations, wish=wishes, asker=askers, stream=connections)
    def acquire(self, at: str, wish: Any, asker: str, stream: str) -> None:
        where, user = self.at(at), asker or OWNERS[at]
        used = self.stream(where, stream)
        expected = self.expect(self.model.acquire, self.model.users[user], where, [wish], used)
        path = f"{_items(wish[0].item)}/edit-sessions"
        answer = self.call(expected, user, "POST", path, self._wanted(where, wish, used))
        self._compare_got(expected, [answer], holder="holder")

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
            "sessions": [{"part_number": wish[0].item} | _wish(wish) for wish in wanted],
        }
        answer = self.call(expected, user, "POST", "/api/edit-sessions/batch", body)
        self._compare_got(expected, answer.get("sessions"), holder="holders", answer=answer)

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
        path = f"{_items(place.lock.item)}/edit-session-requests/{place.id}"
        self.call(expected, user, "DELETE", path)

    @held
    @rule(one=ones, asker=askers)
    def release(self, one: int, asker: str) -> None:
        session = self.session(one)
        user = asker or session.workstation.user.name
        expected = self.expect(self.model.release, self.model.users[user], session)
        self.call(expected, user, "DELETE", _path(session))

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
        self.call(expected, user, "DELETE", f"{_path(session)}/force-release", {"reason": reason})

    @held
    @rule(one=ones, at=workstations, named=st.booleans(), asker=askers)
    def request_handoff(self, one: int, at: str, named: bool, asker: str) -> None:
        session, user = self.session(one), asker or OWNERS[at]
        where = self.at(at) if named else None
        expected = self.expect(
            self.model.request_handoff, self.model.users[user], session, where, "please"
        )
        body = {"message": "please"} | ({"workstation_id": self.id(where)} if where else {})
        self.call(expected, user, "POST", f"{_path(session)}/request-handoff", body)

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

    @rare
    @rule()
    def read_snapshot(self) -> None:
        self._read_snapshot()

    # -- what rules are made of --

    def at(self, name: str) -> Workstation:
        """The workstation; once deleted, the last one of that name."""
        if found := self.model.workstations.get(name):
            self.known = [at for at in self.known if at.name != name] + [found]
        return next(at for at in reversed(self.known) if at.name == name)

    def id(self, at: Workstation) -> str:
        return self.comparison.workstations[at.name]

    def session(self, one: int) -> Session:
        """A live session, or one of the latest that have ended."""
        live = sorted(self.model.sessions.values(), key=lambda session: session.token)
        some = live * (1 + 4 // (len(live) or 1)) + self.model.past[-2:]
        return some[one % len(some)]

    def stream(self, at: Workstation, which: str) -> Stream | None:
        """The stream that a client names, if it does."""
        own = [stream for stream in self.model.streams if stream.workstation is at]
        foreign = [stream for stream in self.model.streams if stream.workstation is not at]
        found = {"own": own[-1:], "foreign": foreign[-1:]}.get(which)
        if which == "ended":
            found = [Stream(at, self.model.servers[0], 0, str(uuid.uuid4()))]
        return found[0] if found else None

    def expect(self, operation: Callable[..., Expected], *args: Any, **kwargs: Any) -> Expected:
        """Do it in the model; the servers have all just beaten."""
        self.step += 1
        self.driver.beat([server.id for server in self.model.servers if server.running])
        self.model.beat()
        expected = operation(*args, **kwargs)
        self.counts[f"did {operation.__name__}"] += 1
        if expected.error:
            self.counts[f"refused {operation.__name__}: {expected.error}"] += 1
        self.counts.update(f"told {event.type}" for event in expected.events)
        self.counts.update(f"ended {end.reason}" for end in expected.ended)
        return expected

    def call(self, expected: Expected, user: str, method: str, path: str, body: Any = None) -> Any:
        """Do it in the server, and compare everything."""
        status, answer = self.driver.call(user, method, path, body)
        self.compare(expected, status, answer)
        return answer

    def compare(self, expected: Expected, status: int = 0, answer: Any = None) -> None:
        """Compare the server with the model, after a step."""
        if not self.driver.paced:
            self.add(expected, self.model.time_passes())
        entries = self.driver.entries(len(expected.events))
        self.comparison.told(expected, entries)
        self.comparison.status(expected, status, answer)
        shift = self.driver.shift
        fresh = self.read("/api/edit-sessions?all=true&limit=1000")
        self.comparison.listed(fresh["sessions"])
        self.snapshot.apply(entries, shift)
        self.snapshot.check(fresh["sessions"], fresh["cursor"], shift)
        # One after the other: each is looked at soon after it has changed.
        item = ITEMS[self.step % len(ITEMS)]
        of_item = self.read(f"{_items(item)}/edit-sessions")
        self.comparison.listed(of_item["sessions"], item)
        assert of_item["cursor"] == fresh["cursor"]
        line = self.read(f"{_items(item)}/edit-session-requests")
        self.comparison.line(item, line["requests"])
        if expected.ended or self.step % 8 == 0:
            history = self.read("/api/edit-sessions/history?limit=1000")
            self.comparison.recorded(expected.ended, history["history"])
        for end in expected.ended[:2]:
            path, body = _path(end.session), {"fencing_token": end.session.token}
            assert self.driver.call("vic", "POST", f"{path}/verify", body)[0] == 409

    def read(self, path: str) -> Any:
        status, answer = self.driver.call("vic", "GET", path)
        assert status == 200, answer
        return answer

    def add(self, expected: Expected, more: Expected) -> None:
        """What a server does by itself right afterwards."""
        expected.events = expected.events + more.events
        expected.ended = expected.ended + more.ended
        self.counts.update(f"told {event.type}" for event in more.events)

    def _read_snapshot(self) -> None:
        fresh = self.read("/api/edit-sessions?all=true&limit=1000")
        self.snapshot = Snapshot(fresh["sessions"], fresh["cursor"], self.driver.shift)

    def _register(self, name: str) -> tuple[Expected, int, Any]:
        user, body = OWNERS[name], {"name": name, "fingerprint": name}
        expected = self.expect(self.model.register, self.model.users[user], name)
        status, answer = self.driver.call(user, "POST", "/api/workstations", body)
        self.comparison.workstations[name] = answer["id"]
        return expected, status, answer

    def _wanted(self, at: Workstation, wish: Any, stream: Stream | None) -> dict[str, Any]:
        where = {"workstation_id": self.id(at), "connection_id": stream and stream.id}
        return where | _wish(wish)

    def _compare_got(
        self, expected: Expected, answers: Any, holder: str, answer: Any = None
    ) -> None:
        if expected.error == "hard_interference":
            said = (answer or answers[0])[holder]
            self.comparison.holders(expected.answer, said if holder == "holders" else [said])
        elif not expected.error:
            self.comparison.got(expected.answer, answers)

    def _stand(self, at: str, wish: Any, asker: str, stream: str) -> None:
        where, user = self.at(at), asker or OWNERS[at]
        used = self.stream(where, stream)
        expected = self.expect(self.model.stand, self.model.users[user], where, wish, used)
        path = f"{_items(wish[0].item)}/edit-session-requests"
        body = self._wanted(where, wish, used)
        status, answer = self.driver.call(user, "POST", path, body)
        if isinstance(expected.answer, Standing) and status == expected.status:
            self.comparison.standing(expected.answer, answer)
        self.compare(expected, status, answer)
        if not isinstance(expected.answer, Standing):
            self._compare_got(expected, [answer], holder="holder")

    def _hand_off(self, session: Session, target: Workstation, asker: str) -> None:
        user = asker or session.workstation.user.name
        expected = self.expect(self.model.hand_off, self.model.users[user], session, target)
        body = {"to_workstation_id": self.id(target)}
        answer = self.call(expected, user, "POST", f"{_path(session)}/handoff", body)
        self._compare_got(expected, [answer], holder="")

    def _verify(self, session: Session, token: int, asker: str) -> None:
        expected = self.expect(self.model.verify, session, token)
        path = f"{_path(session)}/verify"
        answer = self.call(expected, asker, "POST", path, {"fencing_token": token})
        if not expected.error:
            self.comparison.verified(session, answer)


def _items(part_number: str) -> str:
    return f"/api/items/{quote(part_number, safe='')}"


def _path(session: Session) -> str:
    return f"{_items(session.lock.item)}/edit-sessions/{session.id}"


def _wish(wish: tuple[Lock, Sequence[str]]) -> dict[str, Any]:
    lock, cone = wish
    return {
        "context_level": lock.level,
        "object_id": lock.object_id or None,
        "dependency_cone": sorted(cone),
    }
