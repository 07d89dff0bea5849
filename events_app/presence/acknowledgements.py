"""Which clients have to acknowledge a heartbeat (`ack=true`), and since when, by a clock that an outage stops."""

import time
import uuid
from collections.abc import Callable, Collection, Iterable
from typing import Final

# How often the event loop shows that it runs, and what of a longer pause counts: in the rest it could hear nobody.
TICK_SECONDS: Final = 0.1
LOOP_PAUSE_SECONDS: Final = 0.2


class ObservedClock:
    """Counts the time for which this process could hear its clients: it has run, and reached the database.

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
        # What is counted up to the last beat, when that was, and for how long the loop had run.
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
        """The loop runs; `TICK_SECONDS` later it should say so again."""
        self._run, self._ticked_at = self._running, self._now()

    def beaten(self, begun: float) -> float:
        """A beat is committed that was begun at that moment; return the seconds since the one before.

        What a beat vouches for is the time since the one before, unless that was long ago.
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
        """What the clock shows. It stands still when the next beat is overdue, and when the next tick is."""
        return self._counted + min(self._running - self._run_at_beat, self._beat)

    @property
    def _running(self) -> float:
        return self._run + min(self._now() - self._ticked_at, LOOP_PAUSE_SECONDS)


class Acknowledgements:
    """The clients that were asked and have not been seen to acknowledge.

    Args:
        clock: by which their time is counted.
        patience: how many seconds of it they have.
    """

    def __init__(self, clock: ObservedClock, patience: float) -> None:
        self._clock = clock
        self._patience = patience
        # Those whose heartbeat is committed, and not yet written to them.
        self._unwritten: set[uuid.UUID] = set()
        self._asked: dict[uuid.UUID, float] = {}

    def arrived(self, connection_id: uuid.UUID) -> None:
        """A stream begins with a heartbeat, which is not yet written: its client is going to be asked."""
        self._unwritten.add(connection_id)

    def left(self, connection_id: uuid.UUID) -> None:
        """Its stream has ended: nothing is expected of it."""
        self._unwritten.discard(connection_id)
        self._asked.pop(connection_id, None)

    def asked(self, again: Iterable[uuid.UUID], everybody: Iterable[uuid.UUID]) -> None:
        """A heartbeat is committed.

        Args:
            again: who had acknowledged the one before, and has new time.
            everybody: who should acknowledge; of these, who has not yet been asked is asked by this one.
        """
        for connection_id in again:
            self._asked.pop(connection_id, None)
            self._unwritten.add(connection_id)
        self._unwritten.update(pk for pk in everybody if pk not in self._asked)

    def written(self, connection_id: uuid.UUID) -> None:
        """A heartbeat is written to its stream, or would be if its client read: from now on it has time."""
        if connection_id in self._unwritten:
            self._unwritten.discard(connection_id)
            self._asked[connection_id] = self._clock.seconds

    def answered(self, connection_id: uuid.UUID, at: float) -> None:
        """It has acknowledged: what was asked up to that moment, by the clock, is done."""
        if self._asked.get(connection_id, float("inf")) <= at:
            del self._asked[connection_id]

    def forget(self) -> None:
        """Nobody has been asked: the next heartbeat does. Any thread may call it."""
        # New ones: the loop may be looking through the old ones.
        self._asked, self._unwritten = {}, set()

    def forget_those(self, connection_ids: Iterable[uuid.UUID]) -> None:
        """These have not been asked: their next heartbeat does."""
        for connection_id in connection_ids:
            self.left(connection_id)

    def due(self) -> dict[uuid.UUID, float]:
        """Return whose time is over, each with when it was asked. Perhaps it has answered to another process."""
        latest = self._clock.seconds - self._patience
        return {pk: at for pk, at in self._asked.items() if at <= latest}

    def until(self, at: float) -> float:
        """Return until when who was asked at that moment had to answer."""
        return at + self._patience

    def overdue(self, at: float, by: float) -> bool:
        """Say whether the time of who was asked at that moment is over for so many seconds."""
        return self._clock.seconds > self.until(at) + by

    def judge(self, due: dict[uuid.UUID, float], silent: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return who of them has departed, and expect no more of any.

        Args:
            due: what `due` returned.
            silent: who of them has acknowledged to nobody.
        """
        # Not who was asked again, or registered again, meanwhile.
        still = {pk for pk, at in due.items() if self._asked.get(pk) == at}
        for connection_id in still:
            del self._asked[connection_id]
        return still.intersection(silent)
