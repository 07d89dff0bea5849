"""`manage.py upgrade`: looks, takes a backup, migrates the database to this version, and looks again."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from silo import dumps
from silo.doctor import database, upgrading
from silo.doctor.findings import Finding, Level, lines


class Command(BaseCommand):
    help = (
        "Say what an upgrade of the database to this version would do, and what stands in its way; nothing is changed."
        " With --backup or --no-backup: do it if nothing stands in its way, and look again. Exit code 1: there is a"
        " problem."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        do = parser.add_mutually_exclusive_group()
        do.add_argument(
            "--backup",
            type=Path,
            metavar="FILE",
            help="write a backup into this new file, and migrate",
        )
        do.add_argument("--no-backup", action="store_true", help="migrate without a backup")

    def handle(self, *args: Any, backup: Path | None, no_backup: bool, **options: Any) -> None:
        self._show(list(upgrading.findings()), "Nothing was changed.")
        steps = upgrading.plan()
        if not steps:
            unneeded = ", so no backup was taken" if backup else ""
            self.stdout.write(f"The database is at this version already{unneeded}.")
            return
        call_command("migrate", plan=True, skip_checks=True, stdout=self.stdout)
        if not (backup or no_backup):
            self.stdout.write("Nothing was changed. --backup FILE takes a backup, and does this.")
            return
        if backup:
            dumps.write(backup)
            self.stdout.write(f"Wrote {backup}, {backup.stat().st_size} bytes.")
            # That took a while.
            self._show(list(upgrading.findings()), "Nothing was migrated; the backup is there.")
        try:
            call_command("migrate", interactive=False, skip_checks=True, stdout=self.stdout)
        except OperationalError as error:
            again = "--no-backup, as the backup is there" if backup else "--no-backup"
            raise CommandError(
                f"Not all is applied: {' '.join(str(error).split())}. What is applied stays: type it again with"
                f" {again}."
            ) from error
        self.check(databases=["default"])
        self._show(list(database.findings()), "The database is migrated.")
        self.stdout.write("Upgraded. Restart the servers, then the sweeper; doctor looks at them.")

    def _show(self, found: list[Finding], state: str) -> None:
        """Print findings.

        Raises:
            CommandError: one of them is a problem.
        """
        for line in lines(found):
            self.stdout.write(line)
        if any(one.level is Level.PROBLEM for one in found):
            raise CommandError(f"There is a problem. {state}")
