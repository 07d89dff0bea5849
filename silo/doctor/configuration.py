"""The settings, each with where it came from, and what is wrong about them."""

import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from django.conf import settings
from django.core import checks

from events_app import timings
from events_app.serving import server
from silo import environment
from silo.doctor.findings import Finding, ok, problem, warning

HIDDEN: Final = "(hidden)"
NOT_SET: Final = "(not set)"
# One for each open stream, beside those of the server itself.
FEW_DESCRIPTORS: Final = 4_096


class Value(NamedTuple):
    """One setting: its key, its value as text, and where it came from."""

    key: str
    shown: str
    source: str


def values() -> Iterator[Value]:
    """Yield all settings. Secrets are hidden."""
    config = os.environ.get("SILO_CONFIG") or "silo.yaml"
    for name, section in (
        ("modules.sessions", settings.SESSIONS),
        ("server", settings.SERVER),
        ("limits", settings.LIMITS),
        ("accounts", settings.ACCOUNTS),
    ):
        for key, field in type(section).model_fields.items():
            value = getattr(section, key)
            shown = str(value)
            if not field.repr and value:
                shown = HIDDEN
            elif value is None:
                # Only the secret key has no value of its own: it is made in the data folder.
                shown = "(generated)"
            elif value == "":
                shown = NOT_SET
            given = config if key in section.model_fields_set else "default"
            yield Value(f"{name}.{key}", shown, environment.where(key) or given)
    yield _database_url()
    yield Value(
        "data folder",
        str(settings.VAR_DIR),
        "SILO_VAR" if os.environ.get("SILO_VAR") else "default",
    )


def _database_url() -> Value:
    if not os.environ.get("DATABASE_URL"):
        return Value("database", "the embedded PostgreSQL", "default")
    parts = settings.DATABASES["default"]
    password = f":{HIDDEN}" if parts["PASSWORD"] else ""
    where = f"{parts['HOST'] or 'local socket'}{':' * bool(parts['PORT'])}{parts['PORT']}"
    shown = f"postgresql://{parts['USER']}{password}@{where}/{parts['NAME']}"
    return Value("database", shown, "DATABASE_URL")


def findings() -> Iterator[Finding]:
    """Yield what is wrong about the settings, and about what the machine allows."""
    yield from _of_checks()
    yield from _of_proxy()
    yield from _of_sockets()


def _of_checks() -> Iterator[Finding]:
    faults = [one for one in checks.run_checks() if one.is_serious()]
    for fault in faults:
        yield problem("settings", str(fault.msg), fault.hint or "See README.md, Configuration.")
    if not faults:
        yield ok("settings", "The settings fit together.")


def _of_proxy() -> Iterator[Finding]:
    config = settings.SERVER
    if "*" in config.allowed_hosts:
        yield warning(
            "hosts",
            "server.allowed_hosts allows any name.",
            "Name the hosts under which the service is reached.",
        )
    if not config.https and not config.trusted_proxies:
        return
    grace = settings.SESSIONS.disconnect_grace_seconds
    if grace:
        yield ok("grace", f"Clients have {grace:g} s to come back after a restart of the proxy.")
    else:
        yield warning(
            "grace",
            "There is a proxy, and no grace: its restart releases every lock.",
            "Set modules.sessions.disconnect_grace_seconds to 15.",
        )
    if not config.trusted_proxies:
        yield warning(
            "proxy",
            "There is a proxy that server.trusted_proxies does not name: limits and log lines take its address for"
            " that of every client.",
            "Name the address of the proxy in server.trusted_proxies.",
        )


def _of_sockets() -> Iterator[Finding]:
    wanted = int(timings.configured().user_timeout * 1000)
    with server.listening_socket("127.0.0.1", 0, timings.configured()) as listening:
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        found = listening.getsockopt(socket.IPPROTO_TCP, option) if option is not None else 0
        keeps_alive = listening.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if found == wanted and keeps_alive:
        yield ok("sockets", f"A dead client is noticed after {wanted / 1000:g} s of silence.")
    else:
        yield warning(
            "sockets",
            "This system has no TCP_USER_TIMEOUT: a pulled cable is noticed late.",
            "Run servers on Linux, or have all clients acknowledge (ack=true).",
        )
    backlog = _most_waiting()
    if backlog is not None and backlog < server.BACKLOG:
        yield warning(
            "sockets",
            f"net.core.somaxconn is {backlog}: after a restart, clients that come back at once are refused.",
            f"Set net.core.somaxconn to {server.BACKLOG}.",
        )
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if descriptors != resource.RLIM_INFINITY and descriptors < FEW_DESCRIPTORS:
        yield warning(
            "descriptors",
            f"A process may open {descriptors} files, which is fewer streams.",
            "Raise LimitNOFILE of systemd, or ulimit -Hn, to 65536.",
        )
    else:
        count = "any number of" if descriptors == resource.RLIM_INFINITY else descriptors
        yield ok("descriptors", f"A process started here may open {count} files.")


def _most_waiting() -> int | None:
    try:
        return int(Path("/proc/sys/net/core/somaxconn").read_text())
    except (OSError, ValueError):
        return None
