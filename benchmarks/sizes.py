"""How much is measured: the table's sizes, or `--quick` ones that show the order of size within minutes."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Size:
    """Sizes of the measures.

    Attributes:
        rounds: how often each measure is taken of each subject, in turn.
        long_rounds: the same of measures that take minutes.
        seconds: how long clients go on in a round.
        deaths: single deaths in a round.
        killed: how many are killed at once: few, and many.
        streams: how many are opened.
        settling_seconds: how long these are left alone before.
        idle_seconds: how long these are watched; 0 for not at all, nor their memory.
        watchers: streams that get every event.
        events: how many these are told.
        stale: sessions that are swept, of `sessions`.
        grown: how many sessions there are when pairs are measured again.
    """

    rounds: int
    long_rounds: int
    seconds: float
    deaths: int
    killed: tuple[int, int]
    streams: int
    settling_seconds: float
    idle_seconds: float
    watchers: int
    events: int
    stale: int
    sessions: int
    grown: tuple[int, int, int]


FULL = Size(
    rounds=5,
    long_rounds=3,
    seconds=5.0,
    deaths=20,
    killed=(2_000, 10_000),
    streams=10_000,
    settling_seconds=60.0,
    idle_seconds=60.0,
    watchers=2_000,
    events=50,
    stale=100_000,
    sessions=1_000_000,
    grown=(1_000, 10_000, 100_000),
)
QUICK = Size(
    rounds=2,
    long_rounds=1,
    seconds=1.5,
    deaths=5,
    killed=(500, 1_000),
    streams=1_000,
    settling_seconds=0.0,
    idle_seconds=10.0,
    watchers=500,
    events=15,
    stale=5_000,
    sessions=50_000,
    grown=(1_000, 5_000, 20_000),
)
# Of `make bench-quick`.
RATIOS = replace(
    QUICK, rounds=2, seconds=0.6, deaths=10, streams=300, idle_seconds=0.0, watchers=500, events=10
)
# The table's sizes within some 40 minutes; without a spread for what takes minutes.
SHORT = replace(FULL, rounds=2, long_rounds=1)
SIZES = {"full": FULL, "short": SHORT, "quick": QUICK, "ratios": RATIOS}
