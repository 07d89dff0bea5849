"""A Django database backend: PostgreSQL, started when the first connection is asked for.

::

    DATABASES = {
        "default": {
            "ENGINE": "silo.embedded_postgres",
            "NAME": "silo",
            "OPTIONS": {"var": BASE_DIR / "var"},
        }
    }

With `"make": False` among the options a database that is not there is not made.

The launcher says host, port and user, the settings say the database's name; everything else,
the pool among it, is Django's own PostgreSQL backend.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base, client
from django.db.utils import OperationalError

from silo.embedded_postgres.launcher import (
    ConnectionParams,
    EmbeddedPostgres,
    EmbeddedPostgresError,
)

_servers: dict[Path, EmbeddedPostgres] = {}
_servers_lock = threading.Lock()


def server_for(settings_dict: dict[str, Any]) -> EmbeddedPostgres:
    """This process's one handle of the server that the settings mean; starts nothing."""
    var = settings_dict["OPTIONS"].get("var")
    if not var:
        raise ImproperlyConfigured(
            "settings.DATABASES with silo.embedded_postgres needs OPTIONS['var'], the folder"
            " that holds the database."
        )
    path = Path(var).absolute()
    with _servers_lock:
        if path not in _servers:
            make = settings_dict["OPTIONS"].get("make", True)
            _servers[path] = EmbeddedPostgres(path, make=make)
        return _servers[path]


def _ensure_running(server: EmbeddedPostgres) -> ConnectionParams:
    try:
        return server.ensure_running()
    except (EmbeddedPostgresError, OSError) as error:
        # What callers expect of a database that is not there. Without a free descriptor or with a full disk nobody can
        # look whether it is.
        raise OperationalError(str(error)) from error


class DatabaseClient(client.DatabaseClient):
    """`manage.py dbshell`, with the psql that belongs to the server."""

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        server = server_for(settings_dict)
        params = _ensure_running(server)
        known = {"HOST": params.host, "PORT": params.port, "USER": params.user}
        arguments, environment = super().settings_to_cmd_args_env(
            {**settings_dict, **known}, list(parameters)
        )
        return [str(server.program("psql")), *arguments[1:]], environment


class DatabaseWrapper(base.DatabaseWrapper):
    client_class = DatabaseClient
    _connection_pools: ClassVar[dict[str, Any]]  # the stubs do not know it

    def get_connection_params(self) -> dict[str, Any]:
        params = super().get_connection_params()
        for own in ("var", "make"):
            params.pop(own, None)
        running = _ensure_running(server_for(self.settings_dict))
        return {**params, "host": running.host, "port": running.port, "user": running.user}

    def close_pool(self) -> None:
        # Django's own would first create the pool that it closes, which starts the server.
        if self.alias in self._connection_pools:
            super().close_pool()
