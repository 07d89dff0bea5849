"""The cluster of deploy/ha on three machines: etcd, Patroni with PostgreSQL, and HAProxy in front of them."""

import os
import pwd
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.ha.machines import Machine, Switch
from tests.ports import reserved
from tests.processes.service import Process
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy/ha"
PATRONI = str(Path(sys.executable).with_name("patroni"))
PROGRAMS = Path("/usr/lib/postgresql/15/bin")
# The Python of this environment may be in a folder that only root may enter: its programs may read all.
READS = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *READS)
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
NAMES = ("pg1", "pg2", "pg3")
# As the files of deploy/ha have them.
NETWORK = "192.0.2."
PASSWORD = "a-password"
START_SECONDS = 60.0
# An HTTP request to Patroni.
ASK_SECONDS = 2.0


class Node:
    """One machine of the cluster.

    Args:
        machine: the machine.
        folder: for its data.
        network: what its address begins with.
    """

    def __init__(self, machine: Machine, folder: Path, network: str) -> None:
        self.machine = machine
        self.name = machine.name
        self._folder = folder
        self._network = network
        self._started = ExitStack()
        # What was started on it, also what has ended.
        self.processes: list[Process] = []
        folder.mkdir()
        os.chown(folder, *_account())
        folder.chmod(0o700)
        self._etcd = self._environment("etcd.env", "/var/lib/etcd", folder / "etcd")
        self._patroni = self._environment("patroni.env", "/var/lib/postgresql", folder)
        self.config = folder / "patroni.yml"
        text = self._filled((DEPLOY / "patroni.yml").read_text())
        for place in ("/var/lib/postgresql/15", "/var/run/postgresql"):
            assert place in text
            text = text.replace(place, str(folder))
        self.config.write_text(text)

    def _environment(self, name: str, place: str, ours: Path) -> dict[str, str]:
        """Return the variables of a file, of this machine instead of the first one."""
        text = self._filled((DEPLOY / name).read_text()).replace(place, str(ours))
        pairs = (line.split("=", 1) for line in text.splitlines() if line[:1].isupper())
        return {key: self._own(key, value) for key, value in pairs}

    def _own(self, key: str, value: str) -> str:
        if key == "ETCD_INITIAL_CLUSTER":
            return value
        if key == "PATRONI_ETCD3_HOSTS":
            hosts = value.split(",")
            return ",".join(sorted(hosts, key=lambda host: self.machine.address not in host))
        named = re.sub(r"\bpg1\b", self.name, value)
        return named.replace(f"{self._network}11", self.machine.address)

    def _filled(self, text: str) -> str:
        assert NETWORK in text
        return text.replace(NETWORK, self._network)

    def start_etcd(self) -> None:
        """Start etcd."""
        self._start("etcd", self._etcd)

    def has_etcd(self) -> bool:
        """Whether its etcd serves, together with the others."""
        with suppress(httpx.TransportError):
            answer = httpx.get(f"http://{self.machine.address}:2379/version", timeout=ASK_SECONDS)
            return bool(answer.json()["etcdcluster"] != "not_decided")
        return False

    def leads_etcd(self) -> bool:
        """Whether its etcd is the leader of all, whose loss costs an election, after which locks are counted anew."""
        url = f"http://{self.machine.address}:2379/v3/maintenance/status"
        status = httpx.post(url, json={}, timeout=ASK_SECONDS).json()
        return bool(status["leader"] == status["header"]["member_id"])

    def start(self, clock: float = 0.0) -> None:
        """Start Patroni, which starts PostgreSQL.

        Args:
            clock: by how many seconds the clock of both is ahead.
        """
        other = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{clock:+}s"} if clock else {}
        # Durations are measured by another clock, which is nobody's to set.
        same = {"DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"} if clock else {}
        self._start(PATRONI, {**self._patroni, **other, **same}, str(self.config))

    def _start(self, program: str, variables: dict[str, str], *arguments: str) -> None:
        # Nothing of this process's own settings: libpq would read some of them.
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"} | variables
        command = self.machine.command(*AS_POSTGRES, program, *arguments)
        process = Process(*command, env=env, cwd=self._folder.parent)
        self.processes.append(process)
        self._started.callback(process.close)

    @property
    def output(self) -> list[str]:
        """What its programs have written."""
        return [f"{self.name} {line}" for one in self.processes for line in one.lines]

    @property
    def credentials(self) -> tuple[str, str]:
        """The user and the password by which its Patroni takes orders."""
        own = self._patroni
        return own["PATRONI_RESTAPI_USERNAME"], own["PATRONI_RESTAPI_PASSWORD"]

    def state(self, path: str = "patroni") -> httpx.Response | None:
        """Ask its Patroni."""
        with suppress(httpx.TransportError):
            return httpx.get(f"http://{self.machine.address}:8008/{path}", timeout=ASK_SECONDS)
        return None

    def is_primary(self) -> bool:
        """Whether it has the leader's lock and serves."""
        answer = self.state("primary")
        return answer is not None and answer.status_code == 200

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement on it as its administrator, by its socket: also where its cable is pulled."""
        command = self.machine.command(
            *AS_POSTGRES,
            *(str(PROGRAMS / "psql"), "-XqtA", "-h", str(self._folder), "-U", "postgres"),
            *("-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement),
        )
        done = Process(*command, env={"PATH": os.environ["PATH"]}, cwd=self._folder.parent)
        try:
            assert done.wait() == 0, done.output
            return [tuple(line.split("|")) for line in done.lines]
        finally:
            done.close()

    def connect(self) -> "psycopg.Connection[Any]":
        """Connect to it past HAProxy."""
        return psycopg.connect(
            f"postgresql://silo:{PASSWORD}@{self.machine.address}:5432/silo", autocommit=True
        )

    def kill(self) -> None:
        """SIGKILL for Patroni and PostgreSQL at once."""
        self.machine.signal(signal.SIGKILL, but="etcd")

    def crash(self) -> None:
        """SIGKILL for PostgreSQL alone."""
        self.machine.signal(signal.SIGKILL, of="postgres")

    def freeze(self) -> None:
        """Stop all that runs on it, as a virtual machine is paused. Its kernel goes on acknowledging."""
        self.machine.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let all go on."""
        self.machine.signal(signal.SIGCONT)

    def close(self) -> None:
        """End all that runs on it."""
        self.thaw()
        self.machine.signal(signal.SIGKILL)
        self._started.close()


class Cluster:
    """All machines and HAProxy.

    Args:
        nodes: the machines.
        url: for the servers, by HAProxy.
    """

    def __init__(self, nodes: list[Node], url: str, haproxy: Process) -> None:
        self.nodes = nodes
        self.url = url
        self.haproxy = haproxy

    @property
    def primary(self) -> Node:
        """The machine that has the leader's lock; it is waited for."""
        node: Node = eventually(self._primary, "a primary", START_SECONDS)
        return node

    def _primary(self) -> Node | None:
        return next((node for node in self.nodes if node.is_primary()), None)

    @property
    def standbys(self) -> list[Node]:
        """The others."""
        primary = self.primary
        return [node for node in self.nodes if node is not primary]

    def whole(self) -> bool:
        """Whether each other machine acknowledges the primary's commits, and Patroni has noted it."""
        primary = self._primary()
        if primary is None:
            return False
        of_postgres, of_etcd = primary.state(), primary.state("cluster")
        if of_postgres is None or of_etcd is None:
            return False
        acknowledging = {
            one["application_name"]
            for one in of_postgres.json().get("replication", [])
            if one["sync_state"] == "quorum" and one["state"] == "streaming"
        }
        noted = {
            one["name"] for one in of_etcd.json()["members"] if one["role"] == "quorum_standby"
        }
        return acknowledging == noted == set(NAMES) - {primary.name}

    def switch(self, to: Node) -> None:
        """Have another machine take the primary's place, in order: the third one's Patroni is asked."""
        primary = self.primary
        [third] = [node for node in self.nodes if node not in {primary, to}]
        answer = httpx.post(
            f"http://{third.machine.address}:8008/switchover",
            json={"leader": primary.name, "candidate": to.name},
            auth=third.credentials,
            timeout=START_SECONDS,
        )
        assert answer.status_code == 200, answer.text

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the database as the servers do; wait for it, as HAProxy may know two primaries for a moment."""
        answers: list[list[tuple[Any, ...]]] = []

        def ask() -> bool:
            with suppress(psycopg.OperationalError):
                with psycopg.connect(self.url, autocommit=True) as connection:
                    cursor = connection.execute(statement, parameters)  # type: ignore[call-overload]
                    answers.append(cursor.fetchall())
                return True
            return False

        eventually(ask, "the database")
        return answers[0]


@contextmanager
def started() -> Iterator[Cluster]:
    """Start it, with a database for the service; end it."""
    with ExitStack() as stack:
        # A short path: a socket's is limited. Not pytest's, which the account of PostgreSQL may not enter.
        folder = Path(tempfile.mkdtemp(prefix="silo-ha-", dir="/tmp"))
        stack.callback(shutil.rmtree, folder)
        folder.chmod(0o711)
        switch = stack.enter_context(Switch(*NAMES))
        network = str(switch.network.network_address).removesuffix("0")
        nodes = [Node(machine, folder / machine.name, network) for machine in switch.machines]
        for node in nodes:
            stack.callback(node.close)
            node.start_etcd()
        # A Patroni that finds an etcd which has just begun ends; systemd starts it again.
        eventually(lambda: all(node.has_etcd() for node in nodes), "etcd", START_SECONDS)
        for node in nodes:
            node.start()
        port = reserved()
        haproxy = stack.enter_context(_haproxy(folder, network, port))
        url = f"postgresql://silo:{PASSWORD}@127.0.0.1:{port}/silo?target_session_attrs=read-write"
        cluster = Cluster(nodes, url, haproxy)
        try:
            make_database(cluster)
            eventually(cluster.whole, "two standbys", START_SECONDS)
            yield cluster
        except BaseException:
            for node in nodes:
                print(*node.output, sep="\n")
            raise


def make_database(cluster: Cluster) -> None:
    """Make the servers' role and database, as docs/high-availability.md says."""
    primary = cluster.primary
    primary.sql(f"CREATE ROLE silo LOGIN PASSWORD '{PASSWORD}'")
    primary.sql("CREATE DATABASE silo OWNER silo")
    primary.sql("GRANT pg_read_all_stats TO silo")


@contextmanager
def _haproxy(folder: Path, network: str, port: int) -> Iterator[Process]:
    text = (DEPLOY / "haproxy.cfg").read_text()
    for ours, theirs in ((NETWORK, network), ("bind 127.0.0.1:5000", f"bind 127.0.0.1:{port}")):
        assert ours in text
        text = text.replace(ours, theirs)
    config = folder / "haproxy.cfg"
    config.write_text(text)
    process = Process("haproxy", "-db", "-f", str(config), env=dict(os.environ))
    try:
        yield process
    finally:
        process.close()


def _account() -> tuple[int, int]:
    account = pwd.getpwnam("postgres")
    return account.pw_uid, account.pw_gid
