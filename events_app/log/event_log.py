"""The event log: appending, reading and trimming events. Ids become visible in ascending order.

A writer takes the log's advisory lock before its ids are drawn and holds it to its commit. So a reader that has read up
to an id has seen everything up to it (docs/architecture.md, "One order of events").
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, Subquery
from django.db.models.functions import Now

from events_app.database import sql
from events_app.database.round_trip import Query, Row, Statement, rows_of, together
from events_app.json_text import json_text
from events_app.log.notification import portions
from events_app.models import Audience, EventLog, LogEntry, new_epoch

# Fewer channels are named by each event itself.
AUDIENCE_LEAST = 16
# Entries a replay or a relay reads at once.
PAGE_SIZE = 500
# Pages end earlier where entries are large, but have one entry at least. A relay's page is in memory while it is passed
# on, once for all streams; the page of a replay until its client has read it.
RELAY_BYTES = 2 * 1024 * 1024
REPLAY_BYTES = 256 * 1024

_CURSOR = re.compile(r"([0-9a-f]{1,16})-([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True)
class NewEvent:
    """An event to be appended.

    Args:
        channels: the audience; a stream that follows several of them gets it once.
        type: the SSE event name.
        data: the JSON object, or JSON text ready to be sent.
        shared: further channels, which other events of the transaction have too: the same object.
    """

    channels: Collection[str]
    type: str
    data: Mapping[str, Any] | str
    shared: Collection[str] = ()


class Cursor(NamedTuple):
    """A position in the log: everything up to `id` has been read."""

    epoch: str
    id: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.id}"


@dataclass(frozen=True)
class LogState:
    """The extent of the log at one moment: its last id, and the id through which it was trimmed."""

    head: Cursor
    trimmed_through: int

    def resume(self, last_event_id: str) -> Cursor | None:
        """Return the cursor that a client names, or None if the log cannot be continued from there."""
        match = _CURSOR.fullmatch(last_event_id)
        if not match or match[1] != self.head.epoch:
            return None
        cursor = Cursor(match[1], int(match[2]))
        return cursor if self.trimmed_through <= cursor.id <= self.head.id else None


class Trimmed(Exception):
    """The log no longer reaches back to where a reader wanted to go on."""


def append(
    events: Sequence[NewEvent], ahead: Sequence[Query] = (), *, commits: bool = False
) -> list[int]:
    """Append events in this order, as the last act of the running transaction.

    Args:
        events: the events.
        ahead: statements that are run first, in the same round trip.
        commits: whether the transaction may be committed in it; see `together`.

    Returns:
        Their ids, ascending.

    Raises:
        RuntimeError: outside of a transaction, where the order could not be kept.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("events are appended inside the transaction of what they tell")
    if not events:
        if ahead:
            together(*ahead, commits=commits)
        return []
    # Built, and their audiences inserted, before the lock is taken, because every writer waits for it.
    audiences = _insert_audiences(events)
    appending = [_appending(event, audiences) for event in events]
    told = portions((one.channels, one.shared, one.type, one.data) for one in appending)
    return sql.append_to_log([one.row for one in appending], told, ahead, commits=commits)


class _Appending(NamedTuple):
    """An entry that is about to be appended; `shared` are the channels of its audience."""

    channels: Sequence[str]
    audience: int | None
    shared: Sequence[str]
    type: str
    data: str

    @property
    def row(self) -> dict[str, Any]:
        return {
            "channels": self.channels,
            "audience": self.audience,
            "type": self.type,
            "data": self.data,
        }


def _appending(event: NewEvent, audiences: Mapping[int, tuple[int, Sequence[str]]]) -> _Appending:
    audience, shared = audiences.get(id(event.shared), (None, ()))
    own = {*event.channels, *(() if audience else event.shared)}
    return _Appending(sorted(own), audience, shared, event.type, _encoded(event.data))


def _insert_audiences(events: Sequence[NewEvent]) -> dict[int, tuple[int, Sequence[str]]]:
    """Insert the channels that several events share, where they are many.

    Returns:
        The ids of these audiences, and their channels, by `id(event.shared)`.
    """
    uses = Counter(id(event.shared) for event in events if len(event.shared) >= AUDIENCE_LEAST)
    some = {key: sorted(set(event.shared)) for event in events if uses[key := id(event.shared)] > 1}
    if not some:
        return {}
    rows = sql.insert(Audience, [{"channels": channels} for channels in some.values()], "id")
    return {key: (pk, channels) for (key, channels), (pk,) in zip(some.items(), rows, strict=True)}


def state() -> LogState:
    """Return the extent of the log. To be of one moment with other reads, call it inside `sql.one_snapshot`."""
    return state_of(rows_of(STATE()))


def state_of(rows: Sequence[Row]) -> LogState:
    """Return what the rows of `STATE` say."""
    ((epoch, trimmed_through, newest),) = rows
    head = max(newest or 0, trimmed_through)
    return LogState(head=Cursor(epoch, head), trimmed_through=trimmed_through)


_NEWEST = Subquery(LogEntry.objects.order_by("-id").values("id")[:1])
STATE: Final = Statement(
    lambda: EventLog.objects.annotate(newest=_NEWEST).values_list(
        "epoch", "trimmed_through", "newest"
    )
)


class Entry(NamedTuple):
    """The parts of a log entry that a stream writes."""

    id: int
    type: str
    data: str


class Page(NamedTuple):
    """The next entries of some channels, and whether there may be more."""

    entries: list[Entry]
    more: bool


def read(channels: Collection[str], after_id: int, limit: int = PAGE_SIZE) -> Page:
    """Return the entries of any of the channels after an id, oldest first: at most `limit`, and `REPLAY_BYTES`.

    Raises:
        Trimmed: if some of them may be gone.
    """
    rows = sql.read_log(channels, after_id, limit, REPLAY_BYTES)
    # Checked after the read: entries that were trimmed during it count as missing.
    if EventLog.objects.filter(trimmed_through__gt=after_id).exists():
        raise Trimmed
    more = len(rows) == limit or (bool(rows) and rows[-1][-1] >= REPLAY_BYTES)
    return Page([Entry(*row[:3]) for row in rows], more)


def trim(retention: timedelta, limit: int) -> bool:
    """Delete the oldest entries that are older than `retention`, at most `limit`.

    Returns:
        Whether there may be more.
    """
    with transaction.atomic():
        log = EventLog.objects.select_for_update().get()
        oldest = LogEntry.objects.order_by("id").annotate(old=Q(created_at__lt=Now() - retention))[
            :limit
        ]
        ids = []
        for entry in oldest.values("id", "old"):
            if not entry["old"]:
                break
            ids.append(entry["id"])
        if ids:
            LogEntry.objects.filter(id__lte=ids[-1]).delete()
            used = LogEntry.objects.filter(audience=OuterRef("pk"))
            Audience.objects.filter(~Exists(used)).delete()
            log.trimmed_through = ids[-1]
            log.save(update_fields=["trimmed_through"])
    return len(ids) == limit


def begin_epoch() -> str:
    """Begin a new epoch, so that no earlier cursor can be continued, and every reader begins again. Return it.

    Call it as the last act of the running transaction, as `append`.
    """
    sql.lock_event_log()
    epoch = new_epoch()
    EventLog.objects.update(epoch=epoch)
    return epoch


def _encoded(data: Mapping[str, Any] | str) -> str:
    if isinstance(data, str):
        return data
    return json_text(data)
