"""The relay: a task that brings every committed event to the streams of this process.

NOTIFY wakes it, with the events where they fit; the others come from the log. It keeps its own cursor over reconnects,
so a lost notification or a lost connection costs time, never an event.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Final

import psycopg
from django.db import Error as DjangoDatabaseError
from django_eventstream.event import Event
from django_eventstream.views import MAX_PENDING, Listener, get_listener_manager

from events_app import measured, timings
from events_app.database import sql
from events_app.database.unavailable import backoff
from events_app.log import event_log, sse
from events_app.log.listen_connection import ListenConnection, Row
from events_app.log.notification import Appended, Notification
from events_app.log.notify_watch import NotifyWatch, ask

logger = logging.getLogger(__name__)


# The most bytes in the queues of this process's streams, which share their events. Beyond that the queues are emptied:
# each stream goes on from the log, a page at a time, when its client reads.
QUEUED_BYTES: Final = 32 * 1024 * 1024
# For how long events are delivered before the loop's other tasks have a turn. In each turn the loop gives the
# interpreter away, and where threads compute it waits for up to `server.SWITCH_SECONDS` of each to get it back: a
# turn after every event made a thousand events take five seconds.
DELIVERING_SECONDS: Final = 0.005


class RelayedEvent(Event):
    """An event on its way to many streams: encoded once for all of them, and counted while it is in memory."""

    queued = 0

    def __init__(self, event_type: str, data: str, event_id: int) -> None:
        super().__init__(channel="", type=event_type, data=data, id=event_id)
        # The size of the text and of its encoded forms.
        self._size = 3 * len(data)
        RelayedEvent.queued += self._size
        self._with_id: tuple[str, bytes] = "", b""

    def __del__(self) -> None:
        RelayedEvent.queued -= self._size

    @cached_property
    def encoded(self) -> bytes:
        """The event as SSE, without its id line."""
        return sse.encode(self.type, self.data)

    def in_epoch(self, epoch: str) -> bytes:
        """Return the event as SSE, with its id in this epoch, which is the same for nearly all streams."""
        if self._with_id[0] != epoch:
            self._with_id = epoch, b"id: %s-%d\n%s" % (epoch.encode(), self.id, self.encoded)
        return self._with_id[1]


class StreamListener(Listener):
    """A stream as the library's listener manager knows it.

    Args:
        write: writes an event to the stream at once, unless something has to be written before it; returns whether it
            did.
        wake: called when something was queued.
    """

    channel_items: dict[str, list[RelayedEvent]]
    overflow = False

    # Not the library's: its event, which nobody waits for, has more memory than all else of a stream here.
    def __init__(self, write: Callable[[RelayedEvent], bool], wake: Callable[[], None]) -> None:
        self.channels: Collection[str] = ()
        self.channel_items = {}
        self.write = write
        self.wake = wake

    def end(self) -> None:
        """Forget the stream, which has ended, so that its memory is free at once."""
        self.write, self.wake = _ended, _nothing
        self.channel_items = {}

    @property
    def waits(self) -> bool:
        """Whether events are queued, or have to be read from the log."""
        return bool(self.channel_items) or self.overflow

    def queue(self, channel: str, event: RelayedEvent) -> None:
        """Queue an event, up to the library's limit; beyond that the stream goes on from the log."""
        items = self.channel_items.setdefault(channel, [])
        if len(items) < MAX_PENDING:
            items.append(event)
        else:
            self.overflow = True
        self.wake()

    def take(self) -> tuple[list[RelayedEvent], bool]:
        """Return the queued events in the order of their ids, and whether the stream has to go on from the log."""
        items, self.channel_items = self.channel_items, {}
        overflowed, self.overflow = self.overflow, False
        # One event may have come by several of the channels.
        events = {event.id: event for channel in items.values() for event in channel}
        return [events[event_id] for event_id in sorted(events)], overflowed


def _ended(event: RelayedEvent) -> bool:
    return True


def _nothing() -> None:
    pass


def listening_name(channel: str) -> str:
    """Return the name under which streams listen to a channel.

    Not the channel itself: django-eventstream's `send_event` hands an event to local listeners of the channel
    before it is committed.
    """
    return f"log/{channel}"


class Reach:
    """The streams of this process that shared channels reach, found once a turn of the event loop for many events."""

    def __init__(self) -> None:
        # With the channels, so that no other object can have their id.
        self._names: dict[int, tuple[Sequence[str], Sequence[str]]] = {}
        self._found: dict[int, dict[StreamListener, str]] = {}

    def begin_turn(self) -> None:
        """There may be other streams than in the turn before."""
        self._found.clear()

    def of(self, shared: Sequence[str]) -> dict[StreamListener, str]:
        """Return the streams, each with the name of a channel that it follows."""
        key = id(shared)
        if key not in self._found:
            if key not in self._names:
                self._names[key] = shared, [*map(listening_name, shared)]
            self._found[key] = _following(self._names[key][1])
        return self._found[key]


def _following(names: Iterable[str]) -> dict[StreamListener, str]:
    manager = get_listener_manager()
    reached: dict[StreamListener, str] = {}
    # The manager's sets may change during the writes: one may find that its client has left.
    with manager.lock:
        for name in names:
            for listener in manager.listeners_by_channel.get(name, ()):
                reached.setdefault(listener, name)
    return reached


def deliver(entry: Appended, reach: Reach) -> None:
    """Write one entry of the log to every stream of this process that follows one of its channels, or queue it there.

    It is called in the event loop.
    """
    reached = _following(map(listening_name, entry.channels))
    if entry.shared:
        reached = {**reach.of(entry.shared), **reached}
    if not reached:
        return
    event = RelayedEvent(entry.type, entry.data, entry.id)
    for listener, name in reached.items():
        if not listener.write(event):
            listener.queue(name, event)
    if RelayedEvent.queued > QUEUED_BYTES:
        _empty_queues()


def _empty_queues() -> None:
    """Have all streams with queued events go on from the log."""
    manager = get_listener_manager()
    with manager.lock:
        listeners = {one for some in manager.listeners_by_channel.values() for one in some}
        for listener in listeners:
            if listener.channel_items:
                # Its task is there already.
                listener.channel_items, listener.overflow = {}, True


class Relay:
    """One per process; `run` is its task.

    Args:
        on_gap: called when the log cannot be followed without a gap: it has a new epoch, or was trimmed beyond
            the relay's place. Every open stream then has to begin again.
    """

    def __init__(self, on_gap: Callable[[], None]) -> None:
        self.listening = False
        self.notify_watch = NotifyWatch()
        self._on_gap = on_gap
        self._epoch: str | None = None
        self._position = 0
        # What comes next in the log, and waits for the loop's other tasks to have their turn.
        self._next: deque[Appended] = deque()
        self._reach = Reach()
        # Whether what was notified last follows on it.
        self._follows = True
        # Whether nothing was notified since the log was read.
        self._idle = False
        self._started = asyncio.Event()

    @property
    def position(self) -> int:
        """The id up to which it has passed the log on."""
        return self._position

    @property
    def has_started(self) -> bool:
        """Whether the relay has its cursor."""
        return self._started.is_set()

    async def started(self) -> None:
        """Wait until the relay has its cursor: entries that commit from now on will be delivered."""
        await self._started.wait()

    async def run(self) -> None:
        """Listen and deliver until cancelled."""
        attempt = 0
        while True:
            try:
                async with await ListenConnection.open() as connection:
                    attempt = 0
                    self.notify_watch.connected()
                    connection.on_round_trip = self.notify_watch.came
                    await self._follow(connection)
            except (psycopg.Error, DjangoDatabaseError, OSError) as error:
                attempt += 1
                logger.warning(
                    "relay lost the database", extra={"error": error, "attempt": attempt}
                )
            finally:
                self.listening = False
            await asyncio.sleep(backoff(attempt))

    async def notify_loop(self) -> None:
        """Have this process notify itself until cancelled, to see that notifications arrive."""
        await self.started()
        while True:
            if self.listening:
                await ask(self.notify_watch)
            sure = self.notify_watch.sure
            await asyncio.sleep(
                timings.NOTIFY_CHECK_SECONDS if sure else timings.NOTIFY_RETRY_SECONDS
            )

    async def _follow(self, connection: ListenConnection) -> None:
        # It is read again.
        self._next.clear()
        # Listen first, then read: entries that commit in between are notified, earlier ones are read.
        await connection.run(sql.LISTEN)
        await connection.run(sql.LISTEN_ROUND_TRIP)
        if self._epoch is None:
            await self._go_to_head(connection)
            self._started.set()
        self.listening = True
        while True:
            while await self._read_page(connection):
                pass
            self._idle = True
            while await self._hear(connection):
                pass

    async def _hear(self, connection: ListenConnection) -> bool:
        """Deliver what is notified, for as long as nothing lies before it.

        Returns:
            Whether to go on so. If something lies before it, or nothing was notified for a while, the log is read,
            which also probes the connection.
        """
        watch = self.notify_watch
        often = watch.asking or watch.lost
        idle = timings.RELAY_POLL_SECONDS if often else timings.RELAY_IDLE_SECONDS
        await connection.hear(self._take, idle)
        if not self._next:
            return False
        await self._deliver_all()
        return self._follows

    def _take(self, texts: Sequence[str]) -> bool:
        """Deliver the entries of notifications, for a turn of the loop; return whether nothing is left to do."""
        self._idle = False
        self.notify_watch.heard()
        self._follows = all(map(self._add, texts))
        self._deliver_some()
        return self._follows and not self._next

    def _add(self, text: str) -> bool:
        """Add the entries of a notification to the next ones; return False if others may lie before them."""
        notification = Notification.read(text)
        if notification is None or notification.epoch != self._epoch:
            return False
        through = self._next[-1].id if self._next else self._position
        if notification.through <= through:
            # They were read from the log before.
            return True
        if notification.last != through:
            return False
        self._next += notification.entries
        return True

    async def _read_page(self, connection: ListenConnection) -> bool:
        """Deliver the next entries; return whether there may be more."""
        page = [self._position, event_log.PAGE_SIZE, event_log.RELAY_BYTES]
        rows = await connection.run(sql.LOG_AFTER, page)
        self.notify_watch.read(found=rows[0][2] is not None, idle=self._idle)
        self._idle = False
        epoch, trimmed_through = rows[0][:2]
        if epoch != self._epoch or trimmed_through > self._position:
            logger.warning("the event log has a gap", extra={"epoch": epoch})
            await self._go_to_head(connection)
            self._on_gap()
            return True
        self._next += _entries(rows)
        await self._deliver_all()
        return len(rows) == event_log.PAGE_SIZE or (rows[-1][-1] or 0) >= event_log.RELAY_BYTES

    async def _deliver_all(self) -> None:
        """Deliver the next entries. A page may have a million writes, so the loop's other tasks have turns."""
        while self._next:
            await asyncio.sleep(0)
            self._deliver_some()

    def _deliver_some(self) -> None:
        """Deliver some of the next entries, for `DELIVERING_SECONDS`."""
        until = time.monotonic() + DELIVERING_SECONDS
        self._reach.begin_turn()
        while self._next:
            entry = self._next.popleft()
            deliver(entry, self._reach)
            self._position = entry.id
            measured.events.value += 1
            if time.monotonic() >= until:
                return
        self._reach = Reach()

    async def _go_to_head(self, connection: ListenConnection) -> None:
        ((self._epoch, self._position),) = await connection.run(sql.LOG_HEAD)


def _entries(rows: Sequence[Row]) -> Iterator[Appended]:
    """Yield the entries of a page of the log; see `sql.LOG_AFTER`."""
    audiences: dict[int | None, Sequence[str]] = {None: ()}
    for _, _, entry_id, channels, audience, shared, name, data, _ in rows:
        if entry_id is None:
            return
        if shared is not None:
            audiences[audience] = shared
        yield Appended(entry_id, channels, audiences.get(audience, ()), name, data)
