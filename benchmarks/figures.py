"""The figures of the table: their names, units, and what is to be reached."""

from dataclasses import asdict, dataclass

from benchmarks.sizes import Size

NOW, TODAY = "now", "1da8013"


@dataclass(frozen=True)
class Figure:
    """A figure that a measure yields.

    Attributes:
        title: what the table calls it; names in braces are of `Size`.
        unit: of its values.
        more: whether more is better.
        reach: what `now` has to reach: so many times the figure of the subject `of`, or of none: this value.
        of: a subject.
    """

    title: str
    unit: str
    more: bool = False
    reach: float | None = None
    of: str = ""

    def named(self, size: Size) -> str:
        """Return the title, with the sizes that were measured."""
        return self.title.format(**asdict(size))

    def goal(self, values: dict[str, float]) -> float | None:
        """Return the value to reach, by the medians of the subjects; None where it is not known."""
        if self.reach is None:
            return None
        if not self.of:
            return self.reach
        return self.reach * values[self.of] if self.of in values else None

    def is_reached(self, values: dict[str, float]) -> bool | None:
        """Return whether `now` reaches its goal; None where that is not known."""
        goal = self.goal(values)
        if goal is None or NOW not in values:
            return None
        return values[NOW] >= goal if self.more else values[NOW] <= goal

    def said_goal(self) -> str:
        """Return the goal in words."""
        if self.reach is None:
            return ""
        least = "at least" if self.more else "at most"
        if not self.of:
            return f"{least} {self.reach:,g}"
        return f"{least} {self.reach:g} x {self.of}"


def _times_today(title: str, unit: str, reach: float) -> Figure:
    return Figure(title, unit, more=True, reach=reach, of=TODAY)


FIGURES = {
    "pairs_32": _times_today("acquire + release, 32 clients", "pairs/s", 40),
    "pairs_8": _times_today("acquire + release, 8 clients", "pairs/s", 20),
    "pairs_1": _times_today("acquire + release, 1 client", "pairs/s", 14),
    "cpu_32": Figure("server CPU of a pair, 32 clients", "ms", reach=0.6),
    "cpu_32_database": Figure("of it PostgreSQL", "ms"),
    "cpu_8": Figure("server CPU of a pair, 8 clients", "ms"),
    "cpu_1": Figure("server CPU of a pair, 1 client", "ms"),
    "alive": Figure("`alive`, 32 clients", "a second", more=True, reach=3000),
    "batch": _times_today("batches of 200, 4 clients", "locks/s", 6),
    "batch_cpu": Figure("server CPU of a lock in a batch", "ms"),
    "told": Figure(
        "killed until another process's stream has it: median", "ms", reach=2, of="asyncio floor"
    ),
    "told_p99": Figure("killed until told: 99 %", "ms"),
    "told_best": Figure("killed until told: fastest", "ms"),
    "killed_few": Figure(
        "{killed[0]:,} killed at once until the last event", "s", reach=3, of="raw table"
    ),
    "killed_many": Figure(
        "{killed[1]:,} killed at once until the last event", "s", reach=3, of="raw table"
    ),
    "killed_one_item": Figure("{killed[0]:,} holders on one item killed at once", "s", reach=0.5),
    "opened": _times_today("opening {streams:,} streams", "streams/s", 15),
    "opened_cpu": Figure("server CPU of opening a stream", "ms"),
    "stream_kb": Figure("memory of an idle stream, at {streams:,}", "kB", reach=8),
    "idle_cpu": Figure("{streams:,} alive for 60 s with a session each: CPU", "s", reach=1.5),
    "fan_cpu": Figure(
        "{watchers:,} watchers, 5 events/s: CPU of 100,000 deliveries", "s", reach=1.5
    ),
    "fan_p50": Figure("{watchers:,} watchers, from request to delivery: median", "ms", reach=20),
    "fan_p99": Figure("{watchers:,} watchers, from request to delivery: 99 %", "ms"),
    "swept": Figure(
        "sweep of {stale:,} stale sessions of {sessions:,}", "s", reach=3, of="raw table"
    ),
    "swept_acquire": Figure("longest acquire during the sweep", "ms", reach=50),
    "swept_log": Figure("longest wait for the event log's lock during the sweep", "ms", reach=15),
    "beat_wal": Figure(
        "heartbeat of {streams:,}: WAL of a row", "bytes", reach=1.2, of="raw table"
    ),
    "beat_hot": Figure("heartbeat of {streams:,}: heap-only updates", "%", more=True, reach=100),
    "workers": Figure("acquire + release, 32 clients, workers on one port", "pairs/s", more=True),
    "workers_cpu": Figure("server CPU of a pair, workers on one port", "ms"),
    "growth_1": Figure("CPU of a pair beside {grown[0]:,} sessions", "ms"),
    "growth_10": Figure("CPU of a pair beside {grown[1]:,} sessions", "ms"),
    "growth_100": Figure("CPU of a pair beside {grown[2]:,} sessions", "ms"),
}
