"""Reading a part list as other programs export it: which bytes are text, which text is a cell, which cells are taken.

The parser is Python's own `csv`. Encoding and delimiter are found by rules, not by guesses: a guess that is wrong
loads wrong parts without a word.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from textwrap import shorten
from typing import Any, BinaryIO, Final, Literal, NamedTuple, TextIO

from sessions_app import text_encoding
from sessions_app.text_encoding import BadFile

COLUMNS: Final = ("part_number", "description", "item_type")
DELIMITERS: Final = (",", ";", "\t", "|")
Quotes = Literal["standard", "unescaped", "none"]

# Excel's own line that names the delimiter.
SEP_LINE = re.compile(r'"?sep=([^"])"?', re.IGNORECASE)
# So many lines are searched for a heading that is not where it was expected.
SEARCHED = 50
SHOWN_HEADINGS = 12
SHOWN_CHARACTERS = 60

_LINE_BREAK = re.compile(r"\s*[\r\n\t\v\f]\s*")
_BETWEEN_WORDS = re.compile(r"[\s_-]+")


class Fault(NamedTuple):
    """What is wrong with a row, and the line that it begins in."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


class Row(NamedTuple):
    """The cells of one row that are taken, in the order of `PartList.fields`, and the line that it begins in."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """How a file is laid out. What is empty is found.

    Args:
        encoding: a name that Python knows.
        delimiter: the character between two cells.
        quotes: "standard": a quotation mark in a cell in quotation marks is doubled. "unescaped": it is not, and a cell
            ends with its line. "none": quotation marks mean nothing.
        columns: for `part_number`, `description` and `item_type` the heading of its column, where that is another one.
        skip_lines: how many lines stand before the headings.
        last_line: the last line that is read; 0 for all.
        short_rows: a row may lack its last cells; they are then empty.
    """

    encoding: str = ""
    delimiter: str = ""
    quotes: Quotes = "standard"
    columns: Mapping[str, str] = field(default_factory=dict)
    skip_lines: int = 0
    last_line: int = 0
    short_rows: bool = False


class PartList:
    """A part list in a file, which can be read any number of times.

    Args:
        file: open for reading bytes; seekable.
        layout: what is known of how it is laid out.

    Raises:
        BadFile: there is no such column, or one heading stands twice, or the bytes are no text.
    """

    def __init__(self, file: BinaryIO, layout: Layout | None = None) -> None:
        self._file = file
        self._layout = layout or Layout()
        self.encoding = text_encoding.find(file, self._layout.encoding)
        self._skip = self._layout.skip_lines
        self.delimiter = self._layout.delimiter or self._sep_line()
        self.delimiter = self.delimiter or self._find_delimiter()
        self.headings = self._read_headings(self.delimiter, self._skip)
        self._indexes = self._find_columns()
        self.fields = tuple(self._indexes)
        """Which of `COLUMNS` the file has."""

    def taken(self) -> dict[str, str]:
        """Which heading each column comes from."""
        return {name: self.headings[index] for name, index in self._indexes.items()}

    def left_out(self) -> list[str]:
        """The headings of the columns that are not taken."""
        taken = set(self._indexes.values())
        return [name for index, name in enumerate(self.headings) if name and index not in taken]

    def rows(self) -> Iterator[Row | Fault]:
        """Read the file; yield what each row has or what is wrong with it. Rows of nothing are left out."""
        indexes = list(self._indexes.values())
        most = len(self.headings)
        fewest = 1 if self._layout.short_rows else _without_blank_end(self.headings)
        with self._text() as text:
            records = self._records(text)
            next(records)  # the headings
            for line, cells in records:
                if isinstance(cells, str):
                    yield Fault(line, cells)
                elif not any(cells) or not any(map(str.strip, cells)):
                    continue
                elif len(cells) < fewest or any(map(str.strip, cells[most:])):
                    counted = f"it has {len(cells)} cells, and there are {most} headings"
                    yield Fault(line, counted)
                else:
                    last = len(cells)
                    yield Row(line, tuple([cleaned(cells[i]) if i < last else "" for i in indexes]))

    @contextmanager
    def _text(self) -> Iterator[TextIO]:
        """Open the text anew; the file stays open."""
        self._file.seek(0)
        text = io.TextIOWrapper(self._file, encoding=self.encoding, newline="")
        try:
            yield text
        finally:
            # A reader that was left in the middle may end after its file.
            if not self._file.closed:
                text.detach()

    def _records(
        self, text: TextIO, skip: int | None = None, delimiter: str = ""
    ) -> Iterator[tuple[int, list[str] | str]]:
        """Yield the number of the first line of each record, and its cells or what is wrong with it."""
        begin = self._skip if skip is None else skip
        last_line = self._layout.last_line
        lines: Iterator[str] = islice(text, begin, last_line or None)
        reader = _reader(lines, delimiter or self.delimiter, self._layout.quotes)
        while True:
            line = begin + reader.line_num + 1
            try:
                yield line, next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, _explained(error)

    def _sep_line(self) -> str:
        """Return the delimiter that the first line names, in Excel's way."""
        with self._text() as text:
            match = SEP_LINE.fullmatch(text.readline(SHOWN_HEADINGS).strip("\r\n"))
        if not match:
            return ""
        self._skip = max(self._skip, 1)
        return match[1]

    def _find_delimiter(self) -> str:
        """Return the delimiter by which the headings have the part number, of several the one with most of them."""

        def fitness(delimiter: str) -> tuple[bool, int]:
            headings = self._read_headings(delimiter, self._skip)
            return bool(self._places(headings, "part_number")), len(headings)

        return max(DELIMITERS, key=fitness)

    def _read_headings(self, delimiter: str, skip: int) -> list[str]:
        with self._text() as text:
            _, cells = next(self._records(text, skip, delimiter), (0, []))
        if isinstance(cells, str):
            return []
        return [cleaned(cell.lstrip("\ufeff")) for cell in cells]

    def _places(self, headings: Sequence[str], column: str) -> list[int]:
        """Return where the heading of a column stands."""
        wanted = self._layout.columns.get(column)
        exact = [index for index, name in enumerate(headings) if name == wanted]
        if exact:
            return exact
        alike = _spelled_alike(wanted or column)
        return [index for index, name in enumerate(headings) if _spelled_alike(name) == alike]

    def _find_columns(self) -> dict[str, int]:
        line = self._skip + 1
        places = {name: self._places(self.headings, name) for name in COLUMNS}
        faults = []
        for name, found in places.items():
            if len(found) > 1:
                faults.append(
                    f"line {line}: the heading {self.headings[found[0]]!r} stands {len(found)} times; "
                    f"name another one for it with --column {name}=HEADING"
                )
            elif not found and (name == "part_number" or name in self._layout.columns):
                faults.append(f"line {line}: {self._no_column(name)}")
        if faults:
            raise BadFile(faults)
        return {name: found[0] for name, found in places.items() if found}

    def _no_column(self, name: str) -> str:
        wanted = self._layout.columns.get(name, name)
        shown = ", ".join(shown_short(name) for name in self.headings[:SHOWN_HEADINGS])
        more = len(self.headings) - SHOWN_HEADINGS
        shown += f" and {more} more" if more > 0 else ""
        if (there := self._heading_elsewhere(name)) is not None:
            return f"there is no column {wanted!r}, but in line {there + 1} there is: --skip-lines {there}"
        return (
            f"there is no column {wanted!r} but {shown or 'nothing'}; name the heading of the one that is meant with "
            f"--column {name}=HEADING, or what is between two cells with --delimiter"
        )

    def _heading_elsewhere(self, name: str) -> int | None:
        for skip in range(self._skip + 1, self._skip + SEARCHED):
            for delimiter in [self._layout.delimiter] if self._layout.delimiter else DELIMITERS:
                headings = self._read_headings(delimiter, skip)
                if len(headings) > 1 and self._places(headings, name):
                    return skip
        return None


def shown_short(text: str) -> str:
    """Return a text as it is shown to a person: in quotation marks, and not too long."""
    return repr(shorten(text, SHOWN_CHARACTERS, placeholder="...") if text.strip() else text)


def cleaned(text: str) -> str:
    """Return the text of a cell in one line: line breaks and tabs become a blank."""
    text = text.strip()
    return text if text.isprintable() else _LINE_BREAK.sub(" ", text)


def _spelled_alike(heading: str) -> str:
    """Return what all spellings of a heading have in common: `Part Number`, `PART_NUMBER`, `part-number`."""
    return _BETWEEN_WORDS.sub(" ", heading).strip().casefold()


def _without_blank_end(headings: Sequence[str]) -> int:
    """Return how many headings there are up to the last one that is not blank."""
    return max((index + 1 for index, name in enumerate(headings) if name), default=1)


def _explained(error: csv.Error) -> str:
    said = str(error)
    if "unexpected end" in said:
        return "a quotation mark is never closed; for cells with quotation marks of their own there is --quotes"
    if "expected after" in said:
        return "a quotation mark ends in the middle of a cell; for such cells there is --quotes unescaped"
    if "field limit" in said:
        return "a cell is far too long; perhaps a quotation mark is never closed"
    return said


def _reader(lines: Iterable[str], delimiter: str, quotes: Quotes) -> Any:
    if quotes == "unescaped":
        return _Unescaped(lines, delimiter)
    quoting: Any = csv.QUOTE_NONE if quotes == "none" else csv.QUOTE_MINIMAL
    return csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)


class _Unescaped:
    """As `csv.reader`, for files whose cells have quotation marks inside that are not doubled: a cell in quotation
    marks ends with the one that a delimiter or the line's end follows.
    """

    def __init__(self, lines: Iterable[str], delimiter: str) -> None:
        self.line_num = 0
        self._lines = iter(lines)
        end = rf" *(?:{re.escape(delimiter)}|$)"
        self._cell = re.compile(
            rf' *"((?:[^"]|"(?!{end}))*)"{end}|([^{re.escape(delimiter)}]*)(?:{re.escape(delimiter)}|$)'
        )
        self._delimiter = delimiter

    def __next__(self) -> list[str]:
        line = next(self._lines).rstrip("\r\n")
        self.line_num += 1
        cells, place = [], 0
        # One more cell than delimiters outside of cells: the last one ends with the line.
        while place <= len(line):
            match = self._cell.match(line, place)
            assert match is not None
            quoted, plain = match.groups()
            cells.append(plain if quoted is None else quoted.replace('""', '"'))
            if not match[0].endswith(self._delimiter):
                break
            place = match.end()
        return cells
