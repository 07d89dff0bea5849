"""Loading items from a part list: all of it or nothing.

What the list does not have is left alone: a column that is not there, and an empty cell of one that is (unless those
are to clear). A row of nothing, and a row that says the same of the same part once more, are passed over.
"""

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from django.db import transaction

from sessions_app.models import Item
from sessions_app.operations.items import taken
from sessions_app.part_list import Fault, PartList
from sessions_app.text import name_key, part_number_fault, text_fault
from sessions_app.text_encoding import BadFile

# Rows of one INSERT: large enough that the round trips do not count, small enough for steady progress.
BATCH = 5000
# So many bad lines are named, and so many new and changed items shown; the others are counted.
FAULTS_NAMED = 20
SHOWN = 20

Progress = Callable[[str, int], None]


class Part(NamedTuple):
    """What a row says: of which part, and what its description and type are, where it says so."""

    line: int
    part_number: str
    given: Mapping[str, str]


class Change(NamedTuple):
    """What one column of a known item was and will be."""

    part_number: str
    column: str
    old: str
    new: str


@dataclass
class Loaded:
    """How many items were new, changed or as the list says already; and how many rows were passed over.

    `new_ones` are the part numbers of the first new ones, `changes` what changes of each of the first that do.
    """

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    doubles: int = 0
    unnumbered: int = 0
    retired: int = 0
    new_ones: list[str] = field(default_factory=list)
    changes: list[list[Change]] = field(default_factory=list)


class Loading:
    """One loading of a part list.

    Args:
        parts: the part list.
        progress: called with what is being done and the number of rows done.
        clear_empty: an empty cell of a column that the list has empties what is known.
        skip_unnumbered: rows without a part number are passed over.
        first_of_doubles: of rows that say different things of one part the first one counts.
        dry_run: change nothing, only find out what would be.
    """

    def __init__(
        self,
        parts: PartList,
        progress: Progress = lambda doing, rows: None,
        *,
        clear_empty: bool = False,
        skip_unnumbered: bool = False,
        first_of_doubles: bool = False,
        dry_run: bool = False,
    ) -> None:
        self._parts = parts
        self._progress = progress
        self._clear_empty = clear_empty
        self._skip_unnumbered = skip_unnumbered
        self._first_of_doubles = first_of_doubles
        self._dry_run = dry_run
        self._passed_over: set[int] = set()
        self._loaded = Loaded()

    def run(self) -> Loaded:
        """Make the parts known as items, and take over what the list says of those that are.

        Raises:
            BadFile: naming the bad lines. Nothing was changed.
        """
        self._check()
        with transaction.atomic():
            self._load()
        return self._loaded

    def _check(self) -> None:
        """Read all of it once, before anything is written."""
        faults: list[str] = []
        bad = 0
        seen: dict[str, tuple[int, int]] = {}
        for rows, part in enumerate(self._read(), 1):
            fault = part if isinstance(part, Fault) else self._fault(part, seen)
            if fault:
                bad += 1
                faults += [str(fault)] if bad <= FAULTS_NAMED else []
            self._progress("checked", rows)
        if bad > FAULTS_NAMED:
            faults.append(f"and {bad - FAULTS_NAMED} more")
        if bad:
            raise BadFile(faults)

    def _fault(self, part: Part, seen: dict[str, tuple[int, int]]) -> Fault | None:
        """Return what is wrong with a row; note one that is to be passed over."""
        if not part.part_number and self._skip_unnumbered:
            self._passed_over.add(part.line)
            self._loaded.unnumbered += 1
            return None
        if not part.part_number:
            return Fault(
                part.line, "there is no part number; --skip-unnumbered passes over such rows"
            )
        if fault := part_number_fault(part.part_number) or _fault_of(part.given):
            return Fault(part.line, fault)
        # Of what it says its hash is enough, and a million of them are small.
        says = hash(tuple(part.given.items()))
        first, said = seen.setdefault(identity(part.part_number), (part.line, says))
        if first == part.line:
            return None
        if said != says and not self._first_of_doubles:
            told = f"{part.part_number!r} stands in line {first} already, and other things are said of it there"
            return Fault(part.line, f"{told}; --first-of-doubles takes the first")
        self._passed_over.add(part.line)
        self._loaded.doubles += 1
        return None

    def _load(self) -> None:
        parts = self._taken()
        pending: dict[uuid.UUID, Mapping[str, str]] = {}
        done = 0
        while batch := list(islice(parts, BATCH)):
            pending |= self._compare(batch)
            done += len(batch)
            self._progress("compared" if self._dry_run else "loaded", done)
        # Locked last and by id, in the common order; acquires of these items wait until all rows are written.
        ids = iter(sorted(pending))
        while not self._dry_run and (some := list(islice(ids, BATCH))):
            _write(some, pending)

    def _taken(self) -> Iterator[Part]:
        for part in self._read():
            if isinstance(part, Fault):
                raise BadFile([f"{part}: the file was changed while it was read"])
            if part.line not in self._passed_over:
                yield part

    def _read(self) -> Iterator[Part | Fault]:
        """Read the list; yield what each row says."""
        fields = self._parts.fields
        for row in self._parts.rows():
            if isinstance(row, Fault):
                yield row
                continue
            cells = dict(zip(fields, row.cells, strict=True))
            number = cells.pop("part_number")
            if not self._clear_empty:
                cells = {name: text for name, text in cells.items() if text}
            yield Part(row.line, number, cells)

    def _compare(self, batch: list[Part]) -> dict[uuid.UUID, Mapping[str, str]]:
        """Insert what is new; return what is to be changed of what is known."""
        known = known_items([part.part_number for part in batch])
        new = []
        to_change = {}
        for part in batch:
            item = known.get(identity(part.part_number))
            if item is None:
                new.append(Item(part_number=part.part_number, **part.given))
                continue
            self._loaded.retired += item.retired_at is not None
            if changes := _changes(item, part.given):
                to_change[item.pk] = part.given
                if len(self._loaded.changes) < SHOWN:
                    self._loaded.changes.append(changes)
        if not self._dry_run:
            # What somebody else inserts meanwhile stays as it is.
            Item.objects.bulk_create(new, ignore_conflicts=True)
            # Asked after the rows are there: a number that a rename frees meanwhile is no new item's.
            if why := taken([item.part_number for item in new], former_only=True):
                raise BadFile([*why.values(), "A part was renamed meanwhile; load the list again."])
        self._count(batch, new, len(to_change))
        return to_change

    def _count(self, batch: list[Part], new: list[Item], changed: int) -> None:
        loaded = self._loaded
        loaded.new += len(new)
        loaded.changed += changed
        loaded.unchanged += len(batch) - len(new) - changed
        room = SHOWN - len(loaded.new_ones)
        loaded.new_ones += [item.part_number for item in new[: max(room, 0)]]


def identity(part_number: str) -> str:
    """Return what all spellings of one part number have in common."""
    return name_key(part_number)


def known_items(part_numbers: Collection[str]) -> dict[str, Item]:
    """Return the items that have, or had, these part numbers, by the `identity` of the number that was given."""
    return {identity(number): item for number, item in Item.objects.known(part_numbers).items()}


def _changes(item: Item, given: Mapping[str, str]) -> list[Change]:
    return [
        Change(item.part_number, name, getattr(item, name), text)
        for name, text in given.items()
        if getattr(item, name) != text
    ]


def _write(ids: Collection[uuid.UUID], pending: Mapping[uuid.UUID, Mapping[str, str]]) -> None:
    """Write what is to be changed into the items as they are now: what the list does not say may be new."""
    items = Item.objects.lock(ids)
    for item in items:
        for name, text in pending[item.pk].items():
            setattr(item, name, text)
    Item.objects.bulk_create(
        items,
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["description", "item_type"],
    )


def _fault_of(given: Mapping[str, str]) -> str | None:
    for name, text in given.items():
        limit = getattr(Item._meta.get_field(name), "max_length", 0)
        if len(text) > limit:
            return f"{name} has more than {limit} characters"
        if fault := text_fault(text):
            return f"{name}: {fault}"
    return None
