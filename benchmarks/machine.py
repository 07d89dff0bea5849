"""What the kernel says of the processor: time used by processes, and time stolen from this machine."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
# Of /proc/stat's first line: user, nice, system, idle, iowait, irq, softirq, steal.
SCHEDULER_CLOCK = 2
IDLE, WAITING, STEAL, COUNTED = 3, 4, 7, 8


def with_children(pids: Iterable[int]) -> list[int]:
    """Return these processes and all that descend from them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _fields(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], list(pids)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the processor time of these processes, their descendants, and those of them that have ended."""
    seconds = 0.0
    for pid in with_children(pids):
        with suppress(OSError):  # it has just ended
            seconds += time.clock_gettime(_clock_of(pid))
        # Of the children that were waited for: utime and stime.
        seconds += sum(map(int, _fields(pid)[13:15])) * TICK_SECONDS
    return seconds


def _clock_of(pid: int) -> int:
    """Return Linux's id of the clock of a process's processor time, which has nanoseconds: see clock_getcpuclockid."""
    return (~pid << 3) | SCHEDULER_CLOCK


def resident_bytes(pids: Iterable[int]) -> int:
    """Return the resident memory of these processes and their descendants; shared pages count once for each."""
    pages = sum(int(Path(f"/proc/{p}/statm").read_text().split()[1]) for p in with_children(pids))
    return pages * os.sysconf("SC_PAGE_SIZE")


def _fields(pid: int) -> list[str]:
    """Return the fields of a process's `stat` after its name, from its state on; none if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


@dataclass
class Window:
    """What the machine did during a round: shares of all its time, and the seconds that passed."""

    stolen: float = 0.0
    busy: float = 0.0
    seconds: float = 0.0

    def others(self, ours: float) -> float:
        """Return the share of the machine that others than we have used.

        Args:
            ours: the processor seconds that we have.
        """
        return self.busy - ours / (self.seconds * (os.cpu_count() or 1))


@contextmanager
def window() -> Iterator[Window]:
    """Observe the machine during a block; the values are there at its end."""
    seen, begun, before = Window(), time.monotonic(), _stat()
    yield seen
    ticks = [now - then for now, then in zip(_stat(), before, strict=True)]
    total = sum(ticks) or 1
    seen.stolen = ticks[STEAL] / total
    seen.busy = 1 - (ticks[IDLE] + ticks[WAITING]) / total
    seen.seconds = time.monotonic() - begun


def _stat() -> list[int]:
    first = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return list(map(int, first[1 : COUNTED + 1]))
