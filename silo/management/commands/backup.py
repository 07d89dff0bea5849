"""`manage.py backup`: writes the whole database into a file, while the servers run."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from silo import dumps


class Command(BaseCommand):
    help = (
        "Write the whole database into a new file by pg_dump, while the servers run. The file is its owner's alone."
        " `restore` reads it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="the file, which must not exist")

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        # A backup that was interrupted must not look like one.
        unfinished = file.with_name(f"{file.name}.unfinished-{os.getpid()}")
        if file.exists():
            raise CommandError(f"{file} exists; nothing was written.")
        try:
            dumps.run(
                "pg_dump",
                "--format=custom",
                "--no-owner",
                "--no-privileges",
                f"--file={unfinished}",
            )
            unfinished.rename(file)
        finally:
            unfinished.unlink(missing_ok=True)
        self.stdout.write(f"Wrote {file}, {file.stat().st_size} bytes.")
