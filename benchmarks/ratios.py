"""`make bench-quick`: within a minute, whether the service has become twice as slow beside plain floors.

The floors run in the same minute on the same machine, in turn with the service, so a slow machine slows down both. Of
each side the best round counts. Processor time is compared whatever else the machine does; times that pass are compared
where it did little else, because the service hands work from process to process and waits for the processor each time.
Fails where a ratio is more than twice the one in `kept.toml`; with `--renew` it writes that file.
"""

import argparse
import os
import signal
import sys
import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine
from benchmarks.figures import FIGURES, NOW
from benchmarks.measures import MEASURES
from benchmarks.report import in_terminal, number
from benchmarks.sizes import SIZES
from benchmarks.subjects import Running

KEPT = Path(__file__).with_name("kept.toml")
MOST_TIMES = 2.0
TABLE, FLOOR = "raw table", "asyncio floor"
# The figures, each beside the same one of a floor, in the order in which they are measured.
BESIDE = {
    "cpu_32": TABLE,
    "pairs_1": TABLE,
    "batch_cpu": TABLE,
    "told_best": FLOOR,
    "fan_cpu": FLOOR,
    "opened_cpu": FLOOR,
}
# By which measure each is taken.
TAKEN = {
    "cpu_32": "pairs",
    "pairs_1": "pairs",
    "batch_cpu": "batch",
    "told_best": "told",
    "fan_cpu": "fan_out",
    "opened_cpu": "streams",
}
# Times that pass, which say nothing where others use, or the host takes, more of the machine than this.
PASSING = {"pairs_1", "told_best"}
MOST_OTHERS = 0.1
SECOND_LOOKS = 3
HEAD = """\
# What `make bench-quick` compares with: figures of the service beside the same ones of a floor, best rounds of one run,
# larger is slower. It fails where one is more than twice as large.
# To renew, once a change of speed is meant and on a machine that does nothing else:
#     make bench-quick BENCH=--renew
"""

Best = dict[tuple[str, str], float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-quick", description=__doc__)
    parser.add_argument("--renew", action="store_true", help="keep the ratios of this run")
    parser.add_argument("--machine", default=f"{os.cpu_count()} cores", help="what the file says")
    given = parser.parse_args()
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    best = Best()
    with Running() as running:
        for _ in range(SIZES["ratios"].rounds):
            take_round(running, best, dict.fromkeys(TAKEN.values()))
        if given.renew and (busy := BESIDE.keys() - ratios(best).keys()):
            sys.exit(f"The machine does other work, so {', '.join(sorted(busy))} cannot be kept.")
        if given.renew:
            KEPT.write_text(as_file(ratios(best), given.machine))
        kept: dict[str, float] = tomllib.loads(KEPT.read_text())["ratios"]
        for _ in range(SECOND_LOOKS):
            # Perhaps only the machine was busy.
            if again := {TAKEN[key] for key in too_slow(best, kept)}:
                take_round(running, best, again)
    found, slow = ratios(best), too_slow(best, kept)
    table = [["measure", "beside", "ratio", "kept", ""]]
    for key, floor in BESIDE.items():
        ratio, said = "-", "not judged: the machine did other work"
        if key in found:
            ratio, said = number(found[key]), "MORE THAN TWICE AS SLOW" if key in slow else ""
        title = FIGURES[key].named(SIZES["ratios"])
        table.append([title, floor, ratio, number(kept[key]), said])
    print(in_terminal(table))
    if slow:
        sys.exit(
            f"Slower than kept in {KEPT.name}: {', '.join(slow)}. Its first lines say how to renew it."
        )


def take_round(running: Running, best: Best, measures: Iterable[str]) -> None:
    """Measure the service and the floors in turn; keep the best of each figure and subject."""
    for measure in measures:
        for name in (NOW, TABLE, FLOOR):
            subject = running.get(name)
            assert subject
            pids = [os.getpid(), *subject.pids]
            before = machine.cpu_seconds(pids)
            with machine.window() as seen:
                figures = MEASURES[measure].take(subject, SIZES["ratios"])
            others = seen.others(machine.cpu_seconds(pids) - before)
            for key, value in figures.items():
                if key in PASSING and max(others, seen.stolen) > MOST_OTHERS:
                    continue
                better = max if FIGURES[key].more else min
                best[key, name] = better(value, best.get((key, name), value))


def too_slow(best: Best, kept: dict[str, float]) -> list[str]:
    """Return the figures whose ratio is more than twice the kept one."""
    return [key for key, ratio in ratios(best).items() if ratio > MOST_TIMES * kept[key]]


def ratios(best: Best) -> dict[str, float]:
    """Return by how much the service is slower than the floors, as far as both were measured."""
    return {
        key: best[key, floor] / best[key, NOW]
        if FIGURES[key].more
        else best[key, NOW] / best[key, floor]
        for key, floor in BESIDE.items()
        if {(key, NOW), (key, floor)} <= best.keys()
    }


def as_file(found: dict[str, float], machine: str) -> str:
    """Return the text of `kept.toml`."""
    taken = f'date = "{datetime.now(UTC):%Y-%m-%d}"\nmachine = "{machine}"\n\n[ratios]\n'
    lines = [
        f"{key} = {ratio:.3g}  # {FIGURES[key].unit}, beside {BESIDE[key]}\n"
        for key, ratio in found.items()
    ]
    return f"{HEAD}{taken}{''.join(lines)}"


if __name__ == "__main__":
    main()
