"""The measures: each a function of a subject and the sizes, which returns figures by their keys in `figures.py`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.measures import calls, fan_out, growth, killed, pairs, streams, sweep, told
from benchmarks.sizes import Size
from benchmarks.subject import Subject

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Measure:
    """A measure: what takes it, and whether that takes minutes.

    `take` returns nothing where the subject cannot do it.
    """

    take: Callable[[Subject, Size], Figures]
    long: bool = False


MEASURES = {
    "pairs": Measure(pairs.take),
    "alive": Measure(calls.take_alive),
    "batch": Measure(calls.take_batch),
    "told": Measure(told.take),
    "fan_out": Measure(fan_out.take),
    "streams": Measure(streams.take, long=True),
    "killed": Measure(killed.take, long=True),
    "growth": Measure(growth.take, long=True),
    "sweep": Measure(sweep.take, long=True),
}
