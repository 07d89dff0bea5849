"""Times that PostgreSQL sends, read by Python's own parser. That of psycopg takes ten times as long."""

from datetime import UTC, datetime
from typing import Any

from django.db.backends.postgresql.psycopg_any import BaseTzLoader


class TimeLoader(BaseTzLoader):  # type: ignore[misc]
    """Reads a time of a connection whose time zone is UTC; leaves any other one to Django's way."""

    timezone = UTC

    def load(self, data: Any) -> datetime:
        text = str(data, "ascii")
        if text.endswith("+00"):
            try:
                return datetime.fromisoformat(text)
            except ValueError:  # a year that Python does not know, say
                pass
        loaded: datetime = super().load(data)
        return loaded


def use(*, connection: Any, **signal: Any) -> None:
    """Have a new connection of Django's read times so."""
    connection.connection.adapters.register_loader("timestamptz", TimeLoader)
