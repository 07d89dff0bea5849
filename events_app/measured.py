"""Plain counts of this process, which the metrics show.

They are numbers that cost some 80 ns to add to, and 220 ns for a duration; those of prometheus_client take a lock, and
cost 700 and 1,500. So they are always counted, whether somebody asks or not. Each is added to in one thread, the event
loop's or the sweeper's, and read in others.
"""

from bisect import bisect_left
from collections import defaultdict
from typing import Final

# Upper bounds in seconds. An acquire takes some milliseconds; after ten seconds it is refused.
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Count:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Durations:
    """How long something took, as a histogram."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        # Of each bound, those up to it and above the one before; the last are above all bounds.
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one that took so long."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


# Heartbeats that were written to streams; those of a part of the streams that were not written in time.
heartbeats: Final = Count()
heartbeats_missed: Final = Count()
# Ends of workstations' streams: by the client's doing, or because the server closed them.
departures: Final = {"client": Count(), "server": Count()}
# Entries of the event log that the relay has passed on.
events: Final = Count()
# Requests that were answered, by the name of the operation; "other" are those that are not frequent.
requests: Final[defaultdict[str, Durations]] = defaultdict(Durations)
# Sweeps that ended, sweeps that failed, and what they ended, by its kind.
sweeps: Final = Count()
sweeps_failed: Final = Count()
sweep_ended: Final = {kind: Count() for kind in ("expired", "idle", "deactivated", "places")}
sweep_durations: Final = Durations()
