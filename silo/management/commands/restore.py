"""`manage.py restore`: reads a file of `manage.py backup` into an empty database, and begins a new epoch."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from events_app.database import others
from sessions_app.management.commands.newepoch import Command as NewEpoch
from silo import dumps


class Command(BaseCommand):
    help = (
        "Read a file of `backup` into an empty database by pg_restore, migrate it, and begin a new epoch as `newepoch`"
        " does. Stop servers and sweepers before: it refuses while one is connected."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="a file that `backup` wrote")
        NewEpoch().add_arguments(parser)

    def handle(self, *args: Any, file: Path, above: int, **options: Any) -> None:
        if not file.is_file():
            raise CommandError(f"There is no file {file}; nothing was changed.")
        if connection.introspection.table_names():
            raise CommandError(
                "The database has tables; nothing was changed. Name an empty one in DATABASE_URL, by createdb."
            )
        if running := others.services():
            raise CommandError(
                f"Connected to this database: {others.listed(running)}. Nothing was changed. Stop every server and"
                " sweeper: they would work on what is restored before its new epoch."
            )
        connection.close()
        # All of it or nothing.
        dumps.run(
            "pg_restore",
            "--exit-on-error",
            "--single-transaction",
            "--no-owner",
            "--no-privileges",
            f"--dbname={dumps.name()}",
            str(file),
        )
        try:
            call_command("migrate", verbosity=0)
            call_command("newepoch", above=above, stdout=self.stdout)
        except BaseException:
            self.stderr.write(
                "The data are restored, and no epoch has begun: before any server starts, run `migrate` and `newepoch`."
            )
            raise
        self.stdout.write(f"Restored {file}. Start the servers.")
