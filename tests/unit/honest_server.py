"""An honest server for the tests of the model's comparison."""

from typing import Any

from tests.slow.comparison import Comparison, Entry
from tests.slow.model_presence import Model
from tests.slow.model_state import (
    ADMIN,
    EDITOR,
    VIEWER,
    Expected,
    Got,
    Line,
    Lock,
    Server,
    Session,
    Stream,
    User,
)

BOLT = Lock("bolt", "sketch", "head")
WHOLE = Lock("bolt", "assembly", "")
ITEMS = {"bolt": "id-of-bolt"}
NAMES = {"ada-1": "ada", "bob-1": "bob", "cyn-1": "cyn"}


class World:
    """A model, its comparison, and an honest server: what it answers is made from what the model expects."""

    def __init__(self, grace: float = 0.0) -> None:
        self.model = Model(
            [User("ada", EDITOR), User("bob", EDITOR), User("cyn", ADMIN), User("vic", VIEWER)],
            grace,
            10.0,
        )
        self.comparison = Comparison(self.model, ITEMS)
        self.server = Server("1", 0.0)
        self.model.start(self.server)
        self.entries: list[Entry] = []
        self.history: list[Any] = []
        self._known: set[int] = set()
        self._issued = 0
        for number, (name, user) in enumerate(NAMES.items()):
            self.model.register(self.model.users[user], name)
            self.comparison.workstations[name] = f"id-of-{name}"
            stream = Stream(self.at(name), self.server, number + 1, f"stream of {name}")
            self.model.connect([stream])

    def at(self, name: str) -> Any:
        return self.model.workstations[name]

    def user(self, name: str) -> User:
        return self.model.users[name]

    def stream(self, name: str) -> Stream:
        return next(one for one in self.model.streams if one.workstation is self.at(name))

    def acquire(self, name: str, lock: Lock = BOLT, cone: str = "") -> Expected:
        at = self.at(name)
        return self.model.acquire(at.user, at, [(lock, frozenset(cone))], self.stream(name))

    def stand(self, name: str, lock: Lock = BOLT) -> Expected:
        at = self.at(name)
        expected = self.model.stand(at.user, at, (lock, frozenset()), self.stream(name))
        expected.answer.place.id = f"place of {name}"
        return expected

    def tell(self, expected: Expected) -> list[Entry]:
        """What an honest server tells."""
        told = []
        for event in expected.events:
            if isinstance(event.session, Line):
                lock, number = event.session.lock, len(self.entries) + len(told) + 1
                data = {
                    "part_number": lock.item,
                    "context_level": lock.level,
                    "object_id": lock.object_id,
                    **event.data,
                }
                to = {one.replace(":", ":id-of-") for one in event.to}
                told.append(Entry(number, event.type, frozenset(to), data))
                continue
            # The comparison has yet to learn which id and token it is.
            first = id(event.session) not in self._known
            self._known.add(id(event.session))
            if first:
                self._issued += 1
                event.session.id, event.session.token = f"session-{self._issued}", self._issued
            data = self.json(event.session) | event.data
            if "got" in data:
                data |= self.got(data.pop("got"))
            if "with" in data:
                data["with_session_id"] = data.pop("with").id
            if "other" in data:
                data["with"] = self.json(data.pop("other"))
            to = {one.replace(":", ":id-of-") for one in event.to}
            number = len(self.entries) + len(told) + 1
            told.append(Entry(number, event.type, frozenset(to), data))
        for event in expected.events:
            if event.type == "edit.session_acquired":
                event.session.id = ""
        for end in expected.ended:
            more = {"reason": end.reason, "ended_by": end.by, "note": end.note}
            self.history.insert(0, self.json(end.session) | more)
        self.entries += told
        return told

    def json(self, session: Session) -> dict[str, Any]:
        at = session.workstation
        return {
            "id": session.id,
            "session_id": session.id,
            "item_id": ITEMS[session.lock.item],
            "part_number": session.lock.item,
            "user": at.user.name,
            "workstation": {"id": f"id-of-{at.name}", "name": at.name},
            "context_level": session.lock.level,
            "object_id": session.lock.object_id,
            "fencing_token": session.token,
            "acquired_at": "2026-01-01T00:00:00Z",
            "away_since": "2026-01-01T00:00:00Z" if at.away_since is not None else None,
            "idle_since": "2026-01-01T00:00:00Z" if at.idle_since is not None else None,
        }

    def got(self, got: Got) -> dict[str, Any]:
        return {
            "connection_id": got.session.stream and got.session.stream.id,
            "dependency_cone": sorted(got.session.cone),
            "interference": got.interference,
            "existing": got.existing,
            "conflicts": [
                self.json(other) | {"shared": sorted(got.session.cone & other.cone)}
                for other in got.conflicts
            ],
        }

    def listed(self) -> list[Any]:
        held = sorted(self.model.sessions.values(), key=lambda one: one.token)
        return [self.shown(one) | self.meets(one) for one in held]

    def meets(self, session: Session) -> dict[str, Any]:
        met = self.model.met_by(session)
        return {
            "interference": "soft" if met else "none",
            "interferes_with": [self.json(other) for other in met],
        }

    def shown(self, session: Session) -> dict[str, Any]:
        return self.json(session) | {"connection_id": session.stream and session.stream.id}

    def check(self, expected: Expected, entries: list[Entry] | None = None) -> None:
        told = self.tell(expected) if entries is None else entries
        self.comparison.told(expected, told)
        self.comparison.recorded(expected.ended, self.history)
        self.comparison.listed(self.listed())
