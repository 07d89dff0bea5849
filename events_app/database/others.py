"""The other connections to the database, as PostgreSQL lists them."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from events_app.database import sql
from events_app.database.names import is_service

# The longest transactions of servers and sweepers, those with large batches, take about a second.
LONG_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Other:
    """A connection to the database.

    Args:
        pid: of its process at the database.
        name: its `application_name`; empty if it has none.
        address: of the machine from which it comes; empty if it is the database's own.
    """

    pid: int
    name: str
    address: str

    def __str__(self) -> str:
        where = self.address or "a local socket"
        return f"{self.name or 'a connection without a name'} ({where})"


def services() -> list[Other]:
    """Return the connections that are, or may be, those of servers and sweepers.

    Raises:
        django.db.Error: the database cannot be asked.
    """
    everybody = (Other(*row) for row in sql.answer_to(sql.OTHERS))
    return [one for one in everybody if is_service(one.name)]


def end(some: Iterable[Other]) -> None:
    """End connections, as far as they are of the same user as this one. Servers and sweepers make new ones.

    Raises:
        django.db.Error: the database cannot be asked.
    """
    sql.answer_to(sql.END_OWN, [one.pid for one in some])


def long_locking() -> list[Other]:
    """Return the connections that keep locks on tables for longer than any server does. With locks it takes a while.

    Raises:
        django.db.Error: the database cannot be asked.
    """
    before = {row[:2] for row in sql.answer_to(sql.LOCKING)}
    if not before:
        return []
    time.sleep(LONG_SECONDS)
    return [Other(*row[1:]) for row in sql.answer_to(sql.LOCKING) if row[:2] in before]


def listed(others: Iterable[Other]) -> str:
    """Return the connections as a text, those that look alike once."""
    counts = Counter(map(str, others))
    return ", ".join(
        f"{count} times {text}" if count > 1 else text for text, count in counts.items()
    )
