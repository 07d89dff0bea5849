"""A Django database backend that brings its own PostgreSQL: started on first use, stopped by its last process.

::

    from django_embedded_postgres import database

    DATABASES = {"default": database(BASE_DIR / "var")}
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from django_embedded_postgres.errors import EmbeddedPostgresError
from django_embedded_postgres.server import ConnectionParams, EmbeddedPostgres

__all__ = ["ConnectionParams", "EmbeddedPostgres", "EmbeddedPostgresError", "database"]


def database(
    folder: str | os.PathLike[str],
    *,
    name: str = "django",
    user: str = "django",
    create: bool = True,
    hint: str = "",
    options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Return an entry of Django's `DATABASES`. Calling it starts nothing and writes nothing.

    Args:
        folder: the folder that holds the server's data, its log and its lock files. Every process that names the same
            folder shares one server.
        name: the database in it. It is created where it is missing.
        user: the PostgreSQL superuser as which Django connects. The first start gives it its name, for good.
        create: whether the folder and the server's data are created where they are missing. If not, connecting fails
            with `OperationalError`, and nothing is written.
        hint: a sentence that ends each error message: what the people who run this project can do instead.
        options: further `OPTIONS` of Django's own PostgreSQL backend, such as `{"pool": True}`.
        settings: further members of the entry, such as `CONN_MAX_AGE=60`.
    """
    own = {"folder": os.fspath(folder), "create": create, "hint": hint}
    return {
        "ENGINE": "django_embedded_postgres",
        "NAME": name,
        "USER": user,
        "OPTIONS": {**(options or {}), **own},
        **settings,
    }
