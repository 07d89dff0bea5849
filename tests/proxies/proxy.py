"""A proxy of the distribution: its configuration from `deploy/proxies`, and its process on ports of ours."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.ports import reserved
from tests.processes.service import ROOT, Process

CONFIGURATIONS = ROOT / "deploy" / "proxies"
NAME = "silo.example.com"
# Under this name nobody tells the server of HTTPS; its pages are trusted.
TLS_ONLY_NAME = "tls-only.example.com"
SECURE = {
    "SILO_HTTPS": "true",
    "SILO_ALLOWED_HOSTS": f"127.0.0.1,{NAME},{TLS_ONLY_NAME}",
    "SILO_TRUSTED_ORIGINS": f"https://{TLS_ONLY_NAME}",
}


def changed(text: str, changes: Mapping[str, str]) -> str:
    """Return the text with what is different here; all of it has to be there."""
    for old in changes:
        assert old in text, f"the configuration no longer has {old!r}"
    longest_first = sorted(changes, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda found: changes[found[0]], text)


# In a file of deploy/proxies: a heading, lines that are comments, and the line instead of which they are.
BELOW_A_PATH = re.compile(
    r"^[ \t]*# Below a path \(server\.base_path: /silo\) .*:\n((?:[ \t]*#.*\n)+)[ \t]*[^#\s].*\n",
    re.MULTILINE,
)
BASE = "/silo"


def below_a_path(text: str) -> str:
    """Return a configuration as its comments say that it is for a service below a path."""
    text, count = BELOW_A_PATH.subn(lambda found: re.sub(r"(?m)^([ \t]*)#", r"\1", found[1]), text)
    assert count == 1, "the configuration does not say what is different below a path"
    return text


def make_certificate(folder: Path, host: str) -> None:
    """Make a self-signed certificate for an address, in the files that the proxies want."""
    names = f"subjectAltName=DNS:{NAME},DNS:{TLS_ONLY_NAME},IP:{host}"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={NAME}", "-addext", names]
    command += ["-keyout", "silo.key", "-out", "silo.crt"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    both = (folder / "silo.crt").read_text() + (folder / "silo.key").read_text()
    (folder / "silo.pem").write_text(both)
    # The account that a proxy's workers run as, if it is not ours.
    (folder / "silo.key").chmod(0o644)


class Proxy(Process):
    """A proxy process, on one address of ours."""

    def __init__(
        self, kind: "Kind", folder: Path, command: Sequence[str], host: str, scheme: str
    ) -> None:
        env = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
        super().__init__(*command, env=dict(os.environ) | env)
        self.kind, self.folder, self.host, self.scheme = kind, folder, host, scheme
        self.plain = self.port = 0
        self.base = ""

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.base}"

    def is_ready(self) -> bool:
        """Whether a server answers through it."""
        assert self.running, self.output
        try:
            headers = {"Host": self.kind.host_name}
            certificate = {"sni_hostname": self.kind.host_name}
            with httpx.Client(timeout=3, headers=headers) as client:
                answer = client.get(f"{self.url}/ready", extensions=certificate)
        except httpx.TransportError:
            return False
        return answer.status_code == 200

    def close(self) -> None:
        """End it with its children, which may be in a process group of their own."""
        if self.running:
            self.signal(signal.SIGTERM)
            try:
                self.wait(3)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
        super().close()


def nothing(proxy: Proxy) -> None:
    """Reload nothing."""


@dataclass(frozen=True)
class Kind:
    """How one program is configured and started.

    In texts and commands `{folder}` is the folder of its files, `{config}` its main configuration, `{port}` and
    `{plain}` its ports for HTTPS and HTTP, `{host}` its address.
    """

    program: str
    package: str
    version: Sequence[str]
    # Its file in deploy/proxies, and what is different in a test.
    file: str
    ours: Mapping[str, str]
    command: Sequence[str]
    # The least that its manual shows for a reverse proxy, without HTTPS.
    minimal: str
    # Where a test's file is only included by it.
    main: str = "{text}"
    minimal_main: str = "{text}"
    # To be put on time-outs of two seconds.
    quick: Mapping[str, str] = field(default_factory=dict)
    scheme: str = "https"
    http2: bool = False
    host_name: str = NAME
    # It notices a client that died without having to write to it.
    notices: bool = True
    reload: Callable[[Proxy], None] | None = None
    # The checks that do not hold as recommended, and those that do not with the least that its manual shows.
    minimal_breaks: frozenset[str] = frozenset()

    def start(
        self,
        folder: Path,
        servers: Sequence[str],
        host: str = "127.0.0.1",
        changes: Mapping[str, str] | None = None,
        minimal: bool = False,
        below: bool = False,
    ) -> Proxy:
        """Start it, with what `make_certificate` made in the folder.

        Args:
            folder: for its files.
            servers: the URLs of two servers.
            host: the address on which it listens.
            changes: what else is different in its file.
            minimal: with the least that its manual shows.
            below: as its file says for a service below a path.
        """
        plain, port = reserved(host), reserved(host)
        first, second = (urlsplit(url) for url in servers)
        config = folder / "main"
        words = {"folder": folder, "config": config, "host": host, "port": port, "plain": plain}

        def filled(text: str) -> str:
            return re.sub(r"\{(\w+)\}", lambda found: str(words.get(found[1], found[0])), text)

        text = self.minimal if minimal else (CONFIGURATIONS / self.file).read_text()
        if below:
            text = below_a_path(text)
        ours = {old: filled(new) for old, new in self.ours.items()} | {"/etc/silo/tls": str(folder)}
        servers_here = {"127.0.0.1": str(first.hostname), "8001": str(first.port)}
        if "8002" in text:
            servers_here["8002"] = str(second.port)
        if minimal or "/etc/silo/tls" not in text:
            ours.pop("/etc/silo/tls")
        text = changed(text, servers_here | ({} if minimal else ours | dict(changes or {})))
        main = self.minimal_main if minimal else self.main
        words["text"] = filled(text) if minimal else text
        config.write_text(filled(main))
        command = [filled(word) for word in self.command]
        proxy = Proxy(self, folder, command, host, "http" if minimal else self.scheme)
        proxy.plain, proxy.port = plain, port
        proxy.base = BASE if below else ""
        return proxy
