"""The clients of the random traffic: each a process of `line_client.py`, some of them killed and started again."""

import json
import random
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from sessions_app.roles import Role
from tests.factories import make_item, make_token, make_user, make_workstation
from tests.faults.traffic_calendar import SEED, Calendar, Faults
from tests.processes.service import ROOT

PARTS = ("DIN 912/M5 größe", *(f"A01-{number:04}" for number in range(7)))


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
        command = [sys.executable, "-m", "tests.faults.line_client", json.dumps(plan)]
        with self._path.open("wb") as told:
            self._popen = subprocess.Popen(command, stdout=told, cwd=ROOT)
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

    def __init__(
        self,
        folder: Path,
        addresses: Path,
        faults: Faults,
        *,
        parts: Sequence[str] = PARTS,
        steady: int = 3,
        restless: int = 9,
    ) -> None:
        self.actors: list[Actor] = []
        self._parts = parts
        self._folder = folder
        self._faults = faults
        self._dice = random.Random(f"{SEED} crowd")
        self._items = {part: str(make_item(part).pk) for part in parts}
        self._admin_token = make_token(make_user("admin", Role.ADMIN))
        self._users = [make_user(f"user-{number}", Role.EDITOR) for number in range(6)]
        self._tokens = [make_token(user) for user in self._users]
        self._addresses = addresses
        self.watchers = [self.add(f"watcher-{n}", {"all": "true"}, steady=True) for n in range(2)]
        self.add("restless-watcher-0", {"all": "true"})
        self.add("restless-watcher-1", {"item": list(parts[:2])})
        for number in range(steady + restless):
            self.add_workstation(number, steady=number < steady)

    def add_workstation(self, number: int, *, steady: bool = False) -> None:
        """Let another workstation come."""
        name = f"{'steady' if steady else 'restless'}-{number}"
        user = number % len(self._users)
        workstation = str(make_workstation(self._users[user], name).pk)
        query: dict[str, Any] = {"workstation_id": workstation}
        if self._dice.random() < 0.3:
            query["item"] = [self._dice.choice(self._parts)]
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
        while not calendar.is_over:
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
