"""How long each fault took to be noticed: printed at the end, with the median and the worst.

And by how much a client knew of it before the server could give its lock away.

`SILO_TEST_REPEAT=10` does every measured test ten times.
"""

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

REPEAT = int(os.environ.get("SILO_TEST_REPEAT") or 1)

_measured: dict[str, list[float]] = defaultdict(list)
_margins: dict[str, list[float]] = defaultdict(list)
_limits: dict[str, float] = {}


@contextmanager
def measured(fault: str, within: float) -> Iterator[None]:
    """Measure the block and fail where it takes longer.

    Args:
        fault: what happens at its beginning.
        within: seconds.
    """
    begun = time.monotonic()
    yield
    keep(fault, time.monotonic() - begun, within)


def keep(fault: str, seconds: float, within: float) -> None:
    """Note how long something took; fail where it was longer."""
    _measured[fault].append(seconds)
    _limits[fault] = within
    assert seconds <= within, f"{fault}: {seconds:.2f} s, allowed are {within:.2f} s"


def keep_margin(fault: str, seconds: float) -> None:
    """Note by how much the client was earlier than the server; fail where it was not."""
    _margins[fault].append(seconds)
    assert seconds > 0, (
        f"{fault}: the client was still sure {-seconds:.3f} s after the lock was free"
    )


def taken() -> dict[str, Any]:
    """Return everything that was measured in this process, for `add`."""
    return {"measured": dict(_measured), "margins": dict(_margins), "limits": _limits}


def add(other: dict[str, Any]) -> None:
    """Add what was measured in another process of this run."""
    for own, others in ((_measured, other["measured"]), (_margins, other["margins"])):
        for fault, seconds in others.items():
            own[fault] += seconds
    _limits.update(other["limits"])


def report() -> list[str]:
    """Return a line for each fault."""
    width = max(map(len, (*_measured, *_margins)), default=0)
    margins = [
        f"{fault:{width}}  n={len(margins):<3} unsure before the lock was free: median"
        f" {statistics.median(margins):7.3f} s  least {min(margins):7.3f} s"
        for fault, margins in sorted(_margins.items())
    ]
    return margins + [
        f"{fault:{width}}  n={len(times):<3} median {statistics.median(times):7.3f} s"
        f"  worst {max(times):7.3f} s  allowed {_limits[fault]:6.2f} s"
        for fault, times in sorted(_measured.items())
    ]
