"""Random traffic with random faults, recorded, and the history checked: `pytest tests/faults`.

`SILO_TEST_SECONDS` says how long (120), `SILO_TEST_SEED` repeats what a run decided, not how its processes raced.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from events_app.models import EventLog, LogEntry
from sessions_app.models import EditSession, EndedSession
from sessions_app.roles import Role
from tests.factories import make_item, make_token, make_user, make_workstation
from tests.faults.traffic_client import RACE_SECONDS
from tests.history import Entry, History, Limits, Operation, Received, Row, Stream
from tests.history_checker import check
from tests.processes.service import Serve, Sweeper

SECONDS = float(os.environ.get("SILO_TEST_SECONDS", "120"))
SEED = os.environ.get("SILO_TEST_SEED") or str(random.SystemRandom().randrange(10**6))

# Short enough that some sessions expire, longer than any server is stopped.
TIMEOUT_SECONDS = 12.0
LONGEST_STOP_SECONDS = 6.0
TIMINGS = {"SILO_SESSION_TIMEOUT_MINUTES": str(TIMEOUT_SECONDS / 60)}
LIMITS = Limits(timeout=TIMEOUT_SECONDS, settle=TIMEOUT_SECONDS + 8)
# From the end of a fault until everything is as if it had not been: a dead server is found dead by another that has
# itself beaten for two seconds, a relay connects again.
AFTERMATH_SECONDS = 4.0

# Faults begin in the first part of each round; what is promised without them is seen in the second.
ROUND_SECONDS, STORM_SECONDS = 24.0, 10.0

PARTS = ("DIN 912/M5 größe", *(f"A01-{number:04}" for number in range(7)))

pytestmark = [pytest.mark.timeout(SECONDS + 180), pytest.mark.usefixtures("committed_db")]


@dataclass
class Faults:
    """What was done to the service, and when it could not keep its promises."""

    counts: Counter[str] = field(default_factory=Counter)
    times: list[tuple[float, float]] = field(default_factory=list)
    absences: tuple[list[tuple[float, float]], ...] = ([], [])

    def note(self, kind: str, begin: float, server: int | None = None) -> None:
        """Note a fault that has just ended, and whether a server was away for it."""
        now = time.monotonic()
        self.counts[kind] += 1
        self.times.append((begin, now + AFTERMATH_SECONDS))
        if server is not None:
            self.absences[server].append((begin, now))

    @property
    def outages(self) -> list[tuple[float, float]]:
        """When both servers were away at once, until one has beaten for a while."""
        both = [
            (max(a, b), min(a_end, b_end) + AFTERMATH_SECONDS)
            for a, a_end in self.absences[0]
            for b, b_end in self.absences[1]
        ]
        return [(begin, end) for begin, end in both if begin < end]


class Calendar:
    """Says when a fault may begin, and when the traffic is over."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._over = threading.Event()

    def next_fault(self, seconds: float) -> bool:
        """Wait so long, and for a storm; false when the traffic is over."""
        self.wait(seconds)
        passed = (time.monotonic() - self._begin) % ROUND_SECONDS
        if passed > STORM_SECONDS:
            self.wait(ROUND_SECONDS - passed)
        return time.monotonic() - self._begin < SECONDS and not self._over.is_set()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the traffic is over."""
        left = self._begin + SECONDS - time.monotonic()
        self._over.wait(max(0.0, min(seconds, left)))

    def end(self) -> None:
        """Nobody waits any more."""
        self._over.set()


class Servers:
    """Several `serve` processes, and the file in which clients find their addresses."""

    def __init__(self, count: int, addresses: Path, faults: Faults) -> None:
        self.logs: list[Serve] = []
        self._addresses = addresses
        self._faults = faults
        self._lock = threading.Lock()
        self._urls = [""] * count
        self._running = [self._start() for _ in range(count)]
        for number, server in enumerate(self._running):
            self._publish(number, server)

    def trouble(self, number: int, calendar: Calendar) -> None:
        """Do to one server what happens to servers, until the traffic is over. It runs afterwards."""
        dice = random.Random(f"{SEED} server {number}")
        faults = [self._kill, self._stop, self._stop_and_kill, self._restart]
        while calendar.next_fault(dice.uniform(0.5, 5)):
            begin = time.monotonic()
            fault = dice.choices(faults, [4, 4, 1, 2])[0]
            fault(number, dice)
            self._faults.note(f"server{fault.__name__}", begin, number)

    def close(self) -> None:
        """End all of them."""
        for server in self.logs:
            server.close()

    @property
    def failures(self) -> list[str]:
        """What they logged that no fault excuses: they fail in words of their own, at WARNING."""
        lines = (line for server in self.logs for line in server.lines)
        return [line for line in lines if " ERROR " in line or " CRITICAL " in line]

    def _kill(self, number: int, dice: random.Random) -> None:
        self._running[number].kill()
        time.sleep(dice.uniform(0, 4))
        self._start_again(number)

    def _stop(self, number: int, dice: random.Random) -> None:
        self._running[number].signal(signal.SIGSTOP)
        time.sleep(dice.uniform(0.2, LONGEST_STOP_SECONDS))
        self._running[number].signal(signal.SIGCONT)

    def _stop_and_kill(self, number: int, dice: random.Random) -> None:
        self._running[number].signal(signal.SIGSTOP)
        time.sleep(dice.uniform(0.2, 3))
        self._kill(number, dice)

    def _restart(self, number: int, dice: random.Random) -> None:
        self._running[number].signal(signal.SIGTERM)
        self._running[number].wait()
        self._start_again(number)

    def _start_again(self, number: int) -> None:
        self._running[number] = self._start()
        self._publish(number, self._running[number])

    def _start(self) -> Serve:
        with self._lock:
            self.logs.append(server := Serve(**TIMINGS))
        return server

    def _publish(self, number: int, server: Serve) -> None:
        server.ready()
        with self._lock:
            self._urls[number] = server.url
            new = self._addresses.with_suffix(".new")
            new.write_text(json.dumps([url for url in self._urls if url]))
            new.replace(self._addresses)


@dataclass
class Actor:
    """One client: a workstation, or who only watches. `lives` are its processes, one after the other."""

    name: str
    plan: dict[str, Any]
    channels: frozenset[str]
    lives: list["Life"] = field(default_factory=list)


class Life:
    """One process of a client, from its start to its kill; what it tells goes to a file."""

    def __init__(self, actor: Actor, folder: Path) -> None:
        plan = actor.plan | {"last_event_id": actor.lives[-1].position if actor.lives else ""}
        plan["seed"] = f"{plan['seed']} {len(actor.lives)}"
        self.killed = inf
        self._path = folder / f"{actor.name}-{len(actor.lives)}.jsonl"
        script = str(Path(__file__).with_name("traffic_client.py"))
        with self._path.open("wb") as told:
            self._popen = subprocess.Popen([sys.executable, script, json.dumps(plan)], stdout=told)
        actor.lives.append(self)

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def kill(self) -> None:
        """SIGKILL, and reap."""
        if self.running:
            self.killed = time.monotonic()
            self._popen.kill()
        self._popen.wait()

    def lines(self) -> Iterator[list[Any]]:
        """What it told; a line that a kill cut off is none."""
        for line in self._path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)

    @property
    def position(self) -> str:
        """The id of the last event that it got."""
        ids = (line[4] for line in self.lines() if line[0] == "event" and line[4])
        return next(iter(deque(ids, 1)), "")


class Crowd:
    """All clients: steady and restless workstations, steady and restless watchers."""

    def __init__(self, folder: Path, addresses: Path, faults: Faults) -> None:
        self.actors: list[Actor] = []
        self._folder = folder
        self._faults = faults
        self._dice = random.Random(f"{SEED} crowd")
        self._items = {part: str(make_item(part).pk) for part in PARTS}
        self._admin_token = make_token(make_user("admin", Role.ADMIN))
        self._users = [make_user(f"user-{number}", Role.EDITOR) for number in range(6)]
        self._tokens = [make_token(user) for user in self._users]
        self._addresses = addresses
        self.watchers = [self.add(f"watcher-{n}", {"all": "true"}, steady=True) for n in range(2)]
        self.add("restless-watcher-0", {"all": "true"})
        self.add("restless-watcher-1", {"item": list(PARTS[:2])})
        for number in range(3):
            self.add_workstation(number, steady=True)
        for number in range(3, 12):
            self.add_workstation(number)

    def add_workstation(self, number: int, *, steady: bool = False) -> None:
        """Let another workstation come."""
        name = f"{'steady' if steady else 'restless'}-{number}"
        user = number % len(self._users)
        workstation = str(make_workstation(self._users[user], name).pk)
        query: dict[str, Any] = {"workstation_id": workstation}
        if self._dice.random() < 0.3:
            query["item"] = [self._dice.choice(PARTS)]
        self.add(name, query, workstation, user, steady=steady)

    def add(
        self,
        name: str,
        query: dict[str, Any],
        workstation: str | None = None,
        user: int = 0,
        *,
        steady: bool = False,
    ) -> Actor:
        """Let somebody come."""
        channels = {f"user:{self._users[user].pk}"}
        channels |= {f"item:{self._items[part]}" for part in query.get("item", ())}
        channels |= {"all"} if "all" in query else set()
        channels |= {f"workstation:{workstation}"} if workstation else set()
        plan = {
            "seed": f"{SEED} {name}",
            "token": self._tokens[user],
            "admin_token": self._admin_token,
            "workstation": workstation,
            "query": query,
            "items": self._items,
            "steady": steady,
            "addresses": str(self._addresses),
        }
        actor = Actor(name, plan, frozenset(channels))
        self.actors.append(actor)
        Life(actor, self._folder)
        return actor

    def trouble(self, calendar: Calendar) -> None:
        """Kill restless clients, of which most come back, until the traffic is over."""
        returns: list[tuple[float, Actor]] = []
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            calendar.wait(self._dice.uniform(1, 4))
            for due, actor in [pair for pair in returns if pair[0] < time.monotonic()]:
                returns.remove((due, actor))
                Life(actor, self._folder)
            restless = [a for a in self.actors if not a.plan["steady"] and a.lives[-1].running]
            if not restless:
                continue
            actor = self._dice.choice(restless)
            actor.lives[-1].kill()
            self._faults.counts["client_kill"] += 1
            if self._dice.random() < 0.7 or not actor.plan["workstation"]:
                returns.append((time.monotonic() + self._dice.uniform(0.1, 6), actor))
            else:
                self.add_workstation(len(self.actors))

    def leave(self) -> None:
        """Kill all but the steady watchers."""
        for actor in self.actors:
            if actor not in self.watchers:
                actor.lives[-1].kill()

    def close(self) -> None:
        """Kill all."""
        for actor in self.actors:
            actor.lives[-1].kill()


CUT = """
    SELECT pg_terminate_backend(pid) FROM (
        SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> ALL(%s) AND (application_name = 'silo relay') = %s
        ORDER BY state = 'idle', random() LIMIT %s
    ) AS victims
"""


def backend() -> int:
    """Return the process id of this thread's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def trouble_of_database(calendar: Calendar, faults: Faults, spared: int) -> None:
    """Cut connections of the service to its database, the relays' and others."""
    dice = random.Random(f"{SEED} database")
    try:
        while calendar.next_fault(dice.uniform(1, 5)):
            # When clients race, connections are busy.
            time.sleep(-time.monotonic() % RACE_SECONDS + dice.uniform(0, 0.05))
            begin = time.monotonic()
            relays = dice.random() < 0.5
            with connection.cursor() as cursor:
                cursor.execute(CUT, [[spared, backend()], relays, dice.choice([1, 2])])
            faults.note("relay_cut" if relays else "connection_cut", begin)
    finally:
        connection.close()


def trouble_of_sweeper(calendar: Calendar, faults: Faults, sweepers: list[Sweeper]) -> None:
    """Kill the sweeper and start another."""
    dice = random.Random(f"{SEED} sweeper")
    while calendar.next_fault(dice.uniform(5, 20)):
        begin = time.monotonic()
        sweepers[-1].kill()
        time.sleep(dice.uniform(0, 3))
        sweepers.append(Sweeper(**TIMINGS))
        faults.note("sweeper_kill", begin)


def close_all(processes: list[Sweeper]) -> None:
    """End what runs."""
    for process in processes:
        process.close()


def clock_offset() -> float:
    """Return what is to be added to the clients' clock for the database's."""
    with connection.cursor() as cursor:
        before = time.monotonic()
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        now = float(cursor.fetchone()[0])
        return now - (before + time.monotonic()) / 2


def operations_of(name: str, life: Life) -> Iterator[Operation]:
    """Return what one process of a client asked for."""
    calls: dict[int, Operation] = {}
    for what, at, number, *more in life.lines():
        if what == "call":
            calls[number] = Operation(name, more[0], at, more[1])
        elif what == "answer":
            status, answer = more
            # A server that fails, fails before or after it has done what it was asked for.
            known = {"end": at, "answer": answer} if status < 500 else {}
            calls[number] = replace(calls[number], status=status, **known)
    yield from calls.values()


def streams_of(actor: Actor, life: Life) -> Iterator[Stream]:
    """Return the streams of one process of a client."""
    streams: dict[int, Stream] = {}
    for what, at, number, *more in life.lines():
        if what == "stream":
            workstation = actor.plan["workstation"]
            streams[number] = Stream(
                actor.name, workstation, actor.channels, at, more[0], [], life.killed, True
            )
        elif what == "event":
            received: Any = streams[number].received
            received.append(Received(at, *more))
        elif what == "end" and streams[number].ended == life.killed:
            streams[number] = replace(streams[number], ended=at, by_client=more[0])
    yield from streams.values()


def rows_of(model: Any, session_id: str) -> list[Row]:
    """Read the sessions of a table, in which their id has this name."""
    return [
        Row(
            str(row[session_id]),
            (str(row["item_id"]), row["context_level"], row["object_id"]),
            str(row["workstation_id"]),
            row["fencing_token"],
            row.get("reason", ""),
        )
        for row in model.objects.values()
    ]


def read_history(crowd: Crowd, faults: Faults, offset: float) -> History:
    """Put together what the clients told and what the database knows."""
    lives = [(actor, life) for actor in crowd.actors for life in actor.lives]
    log = [
        Entry(
            e.pk,
            e.created_at.timestamp() - offset,
            e.type,
            json.loads(e.data),
            frozenset(e.channels),
        )
        for e in LogEntry.objects.order_by("id")
    ]
    return History(
        operations=[op for actor, life in lives for op in operations_of(actor.name, life)],
        streams=[stream for actor, life in lives for stream in streams_of(actor, life)],
        log=log,
        records=rows_of(EndedSession, "session_id"),
        active=rows_of(EditSession, "id"),
        epoch=EventLog.objects.get().epoch,
        ended=time.monotonic(),
        faults=faults.times,
        outages=faults.outages,
        limits=LIMITS,
    )


def counts_of(history: History, faults: Faults, violations: int) -> str:
    """Return one line of what there was."""
    outcomes = Counter(
        f"{op.kind} {op.answer.get('error', op.status) if op.end < inf else 'unknown'}"
        for op in history.operations
    )
    events = [event for stream in history.streams for event in stream.received]
    ends = Counter(record.reason for record in history.records)
    told = {
        "operations": dict(sorted(outcomes.items())),
        "ends": dict(sorted(ends.items())),
        "log": len(history.log),
        "events": sum(event.id != "" for event in events),
        "heartbeats": sum(event.name == "heartbeat" for event in events),
        "streams": len(history.streams),
        "resumed": sum(stream.last_event_id != "" for stream in history.streams),
        "resets": sum(event.name == "stream-reset" for event in events),
        "faults": dict(sorted(faults.counts.items())),
        "violations": violations,
    }
    return f"seed {SEED}, {SECONDS:g} s: {json.dumps(told)}"


def settle(crowd: Crowd) -> None:
    """Wait until nothing is held and the watchers have heard of it, or for as long as it may take."""
    deadline = time.monotonic() + AFTERMATH_SECONDS + LIMITS.settle + 1
    while EditSession.objects.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    last = str(LogEntry.objects.order_by("id").values_list("id", flat=True).last())
    deadline = time.monotonic() + LIMITS.patience + 1

    def heard(actor: Actor) -> bool:
        return actor.lives[-1].position.endswith(f"-{last}")

    while not all(map(heard, crowd.watchers)) and time.monotonic() < deadline:
        time.sleep(0.2)


def dump(history: History, servers: Servers, folder: Path) -> Path:
    """Write down everything for who looks for the cause."""
    path = folder / "history.json"
    path.write_text(json.dumps(asdict(history), default=sorted, indent=1))
    for number, server in enumerate(servers.logs):
        (folder / f"server-{number}.log").write_text(server.output)
    return path


def test_random_traffic_with_random_faults_leaves_a_true_history(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    offset, own = clock_offset(), backend()
    faults = Faults()
    addresses = tmp_path / "addresses.json"
    with ExitStack() as stack:
        servers = Servers(2, addresses, faults)
        stack.callback(servers.close)
        sweepers = [Sweeper(**TIMINGS)]
        stack.callback(lambda: close_all(sweepers))
        crowd = Crowd(tmp_path, addresses, faults)
        stack.callback(crowd.close)
        calendar = Calendar()
        troubles: list[Callable[[], None]] = [
            lambda: servers.trouble(0, calendar),
            lambda: servers.trouble(1, calendar),
            lambda: trouble_of_database(calendar, faults, own),
            lambda: trouble_of_sweeper(calendar, faults, sweepers),
        ]
        threads = [threading.Thread(target=trouble) for trouble in troubles]
        for thread in threads:
            thread.start()
            stack.callback(thread.join)
        stack.callback(calendar.end)
        crowd.trouble(calendar)
        for thread in threads:
            thread.join()
        crowd.leave()
        settle(crowd)
        crowd.close()
        history = read_history(crowd, faults, offset)
    violations = check(history)
    print(counts_of(history, faults, len(violations)))
    if violations or servers.failures:
        print(f"The history is in {dump(history, servers, tmp_path)}")
    assert not violations, "\n".join(map(str, violations[:20]))
    assert not servers.failures
