"""What the tests of faults put between the processes under test."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from django.db import connection

from tests.processes.service import Process, Serve, environment
from tests.waiting import eventually

# How long a health check waits for its answer.
HEALTH_SECONDS = 1.0


class TcpProxy(Process):
    """A TCP proxy; it can be cut (connections reset and refused) or frozen (nobody is told)."""

    def __init__(self, target: str, host: str = "127.0.0.1") -> None:
        script = str(Path(__file__).with_name("tcp_proxy.py"))
        super().__init__(sys.executable, script, host, target, env=dict(os.environ))
        self.host = host

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.line("port ").split()[1])

    @property
    def url(self) -> str:
        """Where a web server behind it is reached."""
        return f"http://{self.host}:{self.port}"

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._tell(signal.SIGUSR1, "cut")

    def halve(self) -> None:
        """Reset the connections to the target; who is connected to the proxy is not told."""
        self._tell(signal.SIGHUP, "halved")

    def mend(self) -> None:
        """Serve again after `cut` or `halve`."""
        self._tell(signal.SIGUSR2, "mended")

    def freeze(self) -> None:
        """Pass nothing on; its kernel goes on acknowledging."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Pass on again, what came meanwhile included."""
        self.signal(signal.SIGCONT)

    def _tell(self, number: signal.Signals, answer: str) -> None:
        said = self.lines.count(answer)
        self.signal(number)
        eventually(lambda: self.lines.count(answer) > said, answer)


class ServeAt(Serve):
    """`manage.py serve` at an address of the test's choice."""

    def __init__(self, host: str, port: int, **env: str) -> None:
        Process.__init__(
            self,
            *(sys.executable, "-W", "error", "manage.py", "serve"),
            *("--host", host, "--port", str(port)),
            env=environment(**env),
        )


def database_address() -> str:
    """Return where the test database listens, as a target of a `TcpProxy`."""
    parameters = connection.get_connection_params()
    host, port = parameters.get("host") or "127.0.0.1", parameters.get("port") or 5432
    return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else f"{host}:{port}"


def database_url_by(proxy: TcpProxy) -> str:
    """Return the URL of the test database by way of a proxy."""
    parameters = connection.get_connection_params()
    query = {"host": proxy.host, "port": proxy.port}
    query |= {key: parameters[key] for key in ("user", "password") if parameters.get(key)}
    return f"postgresql:///{parameters['dbname']}?{urlencode(query)}"


def is_ready(server: Any) -> bool:
    """Say whether it is, as a proxy's health check does: who does not answer in time is not."""
    try:
        return httpx.get(f"{server.url}/ready", timeout=HEALTH_SECONDS).status_code == 200
    except httpx.TransportError:
        return False


def passes(seconds: float) -> None:
    """Wait for time itself, where an outage has to last for as long as a clock would need."""
    until = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= until, within=seconds + 1)
