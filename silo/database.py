"""The one database: an external PostgreSQL by `DATABASE_URL`, else the embedded one."""

from pathlib import Path
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

# With the relay's own connection a server process stays below ten. Requests wait for a free one in the event
# loop (see silo/asgi.py), so the time-out is only reached when the database itself hangs.
POOL_MAX_SIZE = 8
POOL_TIMEOUT_SECONDS = 10
# A server that cannot be reached is an answer too; libpq would wait for minutes.
CONNECT_TIMEOUT_SECONDS = 5


def settings(url: str | None, var: Path) -> dict[str, Any]:
    """Return Django's `DATABASES["default"]`.

    Args:
        url: `postgresql://user:password@host:port/name?option=value`, or None for the embedded PostgreSQL.
        var: the data folder; the embedded PostgreSQL lives in it.

    Raises:
        ImproperlyConfigured: if the URL is not one of a PostgreSQL.
    """
    pool = {"min_size": 0, "max_size": POOL_MAX_SIZE, "timeout": POOL_TIMEOUT_SECONDS}
    common: dict[str, Any] = {
        # A pool wants connections handed back at the end of a request, and probed when they are taken.
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
    }
    if not url:
        return common | {
            "ENGINE": "silo.embedded_postgres",
            "NAME": "silo",
            "OPTIONS": {"var": str(var), "pool": pool},
        }
    return common | _from_url(url, pool)


def _from_url(url: str, pool: dict[str, Any]) -> dict[str, Any]:
    if not url.startswith(("postgresql://", "postgres://")):
        raise ImproperlyConfigured("DATABASE_URL must begin with postgresql://")
    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError as error:
        # The message of libpq may quote the URL, and with it the password.
        raise ImproperlyConfigured("DATABASE_URL is not a valid PostgreSQL URL") from error
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        "OPTIONS": {"connect_timeout": CONNECT_TIMEOUT_SECONDS, **parts, "pool": pool},
    }
