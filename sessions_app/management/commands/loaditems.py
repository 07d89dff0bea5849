"""`manage.py loaditems FILE`: loads a part list as other programs export it."""

import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from shutil import copyfileobj
from typing import Any, BinaryIO, cast

from django.core.management.base import BaseCommand, CommandError

from sessions_app import item_file
from sessions_app.item_file import Change, Loaded, Loading
from sessions_app.part_list import COLUMNS, Layout, PartList, shown_short
from sessions_app.text_encoding import BadFile

NAMES = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8", "cp1252": "Windows-1252"}
NAMES_OF_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


class Command(BaseCommand):
    help = (
        "Load items from a part list in CSV; all or none. Of its columns part_number, description and item_type are "
        "taken, in whichever case and order. An item that is known keeps what the list does not say."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="the part list; - is the standard input")
        parser.add_argument(
            "--dry-run", action="store_true", help="change nothing, show what would be changed"
        )
        parser.add_argument(
            "--column",
            action="append",
            default=[],
            metavar="NAME=HEADING",
            help='where a column has another heading: --column part_number="MPN"; once for each',
        )
        parser.add_argument(
            "--delimiter",
            default="",
            help="what is between two cells: , ; | or tab (default: found by the headings)",
        )
        parser.add_argument(
            "--encoding",
            default="",
            help="utf-8, cp1252, utf-16, ... (default: by the byte order mark, else UTF-8, else Windows-1252)",
        )
        parser.add_argument(
            "--quotes",
            choices=["standard", "unescaped", "none"],
            default="standard",
            help="quotation marks in a cell in quotation marks are doubled (standard) or are not (unescaped); "
            "or they mean nothing (none)",
        )
        parser.add_argument(
            "--skip-lines",
            type=int,
            default=0,
            metavar="N",
            help="skip this number of lines before the headings",
        )
        parser.add_argument(
            "--last-line", type=int, default=0, metavar="N", help="read no further than this line"
        )
        parser.add_argument(
            "--short-rows",
            action="store_true",
            help="a row may lack its last cells, as where Excel leaves out what is empty",
        )
        parser.add_argument(
            "--skip-unnumbered", action="store_true", help="pass over rows without a part number"
        )
        parser.add_argument(
            "--first-of-doubles",
            action="store_true",
            help="use the first of several rows that differ for one part (default: an error)",
        )
        parser.add_argument(
            "--clear-empty",
            action="store_true",
            help="let an empty cell clear the item's value (default: keep the value)",
        )

    def handle(self, *args: Any, file: str, dry_run: bool, verbosity: int, **options: Any) -> None:
        layout = _layout(options)
        try:
            with _opened(file) as source:
                parts = PartList(source, layout)
                if verbosity:
                    self.stderr.write(_how_read(parts))
                loading = Loading(
                    parts,
                    self._progress,
                    clear_empty=options["clear_empty"],
                    skip_unnumbered=options["skip_unnumbered"],
                    first_of_doubles=options["first_of_doubles"],
                    dry_run=dry_run,
                )
                loaded = loading.run()
        except BadFile as error:
            raise CommandError("Nothing was loaded.\n" + "\n".join(error.faults)) from error
        except FileNotFoundError:
            raise CommandError(f"Nothing was loaded: there is no file {file}.") from None
        except OSError as error:
            raise CommandError(f"Nothing was loaded: {file} cannot be read: {error}.") from error
        if dry_run:
            self._show(loaded)
        self.stdout.write(_summary(loaded, dry_run))

    def _show(self, loaded: Loaded) -> None:
        for number in loaded.new_ones:
            self.stdout.write(f"new: {number}")
        if loaded.new > len(loaded.new_ones):
            self.stdout.write(f"new: and {loaded.new - len(loaded.new_ones)} more")
        for changes in loaded.changes:
            for change in changes:
                self.stdout.write(_shown(change))
        if loaded.changed > len(loaded.changes):
            self.stdout.write(f"changed: and {loaded.changed - len(loaded.changes)} more")

    def _progress(self, doing: str, rows: int) -> None:
        if rows % (10 * item_file.BATCH) == 0:
            self.stderr.write(f"{doing} {rows} rows")


def _layout(options: dict[str, Any]) -> Layout:
    delimiter = NAMES_OF_DELIMITERS.get(options["delimiter"], options["delimiter"])
    if len(delimiter) > 1 or delimiter in {'"', "\r", "\n"}:
        raise CommandError(
            "--delimiter must be one character other than a quotation mark, or the word tab."
        )
    if options["skip_lines"] < 0 or options["last_line"] < 0:
        raise CommandError("--skip-lines and --last-line are 0 or more.")
    return Layout(
        encoding=options["encoding"],
        delimiter=delimiter,
        quotes=options["quotes"],
        columns=_columns(options["column"]),
        skip_lines=options["skip_lines"],
        last_line=options["last_line"],
        short_rows=options["short_rows"],
    )


def _columns(named: list[str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for text in named:
        name, equals, heading = text.partition("=")
        if name not in COLUMNS or not equals or not heading.strip():
            raise CommandError(
                f"--column is NAME=HEADING, and NAME one of {', '.join(COLUMNS)}; not {text!r}."
            )
        if name in columns:
            raise CommandError(f"--column {name} is given twice.")
        columns[name] = heading.strip()
    return columns


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """Open the list; what can be read only once is copied into a temporary file, for it is read twice."""
    with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as source:
        if name != "-" and source.seekable():
            yield cast(BinaryIO, source)
            return
        with tempfile.TemporaryFile() as copy:
            copyfileobj(source, copy)
            yield cast(BinaryIO, copy)


def _how_read(parts: PartList) -> str:
    """Say how the list was understood, for a person who sees what does not fit."""
    encoding = NAMES.get(parts.encoding, parts.encoding)
    taken = ", ".join(
        f"{name} from {shown_short(heading)}" for name, heading in parts.taken().items()
    )
    left = ", ".join(map(shown_short, parts.left_out()))
    told = f"Read as {encoding} with {parts.delimiter!r} between cells: {taken}"
    return told + (f"; not taken: {left}." if left else ".")


def _shown(change: Change) -> str:
    return f"changed: {change.part_number}: {change.column} {shown_short(change.old)} -> {shown_short(change.new)}"


def _summary(loaded: Loaded, dry_run: bool) -> str:
    told = f"{loaded.new} new items, {loaded.changed} changed, {loaded.unchanged} unchanged."
    if loaded.doubles:
        told += f" {loaded.doubles} rows of parts that stand there already are passed over."
    if loaded.retired:
        told += f" {loaded.retired} of the known ones are retired, and stay so."
    if loaded.unnumbered:
        told += f" {loaded.unnumbered} rows without a part number are passed over."
    return told + (" Nothing was written: this was a dry run." if dry_run else "")
