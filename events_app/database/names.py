"""The name of a connection in PostgreSQL's lists (`pg_stat_activity`) and log: `silo serve`, `silo relay`."""

from typing import Final

# PostgreSQL cuts a longer name.
NAME_BYTES: Final = 63


def named(client: str, purpose: str) -> str:
    """Return the `application_name` of a connection. A long name of the client is cut, not what the connection is for.

    Args:
        client: which installation connects.
        purpose: what for.
    """
    behind = f" {purpose}".encode()[:NAME_BYTES]
    before = client.encode()[: NAME_BYTES - len(behind)]
    return (before + behind).decode(errors="ignore").strip()
