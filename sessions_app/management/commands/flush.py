"""`manage.py flush`: Django's own, which deletes no record unless it is told to, and leaves a database that works."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.flush import Command as Flush
from django.db import connections, transaction

from events_app.database import sql
from sessions_app.migrating import what_would_be_lost

# What the trigger on the record asks for; the tests have it set.
MAY_EMPTY = "silo.empty_the_record"


class Command(Flush):
    help = f"{Flush.help} Refuses where there is a record of ended sessions."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--yes-delete-the-record",
            action="store_true",
            help="delete the record of ended sessions too, which nothing brings back",
        )

    def handle(self, **options: Any) -> None:
        database = options["database"]
        allowed = options["yes_delete_the_record"] or sql.setting(MAY_EMPTY) == "yes"
        if not allowed and (kept := what_would_be_lost(database)):
            raise CommandError(
                f"Nothing was deleted: there is {kept}, which no one may delete. Where it is to go, add "
                "--yes-delete-the-record."
            )
        if options["interactive"] and not _confirmed(connections[database].settings_dict["NAME"]):
            self.stdout.write("Flush cancelled.")
            return
        # The rows without which no server starts are back in the same moment.
        with transaction.atomic(using=database):
            sql.set_for_transaction(MAY_EMPTY, "yes")
            super().handle(**options | {"interactive": False})


def _confirmed(name: str) -> bool:
    return input(f"This deletes ALL data in the database {name}. Type 'yes' to go on: ") == "yes"
