"""The notifications by which an append tells the relays what it has appended, so that they need not read the log.

PostgreSQL bounds a notification, so the entries of an append go out in *portions*, in their order, in one transaction.
The text of a portion is `<epoch> <last> <first>` and its entries: the log's epoch, its last id before the portion, read
under the log's lock, and the portion's first id; the others follow without a gap. A relay that has delivered everything
through `last` lacks nothing before these entries. Ids of transactions that were rolled back are missing in the log for
ever, so the first id alone would not show that. A text is empty where the entries do not fit
(`events_app.database.sql.append_to_log`).

Each entry has four fields behind a separator each: its channels, those that it shares with others, its type and its
data. Each channel ends with a mark; `SAME` stands for those of the entry before.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

# Of PostgreSQL's limit, 7,999, the ids and the epoch get the rest.
PORTION_BYTES: Final = 7_900
# More of one append are read from the log: some 400 events.
MOST_PORTIONS: Final = 32

# Control characters, which JSON has only as escapes.
_SEPARATOR: Final = "\x1e"
_MARK: Final = "\x1f"
SAME: Final = "="
_FIELDS: Final = 4
_HEAD: Final = re.compile(r"(\S+) (-?\d+) (\d+)", re.ASCII)


class Appended(NamedTuple):
    """One entry of the log, as a relay delivers it.

    Args:
        id: its id.
        channels: who gets it.
        shared: who gets it, too: one list for all entries that have the same.
        type: the SSE event name.
        data: JSON text.
    """

    id: int
    channels: Sequence[str]
    shared: Sequence[str]
    type: str
    data: str


class Portion(NamedTuple):
    """A part of an append.

    Args:
        before: how many entries of the append come before it.
        content: its entries; "" where they have to be read from the log.
    """

    before: int
    content: str


UNTOLD: Final = (Portion(0, ""),)


def portions(entries: Iterable[tuple[Sequence[str], Sequence[str], str, str]]) -> Sequence[Portion]:
    """Return the portions of an append; an empty one if its entries have to be read from the log.

    Args:
        entries: of each its channels, those that it shares, its type and its data.
    """
    done: list[Portion] = []
    part = _Part(0)
    for number, entry in enumerate(entries):
        if not part.add(*entry):
            done.append(Portion(part.before, part.content))
            part = _Part(number)
            if len(done) == MOST_PORTIONS or not part.add(*entry):
                return UNTOLD
    return [*done, Portion(part.before, part.content)]


class _Part:
    """A portion to which entries are added."""

    def __init__(self, before: int) -> None:
        self.before = before
        self.content = ""
        self._size = 0
        self._channels: Sequence[str] | None = None
        self._shared: Sequence[str] | None = None

    def add(self, channels: Sequence[str], shared: Sequence[str], name: str, data: str) -> bool:
        """Add an entry; return False, and add nothing, if there is no room, or it has control characters."""
        new = [
            some if some != before else None
            for some, before in ((channels, self._channels), (shared, self._shared))
        ]
        text = _SEPARATOR.join(["", *map(_marked, new), name, data])
        size = self._size + len(text.encode())
        marks = sum(map(len, filter(None, new)))
        if size > PORTION_BYTES or text.count(_SEPARATOR) != _FIELDS or text.count(_MARK) != marks:
            return False
        self.content += text
        self._size, self._channels, self._shared = size, channels, shared
        return True


def _marked(channels: Sequence[str] | None) -> str:
    return SAME if channels is None else "".join([channel + _MARK for channel in channels])


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification that has entries.

    Args:
        epoch: the log's.
        last: the log's last id before the entries.
        first: their first id.
        fields: those of all entries.
    """

    epoch: str
    last: int
    first: int
    fields: Sequence[str]

    @classmethod
    def read(cls, text: str) -> "Notification | None":
        """Return what a notification's text says; None for one without entries, or that this version does not know."""
        head, *fields = text.split(_SEPARATOR)
        found = _HEAD.fullmatch(head)
        if found is None or len(fields) % _FIELDS:
            return None
        epoch, last, first = found.groups()
        return cls(epoch, int(last), int(first), fields)

    @property
    def through(self) -> int:
        """The last id of the entries."""
        return self.first + len(self.fields) // _FIELDS - 1

    @property
    def entries(self) -> list[Appended]:
        """The entries, in the order of their ids."""
        channels: list[str] = []
        shared: list[str] = []
        entries = []
        for number, at in enumerate(range(0, len(self.fields), _FIELDS)):
            own, common, name, data = self.fields[at : at + _FIELDS]
            channels = channels if own == SAME else own.split(_MARK)[:-1]
            shared = shared if common == SAME else common.split(_MARK)[:-1]
            entries.append(Appended(self.first + number, channels, shared, name, data))
        return entries
