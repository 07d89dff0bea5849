"""Loading items from a CSV file: all of it or nothing."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from django.db import transaction

from sessions_app.models import Item
from sessions_app.text import part_number_fault, text_fault

COLUMNS = ("part_number", "description", "item_type")
# Rows of one INSERT: large enough that the round trips do not count, small enough for steady progress.
BATCH = 5000
# So many bad lines are named; who has more has another problem.
FAULTS_NAMED = 20

Progress = Callable[[str, int], None]


class BadFile(Exception):
    """The file cannot be loaded; `faults` says why, line by line."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass
class Loaded:
    """How many items were new, and how many were changed."""

    new: int = 0
    changed: int = 0


def load(path: Path, progress: Progress) -> Loaded:
    """Make the items of a file known, and take over the descriptions and types of those that are.

    Args:
        path: a CSV file in UTF-8 with the columns part_number, description and item_type; the latter two may miss.
        progress: called with what is being done and the number of lines done.

    Raises:
        BadFile: naming the bad lines. Nothing was changed.
    """
    _check(path, progress)
    loaded = Loaded()
    changed: list[Item] = []
    with transaction.atomic():
        rows = _rows(path)
        done = 0
        while batch := [item for _, item in islice(rows, BATCH)]:
            changed += _insert(batch, loaded)
            done += len(batch)
            progress("loaded", done)
        # Last and by id, as everybody locks items. Who wants to edit one of these waits until all are written.
        changed.sort(key=lambda item: item.pk)
        Item.objects.lock([item.pk for item in changed])
        Item.objects.bulk_create(
            changed,
            batch_size=BATCH,
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=["description", "item_type"],
        )
    loaded.changed = len(changed)
    return loaded


def _check(path: Path, progress: Progress) -> None:
    faults: list[str] = []
    seen: dict[str, int] = {}
    for line, item in _rows(path):
        if fault := _fault(item):
            faults.append(f"line {line}: {fault}")
        elif (first := seen.setdefault(item.part_number, line)) != line:
            faults.append(f"line {line}: {item.part_number!r} stands in line {first} already")
        if len(faults) == FAULTS_NAMED:
            raise BadFile([*faults, "and perhaps more"])
        if len(seen) % BATCH == 0:
            progress("checked", len(seen))
    if faults:
        raise BadFile(faults)


def _insert(batch: list[Item], loaded: Loaded) -> list[Item]:
    """Insert what is new; return what is known and differs."""
    numbers = [item.part_number for item in batch]
    known = Item.objects.filter(part_number__in=numbers).in_bulk(field_name="part_number")
    new = [item for item in batch if item.part_number not in known]
    # What somebody else inserts meanwhile stays as it is.
    Item.objects.bulk_create(new, ignore_conflicts=True)
    loaded.new += len(new)
    changed = []
    for item in batch:
        old = known.get(item.part_number)
        if old and (old.description, old.item_type) != (item.description, item.item_type):
            old.description, old.item_type = item.description, item.item_type
            changed.append(old)
    return changed


def _rows(path: Path) -> Iterator[tuple[int, Item]]:
    """Read the file; yield the number of each line with its item."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names = reader.fieldnames or []
            unknown = [name for name in names if name not in COLUMNS]
            if "part_number" not in names or unknown:
                raise BadFile(
                    [f"line 1: the columns are {', '.join(COLUMNS)}, not {', '.join(names)}"]
                )
            for row in reader:
                if None in row or None in row.values():
                    raise BadFile([f"line {reader.line_num}: it has not {len(names)} columns"])
                yield reader.line_num, Item(**{name: text.strip() for name, text in row.items()})
    except FileNotFoundError:
        raise BadFile([f"there is no file {path}"]) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadFile([f"{path} cannot be read: {error}"]) from error


def _fault(item: Item) -> str | None:
    if fault := part_number_fault(item.part_number):
        return fault
    for name in ("description", "item_type"):
        text = getattr(item, name)
        limit = getattr(Item._meta.get_field(name), "max_length", 0)
        if len(text) > limit:
            return f"{name} has more than {limit} characters"
        if fault := text_fault(text):
            return f"{name}: {fault}"
    return None
