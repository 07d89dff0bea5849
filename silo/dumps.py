"""PostgreSQL's own programs for dumps, on the database of the settings."""

import os
import shutil
import subprocess
from pathlib import Path

from django.core.management.base import CommandError
from django.db import connection
from psycopg.pq import Conninfo


def write(file: Path) -> None:
    """Write the database into a new file, which its user alone may read.

    Raises:
        CommandError: the file exists, or there is no `pg_dump`, or it failed; then there is no file.
    """
    # A backup that was interrupted must not look like one.
    unfinished = file.with_name(f"{file.name}.unfinished-{os.getpid()}")
    if file.exists():
        raise CommandError(f"{file} exists; nothing was written.")
    try:
        run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={unfinished}")
        unfinished.rename(file)
    finally:
        unfinished.unlink(missing_ok=True)


def run(program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL, which connects as this process does; files that it makes are its user's alone.

    Args:
        program: `pg_dump` or `pg_restore`: that of the embedded PostgreSQL, else found by the PATH.
        arguments: its own.

    Raises:
        CommandError: there is no such program, or it failed; with what it says.
    """
    found = _find(program)
    if found is None:
        raise CommandError(
            f"There is no {program} on the PATH: install PostgreSQL's programs for clients, of"
            " the database's version or newer."
        )
    # By the environment: everybody on this machine sees the arguments, and one of these is the password.
    done = subprocess.run(  # noqa: S603 - PostgreSQL's own, and a path
        [found, "--no-password", *arguments],
        env={**os.environ, **_surroundings()},
        capture_output=True,
        text=True,
        umask=0o077,
        check=False,
    )
    if done.returncode:
        raise CommandError(done.stderr.strip() or f"{program} ended with {done.returncode}")


def name() -> str:
    """Return the database's name."""
    return str(connection.get_connection_params().get("dbname", ""))


def _find(program: str) -> str | None:
    if connection.settings_dict["ENGINE"] == "django_embedded_postgres":
        # A server with a DATABASE_URL need not have it.
        from django_embedded_postgres.base import server_for

        return str(server_for(connection.settings_dict).program(program))
    return shutil.which(program)


def _surroundings() -> dict[str, str]:
    """Return the variables by which libpq connects as Django does."""
    given = connection.get_connection_params()
    variables = {
        option.keyword.decode(): option.envvar.decode()
        for option in Conninfo.get_defaults()
        if option.envvar
    }
    return {
        variable: str(given[keyword])
        for keyword, variable in variables.items()
        if given.get(keyword) is not None
    }
