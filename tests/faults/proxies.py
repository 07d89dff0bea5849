"""HAProxy and nginx as docs/operations.md configures them, in front of two servers."""

import os
import re
import socket
import subprocess
from pathlib import Path

import httpx

from tests.processes.service import ROOT, Process

DOCUMENT = ROOT / "docs" / "operations.md"
NAME = "silo.example.com"
SECURE = {"SILO_HTTPS": "true", "SILO_ALLOWED_HOSTS": f"127.0.0.1,{NAME}"}


def printed(language: str) -> str:
    """Return the one block of the documentation in this language."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S)
    return block


def changed(text: str, changes: dict[str, str]) -> str:
    """Return the text with what is different here; all of it has to be there."""
    for old, new in changes.items():
        assert old in text, f"the documentation no longer prints {old!r}"
        text = text.replace(old, new)
    return text


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def make_certificate(folder: Path, host: str) -> None:
    """Make a self-signed certificate for an address, in the files that each of the proxies wants."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:{host}"]
    command += ["-keyout", "silo.key", "-out", "silo.crt"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    both = (folder / "silo.crt").read_text() + (folder / "silo.key").read_text()
    (folder / "silo.pem").write_text(both)


class Proxy(Process):
    """A proxy process, on one address of ours."""

    def __init__(self, *command: str, host: str, ports: tuple[int, int]) -> None:
        super().__init__(*command, env=dict(os.environ))
        self.host, (self.plain, self.port) = host, ports
        self.url = f"https://{host}:{self.port}"


def haproxy(folder: Path, servers, host: str, more: dict[str, str]) -> Proxy:
    ports = free_port(host), free_port(host)
    changes = {
        "bind :80": f"bind {host}:{ports[0]}",
        "bind :443": f"bind {host}:{ports[1]}",
        "/etc/haproxy/silo.pem": str(folder / "silo.pem"),
        "maxconn 50000": "maxconn 500",
        "127.0.0.1:8001": servers[0].url.removeprefix("http://"),
        "127.0.0.1:8002": servers[1].url.removeprefix("http://"),
    } | more
    configuration = folder / "haproxy.cfg"
    configuration.write_text(changed(printed("haproxy"), changes))
    return Proxy("haproxy", "-db", "-f", str(configuration), host=host, ports=ports)


def nginx(folder: Path, servers, host: str, more: dict[str, str]) -> Proxy:
    ports = free_port(host), free_port(host)
    changes = {
        "listen 80": f"listen {host}:{ports[0]}",
        "listen 443": f"listen {host}:{ports[1]}",
        "/etc/nginx/silo.crt": str(folder / "silo.crt"),
        "/etc/nginx/silo.key": str(folder / "silo.key"),
        "127.0.0.1:8001": servers[0].url.removeprefix("http://"),
        "127.0.0.1:8002": servers[1].url.removeprefix("http://"),
    } | more
    site, main = folder / "silo.conf", folder / "nginx.conf"
    site.write_text(changed(printed("nginx"), changes))
    temporary = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log stderr info;\n"
        "events { worker_connections 500; }\n"
        f"http {{\n    access_log off;\n{temporary}    include {site};\n}}\n"
    )
    return Proxy("nginx", "-c", str(main), "-p", str(folder), host=host, ports=ports)


PROXIES = {"haproxy": haproxy, "nginx": nginx}


def is_ready_through(proxy) -> bool:
    try:
        return httpx.get(f"{proxy.url}/ready", timeout=3).status_code == 200
    except httpx.TransportError:
        return False
