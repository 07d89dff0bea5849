"""The database backend that `ENGINE` names: Django's own for PostgreSQL, on a server that it starts when it connects.

`server.py` says the host and the port; everything else, the connection pool among it, is Django's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base, client
from django.db.utils import OperationalError

from django_embedded_postgres.errors import EmbeddedPostgresError
from django_embedded_postgres.server import ConnectionParams, EmbeddedPostgres

# Members of OPTIONS that are this backend's. libpq must not see them.
OWN_OPTIONS = ("folder", "create", "hint")

_servers: dict[Path, EmbeddedPostgres] = {}
_servers_lock = threading.Lock()


def server_for(settings_dict: dict[str, Any]) -> EmbeddedPostgres:
    """Return this process's one object for the server that the settings name. Nothing is started.

    Raises:
        ImproperlyConfigured: the settings name no folder, or two users for one folder.
    """
    options = settings_dict["OPTIONS"]
    if not options.get("folder"):
        raise ImproperlyConfigured(
            "An entry of settings.DATABASES with ENGINE django_embedded_postgres needs"
            " OPTIONS['folder'], the folder that holds the database: make the entry with"
            " django_embedded_postgres.database(folder)."
        )
    folder = Path(options["folder"]).absolute()
    user = settings_dict.get("USER") or "django"
    with _servers_lock:
        server = _servers.get(folder)
        if server is None:
            server = EmbeddedPostgres(folder, user=user, create=options.get("create", True))
            _servers[folder] = server
        if server.user != user:
            raise ImproperlyConfigured(
                f"settings.DATABASES names two users for the server in {folder}, {server.user} and"
                f" {user}: a server has one, so name the same user in both entries."
            )
        return server


def _ensure_running(settings_dict: dict[str, Any]) -> ConnectionParams:
    try:
        return server_for(settings_dict).ensure_running(settings_dict["NAME"] or None)
    except (EmbeddedPostgresError, OSError) as error:
        # An OSError too: without a free descriptor, or with a full disk, nobody can find out whether the server runs.
        # OperationalError is what Django's callers expect of a database that does not answer.
        hint = settings_dict["OPTIONS"].get("hint")
        raise OperationalError(f"{error} {hint}" if hint else str(error)) from error


class DatabaseClient(client.DatabaseClient):
    """`manage.py dbshell`, with the psql that belongs to the server."""

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        params = _ensure_running(settings_dict)
        known = {"HOST": params.host, "PORT": params.port, "USER": params.user}
        arguments, environment = super().settings_to_cmd_args_env(
            {**settings_dict, **known}, list(parameters)
        )
        psql = server_for(settings_dict).program("psql")
        return [str(psql), *arguments[1:]], environment


class DatabaseWrapper(base.DatabaseWrapper):
    client_class = DatabaseClient
    _connection_pools: ClassVar[dict[str, Any]]  # from Django 5.1 on; the stubs do not know it

    def get_connection_params(self) -> dict[str, Any]:
        params = super().get_connection_params()
        for own in OWN_OPTIONS:
            params.pop(own, None)
        running = _ensure_running(self.settings_dict)
        return {**params, "host": running.host, "port": running.port, "user": running.user}

    def close_pool(self) -> None:
        # Django's own would first create the pool that it closes, which starts the server.
        if self.alias in getattr(self, "_connection_pools", ()):
            super().close_pool()
