"""Tracks which clients have to acknowledge a heartbeat (`ack=true`), and since when, by a clock that an outage
stops."""

import time
import uuid
from collections.abc import Callable, Collection, Iterable
from typing import Final

# How often the event loop reports that it runs, and how much of a longer gap counts: during the rest no client could be
# heard.
TICK_SECONDS: Final = 0.1
LOOP_PAUSE_SECONDS: Final = 0.2


class ObservedClock:
    """Counts the time in which this process could hear its clients: its event loop ran, and it reached the database.

    Its beats show that it has reached the database, its ticks that the event loop has run.

    Args:
        beat: seconds between two beats.
        now: a clock that only grows.
    """

    def __init__(self, beat: float, now: Callable[[], float] = time.monotonic) -> None:
        self._beat = beat
        self._now = now
        # For how long the loop has run up to the last tick, and when that was.
        self._run = 0.0
        self._ticked_at = now()
        # The time counted up to the last beat, when that was, and how long the loop had run by then.
        self._counted = 0.0
        self._beaten_at = now()
        self._run_at_beat = 0.0
        # When the last beat that is committed was begun: then, or later, this process was known to live.
        self.proved = float("-inf")

    def begin(self) -> None:
        """Count from now on."""
        self.tick()
        self._beaten_at, self._run_at_beat = self._now(), self._run

    def tick(self) -> None:
        """Note that the loop runs; the next tick is due `TICK_SECONDS` later."""
        self._run, self._ticked_at = self._running, self._now()

    def beaten(self, begun: float) -> float:
        """Note that a beat is committed that began at that moment; return the seconds since the one before.

        A beat vouches for the time since the one before, unless that was long ago.
        """
        self.tick()
        self.proved = begun
        gap = self.since_beat
        self._counted += min(self._run - self._run_at_beat, 2 * self._beat)
        self._beaten_at, self._run_at_beat = self._now(), self._run
        return gap

    @property
    def since_beat(self) -> float:
        """The seconds since the last beat."""
        return self._now() - self._beaten_at

    @property
    def seconds(self) -> float:
        """The time counted so far. It stands still while the next beat or the next tick is overdue."""
        return self._counted + min(self._running - self._run_at_beat, self._beat)

    @property
    def _running(self) -> float:
        return self._run + min(self._now() - self._ticked_at, LOOP_PAUSE_SECONDS)


class Acknowledgements:
    """The clients that have to acknowledge a heartbeat and have not been seen to do so.

    Args:
        clock: the clock that counts their time.
        patience: how many seconds they have.
    """

    def __init__(self, clock: ObservedClock, patience: float) -> None:
        self._clock = clock
        self._patience = patience
        # Connections whose heartbeat is committed, but not yet written to the stream.
        self._unwritten: set[uuid.UUID] = set()
        self._asked: dict[uuid.UUID, float] = {}

    def arrived(self, connection_id: uuid.UUID) -> None:
        """Note a new stream: it begins with a heartbeat, which is not yet written."""
        self._unwritten.add(connection_id)

    def left(self, connection_id: uuid.UUID) -> None:
        """Forget a connection whose stream has ended."""
        self._unwritten.discard(connection_id)
        self._asked.pop(connection_id, None)

    def asked(self, again: Iterable[uuid.UUID], everybody: Iterable[uuid.UUID]) -> None:
        """Note that a heartbeat is committed.

        Args:
            again: connections whose clients acknowledged the one before, and have new time.
            everybody: all that should acknowledge; those not yet asked are asked by this heartbeat.
        """
        for connection_id in again:
            self._asked.pop(connection_id, None)
            self._unwritten.add(connection_id)
        self._unwritten.update(pk for pk in everybody if pk not in self._asked)

    def written(self, connection_id: uuid.UUID) -> None:
        """Note that a heartbeat was written, or would be if the client read: its time begins."""
        if connection_id in self._unwritten:
            self._unwritten.discard(connection_id)
            self._asked[connection_id] = self._clock.seconds

    def answered(self, connection_id: uuid.UUID, at: float) -> None:
        """Note an acknowledgement: heartbeats written up to that moment, by the clock, are acknowledged."""
        if self._asked.get(connection_id, float("inf")) <= at:
            del self._asked[connection_id]

    def forget(self) -> None:
        """Forget all open heartbeats; the next one asks again. Any thread may call it."""
        # New objects: the loop may be reading the old ones.
        self._asked, self._unwritten = {}, set()

    def forget_those(self, connection_ids: Iterable[uuid.UUID]) -> None:
        """Forget the open heartbeats of these; their next one asks again."""
        for connection_id in connection_ids:
            self.left(connection_id)

    def due(self) -> dict[uuid.UUID, float]:
        """Return the connections whose time is over, each with when it began. They may have answered to another
        process."""
        latest = self._clock.seconds - self._patience
        return {pk: at for pk, at in self._asked.items() if at <= latest}

    def until(self, at: float) -> float:
        """Return the deadline of a connection whose time began at that moment."""
        return at + self._patience

    def overdue(self, at: float, by: float) -> bool:
        """Return whether the deadline of a connection whose time began then has passed by so many seconds."""
        return self._clock.seconds > self.until(at) + by

    def judge(self, due: dict[uuid.UUID, float], silent: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return the connections that have departed; no acknowledgement is expected of any of them any more.

        Args:
            due: what `due` returned.
            silent: those that have acknowledged to no process.
        """
        # Connections that were asked or registered again meanwhile are left out.
        still = {pk for pk, at in due.items() if self._asked.get(pk) == at}
        for connection_id in still:
            del self._asked[connection_id]
        return still.intersection(silent)
