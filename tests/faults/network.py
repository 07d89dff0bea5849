"""A network namespace with one cable to this machine, which can be pulled.

No packet leaves the machine. The cable is pulled at the far end: here the interface stays up and its route stays, but
nothing comes or arrives any more, neither FIN nor RST.
"""

import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.processes.service import Client, Process, SseClient
from tests.temporary import Temporary

# Reserved for tests between devices (RFC 2544); nobody's real network.
ADDRESSES = IPv4Network("198.18.0.0/15")
ADDRESSES_EACH = 4
PREFIX = 30

_NAME = re.compile(r"silo-(\d+)-\w+")
_numbers = itertools.count()


def why_not() -> str | None:
    """Return why no network can be made here, or None."""
    if os.geteuid() != 0:
        return "needs root for a network namespace"
    if not shutil.which("ip"):
        return "needs ip (iproute2)"
    probe = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True)
    return f"no network namespaces here: {probe.stderr.decode()}" if probe.returncode else None


class Network(Temporary):
    """Inside of it: `ip netns`' view of another machine at the other end of a cable."""

    def __init__(self) -> None:
        number = next(_numbers)
        self.name = f"silo-{os.getpid()}-{number}"
        self._link = f"silo{os.getpid()}.{number}"

    def _make(self) -> None:
        remove_leftovers()
        self.host, there = _free_addresses()
        ip("netns", "add", self.name)
        ip("link", "add", self._link, "type", "veth", "peer", "eth0", "netns", self.name)
        ip("addr", "add", f"{self.host}/{PREFIX}", "dev", self._link)
        ip("link", "set", self._link, "up")
        self._inside("addr", "add", f"{there}/{PREFIX}", "dev", "eth0")
        self._inside("link", "set", "lo", "up")
        self.plug_in()

    def pull(self) -> None:
        """Pull the cable."""
        self._inside("link", "set", "eth0", "down")

    def plug_in(self) -> None:
        """Plug the cable in."""
        self._inside("link", "set", "eth0", "up")

    def command(self, *command: str) -> tuple[str, ...]:
        """Return the command that runs this one inside."""
        return "ip", "netns", "exec", self.name, *command

    def _inside(self, *arguments: str) -> None:
        ip("-n", self.name, *arguments)

    def _remove(self) -> None:
        remove(self.name)
        subprocess.run(["ip", "link", "delete", self._link], check=False, capture_output=True)


class InsideClient(SseClient):
    """An SSE client inside of a network."""

    def __init__(self, network: Network, url: str, token: str) -> None:
        program = (sys.executable, "-m", "tests.processes.sse_client", url, token, "")
        Process.__init__(self, *network.command(*program), env=dict(os.environ))


def stream_inside(
    network: Network, client: Client, url: str | None = None, **query: Any
) -> InsideClient:
    """Open a stream from inside and wait for its first heartbeat."""
    address = f"{url or client.server.url}/api/events?{urlencode(query, doseq=True)}"
    stream = InsideClient(network, address, client.token)
    client.streams.append(stream)
    stream.event("stream-open")
    stream.event("heartbeat")
    return stream


def ip(*arguments: str) -> str:
    """Run `ip`; return what it prints."""
    done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
    assert not done.returncode, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def _free_addresses() -> tuple[str, str]:
    count = ADDRESSES.num_addresses // ADDRESSES_EACH
    while True:
        first = ADDRESSES[random.randrange(count) * ADDRESSES_EACH]
        network = IPv4Network(f"{first}/{PREFIX}")
        if not ip("-o", "addr", "show", "to", str(network)):
            here, there = network.hosts()
            return str(here), str(there)


def remove(name: str) -> None:
    """Remove a namespace; what still runs in it would keep it alive."""
    pids = subprocess.run(
        ["ip", "netns", "pids", name], check=False, capture_output=True, text=True
    )
    for pid in pids.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def remove_leftovers() -> None:
    """Remove the namespaces of tests that were killed."""
    for line in ip("netns", "list").splitlines():
        found = _NAME.match(line)
        if found and not Path(f"/proc/{found[1]}").exists():
            remove(found[0])
