"""What the model knows of the world, and how it says what it expects of the server. Plain Python, no I/O.

The checker of histories (`tests/history_checker.py`) judges by the same functions who meets, what two share and who is
told; there a session is a `Row` of `tests/history.py`, and a workstation its id.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

VIEWER, EDITOR, ADMIN = 1, 2, 3


class Lock(NamedTuple):
    """One object of one item at one context level."""

    item: str
    level: str
    object_id: str


class Held(Protocol):
    """What a session is to the model and to the checker alike."""

    lock: Lock
    workstation: Any
    cone: frozenset[str]


@dataclass(eq=False)
class User:
    name: str
    role: int


@dataclass(eq=False)
class Server:
    """A server process; `id` is the database's name for it."""

    id: str
    last_beat: float
    running: bool = True


@dataclass(eq=False)
class Workstation:
    name: str
    user: User
    last_seen: float = 0.0
    departed_at: float | None = None
    departed_by: Server | None = None
    away_since: float | None = None
    idle_since: float | None = None
    idle_told_at: float = float("-inf")

    def __str__(self) -> str:
        return self.name


@dataclass(eq=False)
class Stream:
    """An open event stream, in the order in which they were opened."""

    workstation: Workstation
    server: Server
    number: int
    id: str = ""


@dataclass(eq=False)
class Session:
    """An edit session. `id` and `token` are the server's, known when it has told them."""

    lock: Lock
    workstation: Workstation
    cone: frozenset[str]
    acquired_at: float
    heartbeat: float
    # The stream that its client named.
    stream: Stream | None = None
    asked: set[tuple[User, Workstation | None]] = field(default_factory=set)
    id: str = ""
    token: int = 0


@dataclass(eq=False)
class Place:
    """A place in the line for a lock."""

    lock: Lock
    workstation: Workstation
    cone: frozenset[str]
    stream: Stream | None = None
    id: str = ""


class Line(NamedTuple):
    """The line for a lock."""

    lock: Lock


class Event(NamedTuple):
    """An event about a session, the channels that get it, and what it says beside whose session it is.

    `edit.line_changed` is about a line.
    """

    type: str
    session: Session | Line
    to: frozenset[str]
    data: dict[str, Any]


class End(NamedTuple):
    """The record of an end."""

    session: Session
    reason: str
    by: str
    note: str


class Got(NamedTuple):
    """The answer to an acquire, and what `edit.session_granted` says."""

    session: Session
    existing: bool
    conflicts: list[Session]

    @property
    def interference(self) -> str:
        return "soft" if self.conflicts else "none"


class Standing(NamedTuple):
    """The answer to who has to wait."""

    place: Place
    position: int
    existing: bool
    holder: Session | None


@dataclass
class Expected:
    """What the server has to answer, to record and to tell. A refusal changes nothing."""

    status: int = 0
    error: str = ""
    answer: Any = None
    events: list[Event] = field(default_factory=list)
    ended: list[End] = field(default_factory=list)


class Refused(Exception):
    """The server has to refuse; `holders` are the sessions in the way."""

    def __init__(self, status: int, code: str, holders: Iterable[Session] = ()) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.holders = list(holders)


def channel(workstation: Workstation | str) -> str:
    return f"workstation:{workstation}"


def audience(item: str, holders: Iterable[Workstation | str]) -> frozenset[str]:
    """Who is told of what happens on an item: its watchers, and those who hold sessions on it."""
    return frozenset({"all", f"item:{item}", *map(channel, holders)})


def shared(one: Held, other: Held) -> list[str]:
    """The node keys that both can reach."""
    return sorted(one.cone & other.cone)


def apart(one: Held, other: Held) -> bool:
    """Whether two sessions are of one item and of different workstations."""
    return one.lock.item == other.lock.item and one.workstation != other.workstation


def meet(one: Held, other: Held) -> bool:
    """Soft interference: an empty object is the whole item and meets every object of it."""
    whole = not (one.lock.object_id and other.lock.object_id)
    return apart(one, other) and (whole or bool(one.cone & other.cone))


class State:
    """Everything that is there, and the questions that can be asked about it."""

    def __init__(self, users: Iterable[User], grace: float, server_dead: float) -> None:
        self.users = {user.name: user for user in users}
        self.grace = grace
        self.server_dead = server_dead
        self.now = 0.0
        self.workstations: dict[str, Workstation] = {}
        self.servers: list[Server] = []
        self.streams: list[Stream] = []
        self.sessions: dict[Lock, Session] = {}
        self.places: list[Place] = []
        self.past: list[Session] = []
        self.events: list[Event] = []
        self.ended: list[End] = []
        # How long each line was when that was last told.
        self.lengths: Counter[Lock] = Counter()

    def live(self, session: Session) -> bool:
        return self.sessions.get(session.lock) is session

    def held_by(self, workstations: Collection[Workstation]) -> list[Session]:
        return [one for one in self.sessions.values() if one.workstation in workstations]

    def on_item(self, item: str) -> list[Session]:
        return [one for one in self.sessions.values() if one.lock.item == item]

    def line(self, lock: Lock) -> list[Place]:
        """First come, first served."""
        return [place for place in self.places if place.lock == lock]

    def place_of(self, workstation: Workstation, lock: Lock) -> Place | None:
        return next((one for one in self.line(lock) if one.workstation is workstation), None)

    def connected(self, workstation: Workstation) -> bool:
        """As far as is known: a killed server stands for its streams until it is known to be dead."""
        return any(stream.workstation is workstation for stream in self.streams)

    def served(self, workstation: Workstation) -> bool:
        """Has a stream on a server that beats."""
        return any(
            stream.workstation is workstation
            and self.now - stream.server.last_beat < self.server_dead
            for stream in self.streams
        )

    def reachable(self, workstation: Workstation) -> bool:
        """Would hear of its turn, and may take it."""
        return self.served(workstation) and workstation.user.role >= EDITOR

    def watchers(self, item: str) -> frozenset[str]:
        return audience(item, (session.workstation for session in self.on_item(item)))

    def met_by(self, session: Session) -> list[Session]:
        return [other for other in self.sessions.values() if meet(session, other)]

    def next_in_line(self, lock: Lock) -> Place | None:
        return next((p for p in self.line(lock) if self.reachable(p.workstation)), None)

    def in_order(self, places: Iterable[Place | None]) -> Iterator[Place]:
        """The places of a turn, in the order in which they are served: that of their ids."""
        return iter(sorted((place for place in places if place), key=lambda place: place.id))
