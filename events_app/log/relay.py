"""The relay: a task that brings every committed event to the streams of this process.

NOTIFY wakes it, with the events where they fit; the others come from the log. It keeps its own cursor over reconnects,
so a lost notification or a lost connection costs time, never an event.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, Final

import psycopg
from django.db import Error as DjangoDatabaseError
from django_eventstream.event import Event
from django_eventstream.views import MAX_PENDING, Listener, get_listener_manager

from events_app import timings
from events_app.database import sql
from events_app.database.unavailable import backoff
from events_app.log import event_log, sse
from events_app.log.notification import Notification

AsyncConnection = psycopg.AsyncConnection[tuple[Any, ...]]

logger = logging.getLogger(__name__)


# The most bytes in the queues of this process's streams, which share their events. Beyond that the queues are emptied:
# each stream goes on from the log, a page at a time, when its client reads.
QUEUED_BYTES: Final = 32 * 1024 * 1024
# For how long events are delivered before the loop's other tasks have a turn. In each turn the loop gives the
# interpreter away, and where threads compute it waits for up to `server.SWITCH_SECONDS` of each to get it back: a
# turn after every event made a thousand events take five seconds.
DELIVERING_SECONDS: Final = 0.005


class RelayedEvent(Event):  # type: ignore[misc]  # untyped library
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


class StreamListener(Listener):  # type: ignore[misc]  # untyped library
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


def deliver(event_id: int, channels: Sequence[str], event_type: str, data: str) -> None:
    """Write one entry of the log to every stream of this process that follows one of its channels, or queue it there.

    It is called in the event loop.
    """
    event = RelayedEvent(event_type, data, event_id)
    manager = get_listener_manager()
    reached: dict[StreamListener, str] = {}
    # The manager's sets may change during the writes: one may find that its client has left.
    with manager.lock:
        for channel in channels:
            name = listening_name(channel)
            for listener in manager.listeners_by_channel.get(name, ()):
                reached.setdefault(listener, name)
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
        self._on_gap = on_gap
        self._epoch: str | None = None
        self._position = 0
        # When the loop's other tasks had their last turn during a delivery.
        self._turn = float("-inf")
        self._started = asyncio.Event()

    async def started(self) -> None:
        """Wait until the relay has its cursor: entries that commit from now on will be delivered."""
        await self._started.wait()

    async def run(self) -> None:
        """Listen and deliver until cancelled."""
        attempt = 0
        while True:
            try:
                async with await _connect() as connection:
                    attempt = 0
                    await self._follow(connection)
            except (psycopg.Error, DjangoDatabaseError, OSError) as error:
                attempt += 1
                logger.warning(
                    "relay lost the database", extra={"error": error, "attempt": attempt}
                )
            finally:
                self.listening = False
            await asyncio.sleep(backoff(attempt))

    async def _follow(self, connection: AsyncConnection) -> None:
        # Listen first, then read: entries that commit in between are notified, earlier ones are read.
        with _answered(connection):
            await connection.execute(sql.LISTEN)
            if self._epoch is None:
                await self._go_to_head(connection)
                self._started.set()
        self.listening = True
        while True:
            while await self._read_page(connection):
                pass
            while await self._notified(connection):
                pass

    async def _notified(self, connection: AsyncConnection) -> bool:
        """Wait for notifications, and deliver their entries.

        Returns:
            Whether these were all that was committed so far, as the notifications show. If there was none in time, the
            log is read, which also probes the connection.
        """
        waiting = connection.notifies(timeout=timings.RELAY_IDLE_SECONDS, stop_after=1)
        # All that have come; they are in the order of their commits.
        texts = [notify.payload async for notify in waiting]
        for text in texts:
            if not await self._deliver_notified(text):
                return False
        return bool(texts)

    async def _deliver_notified(self, text: str) -> bool:
        """Deliver the entries of a notification, unless others lie before them; return whether none did."""
        notification = Notification.read(text)
        if notification is None or notification.epoch != self._epoch:
            return False
        if notification.ids[-1] <= self._position:
            # They were read from the log before.
            return True
        if notification.last != self._position:
            return False
        for entry in notification.entries:
            await self._deliver(*entry)
        return True

    async def _read_page(self, connection: AsyncConnection) -> bool:
        """Deliver the next entries; return whether there may be more."""
        with _answered(connection):
            page = [self._position, event_log.PAGE_SIZE, event_log.RELAY_BYTES]
            cursor = await connection.execute(sql.LOG_AFTER, page)
            rows = await cursor.fetchall()
        epoch, trimmed_through = rows[0][:2]
        if epoch != self._epoch or trimmed_through > self._position:
            logger.warning("the event log has a gap", extra={"epoch": epoch})
            await self._go_to_head(connection)
            self._on_gap()
            return True
        for _, _, event_id, channels, event_type, data, _ in rows:
            if event_id is not None:
                await self._deliver(event_id, channels, event_type, data)
        return len(rows) == event_log.PAGE_SIZE or (rows[-1][-1] or 0) >= event_log.RELAY_BYTES

    async def _deliver(
        self, event_id: int, channels: Sequence[str], event_type: str, data: str
    ) -> None:
        """Deliver one entry; let the loop's other tasks have a turn now and then: a page may have a million writes."""
        deliver(event_id, channels, event_type, data)
        self._position = event_id
        if time.monotonic() - self._turn >= DELIVERING_SECONDS:
            await asyncio.sleep(0)
            self._turn = time.monotonic()

    async def _go_to_head(self, connection: AsyncConnection) -> None:
        row = await (await connection.execute(sql.LOG_HEAD)).fetchone()
        assert row is not None
        self._epoch, self._position = row


@contextmanager
def _answered(connection: AsyncConnection) -> Iterator[None]:
    """Cut the connection if the block takes too long: what waits in it fails at once.

    Cancelling it instead would ask the database, which does not answer, to cancel the query, and wait for that.
    """
    cut = asyncio.get_running_loop().call_later(timings.RELAY_ANSWER_SECONDS, _cut, connection)
    try:
        yield
    finally:
        cut.cancel()


def _cut(connection: AsyncConnection) -> None:
    logger.warning("the database does not answer the relay")
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)


async def _connect() -> AsyncConnection:
    # May start the embedded server, so not in the loop.
    parameters = await asyncio.to_thread(sql.listen_parameters)
    return await psycopg.AsyncConnection.connect(
        **parameters,
        autocommit=True,
        application_name="silo relay",
    )
