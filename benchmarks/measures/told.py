"""From the death of a holder until another process's stream has the event."""

import statistics

from benchmarks.sizes import Size
from benchmarks.subject import Subject


def take(subject: Subject, size: Size) -> dict[str, float]:
    if not (deaths := subject.deaths()):
        return {}
    try:
        deaths.die()
        took = sorted(deaths.die() for _ in range(size.deaths))
    finally:
        deaths.close()
    late = took[int(len(took) * 0.99)]
    return {
        "told": statistics.median(took) * 1e3,
        "told_p99": late * 1e3,
        "told_best": took[0] * 1e3,
    }
