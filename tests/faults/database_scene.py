"""A database that goes away and comes back, with servers, a sweeper and users on it."""

import httpx
import pytest

from tests.faults.services import is_ready
from tests.processes.service import Client, Process, Serve, Sweeper

# Streams stay open over an outage of some seconds.
PATIENT = {"SILO_HEARTBEAT_SECONDS": "15"}
PART = "A01-0001"

# How the database goes away, and how it comes back. On the way back from `kill` it recovers from the crash.
AWAY = {"stopped": ("stop", "start"), "killed": ("kill", "start"), "frozen": ("freeze", "thaw")}
however_it_goes = pytest.mark.parametrize("how", AWAY)
# What a shared, busy machine may take on top of what is promised; and the relay's longest pause.
SLACK = 2.0
BACK_WITHIN = 5.0


class Scene:
    """A database, servers and a sweeper on it, and users."""

    def __init__(self, database, stack):
        self.database = database
        self._stack = stack
        self._processes: list[Process] = []
        self._tokens: dict[str, str] = {}

    def _kept(self, process):
        self._stack.callback(process.close)
        return process

    def serve(self, **env):
        return self._kept(Serve(DATABASE_URL=self.database.url, **env))

    def sweeper(self, **env):
        return self._kept(Sweeper(DATABASE_URL=self.database.url, **env))

    def client(self, server, name="ada"):
        """Return a user's client; the first one makes the item known."""
        if name not in self._tokens:
            create = ("createtoken", name, "--role", "editor", "--create-user")
            self._tokens[name] = self.database.manage(*create)
        client = Client(server, self._tokens[name])
        self._stack.callback(lambda: [stream.close() for stream in client.streams])
        client.call("POST", "/api/items", {"part_number": PART})
        return client

    def go_away(self, how):
        getattr(self.database, AWAY[how][0])()

    def come_back(self, how):
        getattr(self.database, AWAY[how][1])()

    def ended(self):
        """The record: workstation and reason of each end."""
        return self.database.query(
            "SELECT workstation_name, reason FROM sessions_app_endedsession ORDER BY released_at"
        )


def unavailable(server) -> bool:
    """Whether it runs, and says that it is not ready (or cannot say so, as the database hangs)."""
    assert httpx.get(f"{server.url}/health").status_code == 200
    return not is_ready(server)
