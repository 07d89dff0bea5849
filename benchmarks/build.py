"""A build of the service under measurement: two `serve`, a `runsweeper` and the embedded PostgreSQL."""

import json
import os
import re
import subprocess
import time
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import wire
from benchmarks.apart import Apart
from benchmarks.calls import acquiring, alive_client, pair_client
from benchmarks.load import Client, Streams, Wanted
from benchmarks.processes import Background, killed
from benchmarks.subject import Deaths, Feed, Subject
from benchmarks.wire import request

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# Each may have 100 streams on a server and 64 requests at once.
USERS = 50
SERVERS = 2
OPENED_BY = b"event: heartbeat\n"
ACQUIRED = b"event: edit.session_acquired\n"
RELEASED = b"event: edit.session_released\n"
SETTLING_SECONDS = 300.0
# Workstations that are always there: as many as the most clients of a measure.
CREW = 32
TELLING_SECONDS = 30.0


class Build(Subject):
    """One build, started.

    Args:
        name: what the table calls it.
        tree: the folder with its `manage.py`.
        python: the interpreter that has what it requires.
        folder: an empty folder for its data.
        serving: the arguments of each `serve`; two processes on ports of their own are usual.
    """

    def __init__(
        self,
        name: str,
        tree: Path,
        python: str,
        folder: Path,
        serving: Sequence[Sequence[str]] = ((),) * SERVERS,
    ) -> None:
        self.name = name
        self._serving = serving
        self._tree = tree
        self._python = python
        self._folder = folder
        folder.mkdir(mode=0o711)
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("SILO_", "DJANGO_"))}
        ours.pop("DATABASE_URL", None)
        self._env = ours | {"SILO_VAR": str(folder / "var"), "PYTHONUNBUFFERED": "1"}
        self._started: list[Background] = []
        self._logs = 0
        self._manage("migrate", "--verbosity", "0").check_returncode()
        self._seed = subprocess.Popen(  # noqa: S603
            [python, "-P", str(HERE / "seed.py")],
            cwd=tree,
            env=self._env,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.database = psycopg.connect(**self.seed("parameters"), autocommit=True)
        self.users: list[tuple[int, str]] = self.seed("users", USERS)
        self.ports: list[int] = []
        self.restart()

    def restart(self) -> None:
        """Start all processes but PostgreSQL, and end those that ran: their memory has grown."""
        self._stop()
        servers = [self._start("serve", "--port", "0", *each) for each in self._serving]
        self._start("runsweeper")
        self.ports = [_port(server) for server in servers]
        for port, server in zip(self.ports, servers, strict=True):
            server.wait_until(partial(_is_ready, port))

    def _stop(self) -> None:
        if crew := self.__dict__.pop("crew", None):
            crew.close()
        for started in reversed(self._started):
            started.close()
        self._started.clear()

    def _start(self, *command: str) -> Background:
        self._logs += 1
        name = f"{command[0]}{self._logs}.log"
        started = Background(
            self._python,
            "manage.py",
            *command,
            log=self._folder / name,
            cwd=self._tree,
            env=self._env,
        )
        self._started.append(started)
        return started

    def _manage(self, *command: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(  # noqa: S603
            [self._python, "manage.py", *command], cwd=self._tree, env=self._env, check=False
        )

    def seed(self, *call: Any) -> Any:
        """Have the seeding program do something; return its answer."""
        assert self._seed.stdin
        assert self._seed.stdout
        self._seed.stdin.write(json.dumps(call) + "\n")
        self._seed.stdin.flush()
        return json.loads(self._seed.stdout.readline())

    @cached_property
    def database_pids(self) -> list[int]:
        """PostgreSQL's first process; the others descend from it."""
        found = next((self._folder / "var").rglob("postmaster.pid"), None)
        file = found or self._folder / "var/postgres/data/postmaster.pid"
        return [int(file.read_text().split("\n", 1)[0])]

    @property
    def server_pids(self) -> list[int]:
        """The processes that are not PostgreSQL's."""
        return [started.pid for started in self._started]

    @property
    def pids(self) -> list[int]:
        return self.server_pids + self.database_pids

    @property
    def tokens(self) -> list[str]:
        """One of each user, in the order in which workstations belong to them."""
        return [token for _, token in self.users]

    def token(self, number: int) -> str:
        """Return the token of the user to whom the workstation with this number belongs."""
        return self.users[number % len(self.users)][1]

    def workstations(self, count: int) -> list[str]:
        """Make workstations of all users in turn."""
        made: list[str] = self.seed("workstations", [pk for pk, _ in self.users], count)
        return made

    def port(self, number: int) -> int:
        """Return the port of one server or the other."""
        return self.ports[number % len(self.ports)]

    def registered(self, workstations: list[str], counted: bytes = RELEASED) -> list[Wanted]:
        """Return the streams of these workstations."""
        return [
            self._stream(number, f"workstation_id={pk}", counted)
            for number, pk in enumerate(workstations)
        ]

    def watching(self, count: int, counted: bytes = RELEASED) -> list[Wanted]:
        """Return streams that watch every item, on one server and the other in turn."""
        return [self._stream(number, "all=true", counted) for number in range(count)]

    def _stream(self, number: int, query: str, counted: bytes) -> Wanted:
        path = f"/api/events?{query}"
        data = request("GET", path, self.token(number), more="Accept: text/event-stream\r\n")
        return Wanted(self.port(number), data, OPENED_BY, counted)

    @cached_property
    def crew(self) -> "Crew":
        """Workstations that have a stream open all the time, and items for them."""
        return Crew(self)

    def pairs(self, clients: int) -> Client:
        crew = self.crew
        return partial(pair_client, self.ports, self.tokens, crew.parts, crew.workstations)

    def alive(self) -> Client:
        return partial(alive_client, self.ports, self.tokens, self.crew.workstations)

    def open_many(self, count: int) -> list[Wanted]:
        self._opened = self.workstations(count)
        return self.registered(self._opened)

    def give_sessions(self) -> None:
        """Give each of the workstations that were opened last a session on an item of its own."""
        self.seed("sessions", self._opened, self.seed("items", len(self._opened)))

    def feed(self, watchers: int, events: int) -> Feed:
        holder = self.crew.workstations[0]
        requests = [acquiring(part, holder, self.token(0)) for part in self.seed("items", events)]
        return Feed(self.watching(watchers, ACQUIRED), self.ports[0], requests)

    def deaths(self) -> Deaths:
        return HolderDeaths(self)

    def settle(self) -> None:
        """End the crew's sessions; wait until every other session and stream of this build has ended."""
        for number, pk in enumerate(self.crew.workstations):
            path = f"/api/workstations/{pk}/edit-sessions"
            wire.call(self.port(number), request("DELETE", path, self.token(number)))
        until = time.monotonic() + SETTLING_SECONDS
        look = (
            "SELECT EXISTS (SELECT FROM sessions_app_editsession)"
            " OR (SELECT count(*) FROM events_app_connection) > %s"
        )
        while self.database.execute(look, [CREW]).fetchone() != (False,):
            if time.monotonic() > until:
                raise TimeoutError(f"{self.name}: sessions or streams of a measurement do not end")
            time.sleep(0.1)

    def close(self) -> None:
        self._stop()
        self.database.close()
        self._seed.communicate()


class Crew:
    """Workstations with a stream each, for what is measured on workstations that are there."""

    def __init__(self, build: Build) -> None:
        self.workstations = build.workstations(CREW)
        self.parts: list[str] = build.seed("items", CREW)
        self._streams = Apart(Streams)
        self._streams.call("open", build.registered(self.workstations))

    def close(self) -> None:
        """Close their streams."""
        self._streams.close()


class HolderDeaths(Deaths):
    """Holders on one server; a watcher on the other."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._watcher = Apart(Streams)
        self._watcher.call("open", build.watching(SERVERS)[-1:])
        self._part: str = build.seed("items", 1)[0]
        self._told = 0

    def die(self) -> float:
        build = self._build
        wanted = build.registered(build.workstations(1))[0]
        workstation = re.findall(rb"workstation_id=(\S+)", wanted.request)[0].decode()
        stream = wire.open_stream(wanted.port, wanted.request, wanted.opened_by)
        status, body = wire.call(wanted.port, acquiring(self._part, workstation, build.token(0)))
        if status != wire.OK:
            raise RuntimeError(f"an acquire was answered {status}: {body[:300]!r}")
        self._told += 1
        at = killed(stream)
        told: float = self._watcher.call("until", self._told, TELLING_SECONDS)
        return told - at

    def close(self) -> None:
        self._watcher.close()
        self._build.settle()


def _is_ready(port: int) -> bool:
    return wire.call(port, request("GET", "/ready"))[0] == wire.OK


def _port(server: Background) -> int:
    server.wait_until(lambda: "Listening on" in server.output())
    found = re.search(r"Listening on http://\S+:(\d+)", server.output())
    assert found
    return int(found[1])
