"""PostgreSQL's own programs for clients, of the version that is tested."""

import os
from pathlib import Path

from django.db import connection

from django_embedded_postgres import binaries


def path_with_them() -> str:
    """Return a PATH on which they come first."""
    version = connection.pg_version // 10_000
    embedded = binaries.installs(binaries.wheel_folder())
    install = embedded.get(version, Path(f"/usr/lib/postgresql/{version}"))
    return f"{install}/bin:{os.environ['PATH']}"
