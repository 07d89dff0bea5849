"""The measures: each a function of a subject and the sizes, which returns figures by their keys in `figures.py`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.measures import calls, fan_out, growth, killed, pairs, streams, sweep, told
from benchmarks.sizes import Size
from benchmarks.subject import Subject
from benchmarks.subjects import WORKERS

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Measure:
    """A measure: what takes it, and whether that takes minutes.

    `take` returns nothing where the subject cannot do it. `subjects`, if there are any, are those of this measure only.
    """

    take: Callable[[Subject, Size], Figures]
    long: bool = False
    subjects: tuple[str, ...] = ()


MEASURES = {
    "pairs": Measure(pairs.take),
    "alive": Measure(calls.take_alive),
    "batch": Measure(calls.take_batch),
    "told": Measure(told.take),
    "fan_out": Measure(fan_out.take),
    "streams": Measure(streams.take, long=True),
    "killed": Measure(killed.take, long=True),
    "workers": Measure(pairs.take_workers, subjects=tuple(WORKERS)),
    "growth": Measure(growth.take, long=True),
    "sweep": Measure(sweep.take, long=True),
}
