"""`manage.py restore`: reads a file of `manage.py backup` into an empty database, and begins a new epoch."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection

from events_app.database import others, sql
from sessions_app.management.commands.newepoch import Command as NewEpoch
from silo import dumps

# What this process and pg_restore say at the start of each connection, as `sql.let_others_write` keeps others from it.
_WRITING: Final = " -c default_transaction_read_only=off"


class Command(BaseCommand):
    help = (
        "Read a file of `backup` into an empty database by pg_restore, migrate it, and begin a new epoch as `newepoch`"
        " does. Stop servers and sweepers before: it refuses while one is connected. Until it ends, the database has"
        " everybody else only read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a file that `backup` wrote")
        NewEpoch().add_arguments(parser)

    def handle(self, *args: Any, file: Path, above: int, **options: Any) -> None:
        if not file.is_file():
            raise CommandError(f"There is no file {file}; nothing was changed.")
        connection.close()
        connection.settings_dict["OPTIONS"]["options"] += _WRITING
        if connection.introspection.table_names():
            raise CommandError(
                "The database has tables; nothing was changed. Name an empty one in DATABASE_URL, by createdb."
            )
        self._keep_others_from_writing()
        try:
            self._restore(file)
        except BaseException:
            sql.let_others_write(True)
            raise
        try:
            call_command("migrate", verbosity=0)
            call_command("newepoch", above=above, stdout=self.stdout)
        except BaseException:
            self.stderr.write(
                "The data are restored, and no epoch has begun; so the database lets nobody write. See that no server"
                f" runs. Then type `BEGIN READ WRITE; ALTER DATABASE {dumps.name()} RESET"
                " default_transaction_read_only; COMMIT` into psql, and run `migrate` and `newepoch`."
            )
            raise
        sql.let_others_write(True)
        # Theirs would go on reading only.
        others.end(others.services())
        self.stdout.write(f"Restored {file}. Start the servers.")

    def _keep_others_from_writing(self) -> None:
        """Have the database refuse writes of servers that come while it has the data, and not yet the new epoch.

        Raises:
            CommandError: this user may not change that.
        """
        try:
            sql.let_others_write(False)
        except DatabaseError as error:
            raise CommandError(
                f"{' '.join(str(error).split())}. Nothing was changed. The user of DATABASE_URL has to own the"
                " database, so that it can keep servers from writing before the new epoch: ALTER DATABASE … OWNER TO …."
            ) from error

    def _restore(self, file: Path) -> None:
        """Read all of the file, or nothing.

        Raises:
            CommandError: a server is connected, or may be, or pg_restore failed.
        """
        if running := others.services():
            raise CommandError(
                f"Connected to this database: {others.listed(running)}. Nothing was changed. Stop every server and"
                " sweeper: they would work on what is restored before its new epoch."
            )
        connection.close()
        dumps.run(
            "pg_restore",
            "--exit-on-error",
            "--single-transaction",
            "--no-owner",
            "--no-privileges",
            f"--dbname={dumps.name()}",
            str(file),
        )
