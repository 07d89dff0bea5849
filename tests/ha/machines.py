"""Three machines on one switch: network namespaces of the test's own, each at the end of a cable that can be pulled.

No packet leaves this machine. Here is a fourth place at the switch, from which the machines are reached.
"""

import os
import random
import signal
import subprocess
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

from tests.faults.network import ADDRESSES, ip, remove, remove_leftovers
from tests.temporary import Temporary

PREFIX = 24
HERE = 1


class Machine:
    """One of the machines.

    Args:
        name: what the deployment calls it.
        address: its address.
    """

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.namespace = f"silo-{os.getpid()}-{name}"

    def command(self, *command: str) -> tuple[str, ...]:
        """Return the command that runs this one on it."""
        return "ip", "netns", "exec", self.namespace, *command

    def pids(self, *, of: str = "", but: str = "") -> set[int]:
        """Return its processes: those of a program, all but those of one, or all."""
        found = map(int, ip("netns", "pids", self.namespace).split())
        programs = {pid: _program(pid) for pid in found}
        return {
            pid
            for pid, program in programs.items()
            if (not of or program == of) and (not but or program != but)
        }

    def signal(self, number: signal.Signals, *, of: str = "", but: str = "") -> None:
        """Signal all of these, until there is no new one."""
        signalled: set[int] = set()
        while new := self.pids(of=of, but=but) - signalled:
            for pid in new:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            signalled |= new

    def pull(self) -> None:
        """Pull its cable: nothing comes or arrives any more, neither FIN nor RST."""
        ip("-n", self.namespace, "link", "set", "eth0", "down")

    def plug_in(self) -> None:
        """Plug it in again."""
        ip("-n", self.namespace, "link", "set", "eth0", "up")


def _program(pid: int) -> str:
    """Return the name of what runs, as the kernel knows it; "" if it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Switch(Temporary):
    """The switch, and the machines on it.

    Args:
        names: those of the machines, which have the addresses from 11 on.
    """

    def __init__(self, *names: str) -> None:
        self._namespace = f"silo-{os.getpid()}-switch"
        self._link = f"silo{os.getpid()}.s"
        self.network = _free_network()
        self.here = str(self.network[HERE])
        self.machines = [
            Machine(name, str(self.network[11 + number])) for number, name in enumerate(names)
        ]

    def _make(self) -> None:
        remove_leftovers()
        ip("netns", "add", self._namespace)
        self._inside("link", "add", "switch", "type", "bridge")
        self._inside("link", "set", "switch", "up")
        ip("link", "add", self._link, "type", "veth", "peer", "here", "netns", self._namespace)
        ip("addr", "add", f"{self.here}/{PREFIX}", "dev", self._link)
        ip("link", "set", self._link, "up")
        self._attach("here")
        for machine in self.machines:
            ip("netns", "add", machine.namespace)
            own = ("-n", machine.namespace)
            end = ("peer", machine.name, "netns", self._namespace)
            ip(*own, "link", "add", "eth0", "type", "veth", *end)
            ip(*own, "addr", "add", f"{machine.address}/{PREFIX}", "dev", "eth0")
            ip(*own, "link", "set", "lo", "up")
            machine.plug_in()
            self._attach(machine.name)

    def _attach(self, link: str) -> None:
        self._inside("link", "set", link, "master", "switch")
        self._inside("link", "set", link, "up")

    def _inside(self, *arguments: str) -> None:
        ip("-n", self._namespace, *arguments)

    def _remove(self) -> None:
        for name in (*(one.namespace for one in self.machines), self._namespace):
            remove(name)
        subprocess.run(["ip", "link", "delete", self._link], check=False, capture_output=True)


def _free_network() -> IPv4Network:
    networks = list(ADDRESSES.subnets(new_prefix=PREFIX))
    while True:
        network = random.choice(networks)
        if not ip("-o", "addr", "show", "to", str(network)):
            return network
