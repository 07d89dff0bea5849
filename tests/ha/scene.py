"""Two servers and a sweeper on the cluster, with engineers who hold locks and acquire others."""

import os
import sys
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from tests.ha.cluster import START_SECONDS, Cluster
from tests.ha.holders import MOST_SECONDS, PART, Acquired, Holder, check_exclusion
from tests.processes import warm
from tests.processes.service import Serve, Sweeper
from tests.temporary import Temporary
from tests.waiting import eventually

# The defaults, but for what makes a failover harder: sessions expire as soon as can be set, which is after less time
# than a client may have been silent by its end, and sweeps are frequent. Streams live for three heartbeats without one.
SETTINGS = {
    "SILO_HEARTBEAT_SECONDS": "15",
    "SILO_SESSION_TIMEOUT_MINUTES": "0.76",
    "SILO_SWEEP_SECONDS": "1",
    "SILO_SERVER_DEAD_SECONDS": "10",
    "SILO_DATABASE_STANDBYS": "2",
}
HOLDERS = 4
# From the end of the outage: the relay's longest pause and look, on a busy machine.
HEARD_SECONDS = 15.0
WHOLE_SECONDS = 90.0
SWEEP_ENDED = "SELECT sweep_ended FROM sessions_app_sweeperprocess"
# Each holder has so many pairs before something is broken.
SOME_PAIRS = 3


class Scene(Temporary):
    """The servers, the sweeper and the engineers.

    Args:
        cluster: their database.
    """

    def __init__(self, cluster: Cluster, state: Path) -> None:
        self.cluster = cluster
        self._state = state
        self._stack = ExitStack()
        self.holders: list[Holder] = []

    def _make(self) -> None:
        os.environ["SILO_STATE"] = str(self._state)
        self._stack.callback(os.environ.pop, "SILO_STATE")
        self.manage("migrate", "--verbosity", "0")
        token = self.manage("createtoken", "ada", "--role", "editor", "--create-user")
        env = {"DATABASE_URL": self.cluster.url, **SETTINGS}
        self.servers = [self._kept(Serve(**env)), self._kept(Serve(**env))]
        self.sweeper = self._kept(Sweeper(**env))
        for server in self.servers:
            server.ready()
        self.call(0, "POST", "/api/items", token, {"part_number": PART})
        for number in range(HOLDERS):
            holder = Holder(self.servers[number % 2].url, token, number)
            self._stack.callback(holder.end)
            self.holders.append(holder)
        for holder in self.holders:
            holder.start()

    def _remove(self) -> None:
        self._stack.close()

    def _kept(self, process: Any) -> Any:
        self._stack.callback(process.close)
        return process

    def manage(self, *arguments: str) -> str:
        """Run a management command; return what it prints."""
        done = self.run(*arguments)
        assert not done.returncode, done.stderr
        return done.stdout.strip()

    def run(self, *arguments: str) -> Any:
        """Run a management command, whatever its exit code."""
        command = (sys.executable, "-W", "error", "manage.py", *arguments)
        own = {"DATABASE_URL": self.cluster.url, "SILO_DATABASE_STANDBYS": "2"}
        return warm.run(command, os.environ | warm.UNBUFFERED | own)

    def call(self, server: int, method: str, path: str, token: str, body: Any) -> httpx.Response:
        """Call the API of one server."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.request(method, self.servers[server].url + path, json=body, headers=headers)

    def ready(self, server: int = 0) -> httpx.Response:
        """Ask a server whether it is ready."""
        return httpx.get(f"{self.servers[server].url}/ready", timeout=MOST_SECONDS)

    def whole(self) -> None:
        """Wait until nothing is missing, all servers say so, and everybody works."""
        eventually(self.cluster.whole, "all standbys", WHOLE_SECONDS)
        for number in range(len(self.servers)):
            eventually(lambda number=number: self._is_whole(number), "ready", START_SECONDS)
        at = time.monotonic()
        eventually(
            lambda: all(len(since(holder, at)) >= SOME_PAIRS for holder in self.holders),
            "everybody works",
            MOST_SECONDS,
        )

    def _is_whole(self, number: int) -> bool:
        answer = self.ready(number)
        return answer.status_code == 200 and "warning" not in answer.json()

    def streams(self) -> set[str]:
        """Return the ids of the engineers' streams, which change where one is opened anew."""
        return {str(row[0]) for row in self.cluster.query("SELECT id FROM events_app_connection")}

    @property
    def acquired(self) -> list[Acquired]:
        """Every answered acquire."""
        return [one for holder in self.holders for one in list(holder.acquired)]

    def answered_since(self, at: float) -> float | None:
        """Return for how long nobody had an answer to an acquire that was asked for after a moment; None by now."""
        later = [one.answered_at - at for one in self.acquired if one.asked_at > at]
        return min(later, default=None)

    def longest_pause(self, at: float) -> float:
        """Return for how long nobody had an answer to an acquire, after a moment."""
        answers = sorted([at, time.monotonic(), *(one.answered_at for one in self.acquired)])
        return max(after - before for before, after in pairwise(answers) if before >= at)

    def sweeps(self) -> None:
        """Wait until the sweeper has swept twice more, so once from beginning to end."""
        for _ in range(2):
            before = self.cluster.query(SWEEP_ENDED)
            eventually(lambda before=before: self.cluster.query(SWEEP_ENDED) != before, "a sweep")

    def check(self) -> None:
        """Fail where something that was answered is not there, or a live lock was lost."""
        acquired = [(one, one.released) for one in self.acquired]
        check_exclusion([one for one, _ in acquired])
        active = dict(
            self.cluster.query("SELECT id::text, fencing_token FROM sessions_app_editsession")
        )
        ended = {
            session_id: (token, reason)
            for session_id, token, reason in self.cluster.query(
                "SELECT session_id::text, fencing_token, reason FROM sessions_app_endedsession"
            )
        }
        for one, released in acquired:
            if released:
                assert ended.get(one.session_id) == (one.token, "released"), one
            else:
                token = active.get(one.session_id) or ended[one.session_id][0]
                assert token == one.token, one
        assert {reason for _, reason in ended.values()} <= {"released"}
        for holder in self.holders:
            assert (holder.lost, holder.faults) == ([], [])
            assert active[holder.kept.id] == holder.kept.fencing_token
            eventually(lambda holder=holder: holder.kept.valid, "a session that is certain")
            assert holder.longest < MOST_SECONDS
        for process in (*self.servers, self.sweeper):
            assert process.running, process.output
            assert "Traceback" not in process.output, process.output

    def hears_again(self, at: float) -> None:
        """Wait until each holder's stream has told it of what was acquired after a moment, at either server."""

        def told(holder: Holder) -> bool:
            objects = [
                {one.object_id for one in since(other, at) if one.object_id != "shared"}
                for other in self.holders
            ]
            return all(holder.heard & those for those in objects)

        eventually(lambda: all(map(told, self.holders)), "events", HEARD_SECONDS)


def since(holder: Holder, at: float) -> list[Acquired]:
    """Return the acquires that were asked for after a moment, and answered."""
    return [one for one in list(holder.acquired) if one.asked_at > at]
