"""Real processes of the service under test: `serve`, `runsweeper`, and SSE clients."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from django.db import connection

from tests.processes import warm
from tests.processes.warm import ROOT, WarmProcess
from tests.waiting import PATIENCE_SECONDS, eventually

# Fast, and in the ratios that the system checks ask for. A killed server is known to be dead after two seconds.
FAST = {
    "SILO_HEARTBEAT_SECONDS": "0.5",
    "SILO_SWEEP_SECONDS": "0.3",
    "SILO_SERVER_DEAD_SECONDS": "2",
    "SILO_SESSION_TIMEOUT_MINUTES": "1",
}


def database_url() -> str:
    """Return the URL of the test database, for other processes."""
    parameters = connection.get_connection_params()
    query = {
        key: parameters[key] for key in ("host", "port", "user", "password") if parameters.get(key)
    }
    return f"postgresql:///{parameters['dbname']}?{urlencode(query)}"


def environment(**overrides: str) -> dict[str, str]:
    """Return the environment of a process on the test database."""
    return os.environ | FAST | {"DATABASE_URL": database_url(), "PYTHONUNBUFFERED": "1"} | overrides


class Process:
    """A child process whose output is collected line by line."""

    # Whether it may begin with the libraries loaded; see `warm.py`.
    warm = False

    def __init__(
        self, *command: str, env: dict[str, str], stdin: int | None = None, cwd: Path = ROOT
    ) -> None:
        self.lines: list[str] = []
        self._popen = self._start(command, env, stdin, cwd)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _start(
        self, command: tuple[str, ...], env: dict[str, str], stdin: int | None, cwd: Path
    ) -> "subprocess.Popen[str] | WarmProcess":
        if self.warm and warm.can_be(command, env):
            return WarmProcess(command, cwd, env, stdin)
        return subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            text=True,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A Ctrl-C at the terminal is for the tests, which then end their children.
            start_new_session=True,
        )

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def line(self, part: str, within: float = PATIENCE_SECONDS) -> str:
        """Wait for a line that contains a text."""

        def look() -> str | None:
            # Of a process that has ended, the last lines may not have been read yet.
            all_is_read = not self._reader.is_alive()
            found = next((line for line in list(self.lines) if part in line), None)
            assert found is not None or not all_is_read, f"ended:\n{self.output}"
            return found

        return str(eventually(look, f"a line with {part!r} in:\n{self.output}", within))

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def wait(self, within: float = PATIENCE_SECONDS) -> int:
        """Wait for the end; return the exit code."""
        code = self._popen.wait(within)
        self._reader.join(within)
        return code

    def kill(self) -> None:
        """SIGKILL, and reap."""
        self.signal(signal.SIGKILL)
        self.wait()

    def close(self) -> None:
        """End it whatever it does, and close what was opened for it."""
        if self.running:
            self.kill()
        self._reader.join()
        assert self._popen.stdout is not None
        self._popen.stdout.close()


class Serve(Process):
    """`manage.py serve` on a free port."""

    warm = True

    def __init__(self, **env: str) -> None:
        command = (sys.executable, "-W", "error", "manage.py", "serve", "--port", "0")
        super().__init__(*self.start_command(*command), env=environment(**env))

    def start_command(self, *command: str) -> list[str]:
        """Return how the command is started."""
        return list(command)

    @property
    def url(self) -> str:
        """The address, once it listens."""
        return self.line("Listening on").split()[-1]

    def ready(self) -> "Serve":
        """Wait until it may be sent traffic."""

        def ask() -> bool:
            assert self.running, self.output
            try:
                return httpx.get(f"{self.url}/ready").status_code == 200
            except httpx.TransportError:
                return False

        eventually(ask, "ready")
        return self

    def sse_clients(self) -> int:
        """How many streams are open."""
        return int(httpx.get(f"{self.url}/ready").json()["sse_clients"])


class Sweeper(Process):
    """`manage.py runsweeper`."""

    warm = True

    def __init__(self, *arguments: str, **env: str) -> None:
        super().__init__(
            sys.executable,
            "-W",
            "error",
            "manage.py",
            "runsweeper",
            *arguments,
            env=environment(**env),
        )


class SseClient(Process):
    """An SSE client in a process of its own; `events` is what it has received."""

    warm = True

    def __init__(self, url: str, token: str, last_event_id: str = "") -> None:
        command = (sys.executable, "-W", "error", "-m", "tests.processes.sse_client")
        super().__init__(*command, url, token, last_event_id, env=dict(os.environ))

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def named(self, name: str) -> list[dict[str, Any]]:
        """The events of this name."""
        return [event for event in self.events if event["event"] == name]

    def event(self, name: str, within: float = PATIENCE_SECONDS, **data: Any) -> dict[str, Any]:
        """Wait for an event with this name and these members of its data."""

        def look() -> dict[str, Any] | None:
            found = (event for event in self.named(name) if data.items() <= event["data"].items())
            return next(found, None)

        event: dict[str, Any] = eventually(look, f"{name} {data} in {self.output}", within)
        return event

    @property
    def last_event_id(self) -> str:
        return str(next(event["id"] for event in reversed(self.events) if event["id"]))


class Client:
    """One user's client of one server: API calls, and streams in processes of their own."""

    def __init__(self, server: Serve, token: str) -> None:
        self.server = server
        self.token = token
        self.streams: list[SseClient] = []

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Call the API."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.request(method, self.server.url + path, json=body, headers=headers)

    def workstation(self, name: str = "cad-1") -> str:
        """Register a workstation; return its id."""
        answer = self.call("POST", "/api/workstations", {"name": name, "fingerprint": name})
        return str(answer.json()["id"])

    def stream(self, last_event_id: str = "", **query: Any) -> SseClient:
        """Open `/api/events` and wait for its `stream-open` and first heartbeat."""
        url = f"{self.server.url}/api/events?{urlencode(query, doseq=True)}"
        client = SseClient(url, self.token, last_event_id)
        self.streams.append(client)
        client.event("stream-open")
        client.event("heartbeat")
        return client

    def acquire(self, part_number: str, workstation_id: str, **body: Any) -> httpx.Response:
        """Acquire a session."""
        body = {"workstation_id": workstation_id, "context_level": "sketch"} | body
        return self.call("POST", f"/api/items/{quote(part_number, safe='')}/edit-sessions", body)

    def held(self, part_number: str) -> list[dict[str, Any]]:
        """The active sessions on an item."""
        path = f"/api/items/{quote(part_number, safe='')}/edit-sessions"
        sessions: list[dict[str, Any]] = self.call("GET", path).json()["sessions"]
        return sessions
