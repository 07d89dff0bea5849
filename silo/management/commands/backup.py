"""`manage.py backup`: writes the whole database into a file, while the servers run."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from silo import dumps


class Command(BaseCommand):
    help = (
        "Write the whole database into a new file by pg_dump, while the servers run. The file is its owner's alone."
        " `restore` reads it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the file, which must not exist")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        dumps.write(file)
        self.stdout.write(f"Wrote {file}, {file.stat().st_size} bytes.")
