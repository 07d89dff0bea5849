"""Whether a pair costs more where there are many sessions."""

from functools import cache

from benchmarks.build import Build
from benchmarks.mass import Mass
from benchmarks.measures.pairs import hammered
from benchmarks.sizes import Size
from benchmarks.subject import Subject

CLIENTS = 8
FIGURES = ("growth_1", "growth_10", "growth_100")


def take(subject: Subject, size: Size) -> dict[str, float]:
    if not isinstance(subject, Build):
        return {}
    mass, figures = crowd(subject, size.grown[-1]), {}
    for figure, sessions in zip(FIGURES, size.grown, strict=True):
        mass.fill(sessions, 0)
        _, cpu_seconds = hammered(subject, subject.pairs(CLIENTS), CLIENTS, size.seconds)
        figures[figure] = cpu_seconds * 1e3
    mass.clear()
    return figures


@cache
def crowd(build: Build, most: int) -> Mass:
    """Return a build's crowd, whose items are made once."""
    return Mass(build, most)
