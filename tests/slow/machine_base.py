"""The base of the state machine: does a step in the model and in the server, and compares everything."""

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize

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
STARTS = ["empty", "connected", "contended", "contended"]


class Base(RuleBasedStateMachine):
    """One order of steps. What they are: `machine.py` and `machine_presence.py`."""

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
        self.new_snapshot()
        for name in OWNERS:
            self.registered(name)
        if start != "empty":
            self.everybody_connects()
        if start == "contended":
            self.contend()

    def everybody_connects(self) -> None:
        """All have a stream."""

    def contend(self) -> None:
        """There are lines, and somebody has asked."""

    def teardown(self) -> None:
        if hasattr(self, "model"):
            self.driver.end()

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
        of_item = self.read(f"{items_url(item)}/edit-sessions")
        self.comparison.listed(of_item["sessions"], item)
        assert of_item["cursor"] == fresh["cursor"]
        line = self.read(f"{items_url(item)}/edit-session-requests")
        self.comparison.line(item, line["requests"])
        if expected.ended or self.step % 8 == 0:
            history = self.read("/api/edit-sessions/history?limit=1000")
            self.comparison.recorded(expected.ended, history["history"])
        for end in expected.ended[:2]:
            path, body = session_url(end.session), {"fencing_token": end.session.token}
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

    def new_snapshot(self) -> None:
        fresh = self.read("/api/edit-sessions?all=true&limit=1000")
        self.snapshot = Snapshot(fresh["sessions"], fresh["cursor"], self.driver.shift)

    def registered(self, name: str) -> tuple[Expected, int, Any]:
        user, body = OWNERS[name], {"name": name, "fingerprint": name}
        expected = self.expect(self.model.register, self.model.users[user], name)
        status, answer = self.driver.call(user, "POST", "/api/workstations", body)
        self.comparison.workstations[name] = answer["id"]
        return expected, status, answer

    def compare_got(
        self, expected: Expected, answers: Any, holder: str, answer: Any = None
    ) -> None:
        if expected.error == "hard_interference":
            said = (answer or answers[0])[holder]
            self.comparison.holders(expected.answer, said if holder == "holders" else [said])
        elif not expected.error:
            self.comparison.got(expected.answer, answers)


def items_url(part_number: str) -> str:
    return f"/api/items/{quote(part_number, safe='')}"


def session_url(session: Session) -> str:
    return f"{items_url(session.lock.item)}/edit-sessions/{session.id}"


def wish_json(wish: tuple[Lock, Sequence[str]]) -> dict[str, Any]:
    lock, cone = wish
    return {
        "context_level": lock.level,
        "object_id": lock.object_id or None,
        "dependency_cone": sorted(cone),
    }
