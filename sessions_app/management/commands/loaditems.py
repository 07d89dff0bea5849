"""`manage.py loaditems FILE.csv`: loads a part list."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sessions_app import item_file


class Command(BaseCommand):
    help = "Load items from a CSV file with the columns part_number, description, item_type; all or none."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the CSV file, in UTF-8 with a header line")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        try:
            loaded = item_file.load(file, self._progress)
        except item_file.BadFile as error:
            raise CommandError("Nothing was loaded.\n" + "\n".join(error.faults)) from error
        self.stdout.write(f"{loaded.new} new items, {loaded.changed} changed.")

    def _progress(self, doing: str, lines: int) -> None:
        if lines % (10 * item_file.BATCH) == 0 and lines:
            self.stderr.write(f"{doing} {lines} lines")
