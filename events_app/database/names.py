"""The name of a connection in PostgreSQL's lists (`pg_stat_activity`) and log: `silo serve`, `silo relay`."""

from typing import Final

# PostgreSQL cuts a longer name.
NAME_BYTES: Final = 63

# Purposes of the connections of servers and sweepers; `silo/database.py` and `parameters_for` give them.
SERVICES: Final = frozenset({"serve", "relay", "notifications", "metrics", "start", "sweeper"})


def is_service(name: str) -> bool:
    """Return whether a connection of this name is, or may be, a server's or a sweeper's.

    Those of version 1.3 and before have no name.
    """
    return not name or name.rpartition(" ")[2] in SERVICES


def named(client: str, purpose: str) -> str:
    """Return the `application_name` of a connection. A long name of the client is cut, not what the connection is for.

    Args:
        client: which installation connects.
        purpose: what for.
    """
    behind = f" {purpose}".encode()[:NAME_BYTES]
    before = client.encode()[: NAME_BYTES - len(behind)]
    return (before + behind).decode(errors="ignore").strip()
