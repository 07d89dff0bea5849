"""Which clients have to acknowledge a heartbeat (`ack=true`), and since when, by a clock that an outage stops."""

import time
import uuid
from collections.abc import Callable, Collection, Iterable


class ObservedClock:
    """Counts the time for which this process has run and reached the database, as its beats show.

    Args:
        beat: seconds between two beats.
        now: a clock that only grows.
    """

    def __init__(self, beat: float, now: Callable[[], float] = time.monotonic) -> None:
        self._beat = beat
        self._now = now
        # What is counted up to the last beat, and when that was.
        self._counted = 0.0
        self._beaten_at = now()
        # When the last beat that is committed was begun: then, or later, this process was known to live.
        self.proved = float("-inf")

    def begin(self) -> None:
        """Count from now on."""
        self._beaten_at = self._now()

    def beaten(self, begun: float) -> float:
        """A beat is committed that was begun at that moment; return the seconds since the one before.

        What a beat vouches for is the time since the one before, unless that was long ago.
        """
        self.proved = begun
        now = self._now()
        gap = now - self._beaten_at
        self._counted += min(gap, 2 * self._beat)
        self._beaten_at = now
        return gap

    @property
    def since_beat(self) -> float:
        """The seconds since the last beat."""
        return self._now() - self._beaten_at

    @property
    def seconds(self) -> float:
        """What the clock shows. It stands still when the next beat is overdue."""
        return self._counted + min(self.since_beat, self._beat)


class Acknowledgements:
    """The clients that were asked and have not been seen to acknowledge.

    Args:
        clock: by which their time is counted.
        patience: how many seconds of it they have.
    """

    def __init__(self, clock: ObservedClock, patience: float) -> None:
        self._clock = clock
        self._patience = patience
        self._asked: dict[uuid.UUID, float] = {}

    def arrived(self, connection_id: uuid.UUID) -> None:
        """A stream begins with a heartbeat: its client is asked."""
        self._asked[connection_id] = self._clock.seconds

    def left(self, connection_id: uuid.UUID) -> None:
        """Its stream has ended: nothing is expected of it."""
        self._asked.pop(connection_id, None)

    def asked(self, again: Iterable[uuid.UUID], everybody: Iterable[uuid.UUID]) -> None:
        """A heartbeat is committed.

        Args:
            again: who had acknowledged the one before, and has new time.
            everybody: who should acknowledge; of these, who has not yet been asked is asked by this one.
        """
        seconds = self._clock.seconds
        self._asked.update(dict.fromkeys(again, seconds))
        for connection_id in everybody:
            self._asked.setdefault(connection_id, seconds)

    def forget(self) -> None:
        """Nobody has been asked: the next heartbeat does. Any thread may call it."""
        # A new dict: the loop may be looking through the old one.
        self._asked = {}

    def due(self) -> dict[uuid.UUID, float]:
        """Return whose time is over, each with when it was asked. Perhaps it has answered to another process."""
        latest = self._clock.seconds - self._patience
        return {pk: at for pk, at in self._asked.items() if at <= latest}

    def judge(self, due: dict[uuid.UUID, float], silent: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return who of them has departed, and expect no more of any.

        Args:
            due: what `due` returned.
            silent: who of them has acknowledged to nobody.
        """
        # Not who was asked again, or registered again, meanwhile.
        still = {pk for pk, at in due.items() if self._asked.get(pk) == at}
        for connection_id in still:
            self.left(connection_id)
        return still.intersection(silent)
