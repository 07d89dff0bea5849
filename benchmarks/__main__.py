"""`make bench`: measures, prints the table, and writes it into docs/performance.md, with a picture."""

import argparse
import os
import signal
import sys
from datetime import UTC, datetime

from benchmarks import machine, picture, report, results
from benchmarks.measures import MEASURES, Measure
from benchmarks.results import Taken
from benchmarks.sizes import SIZES, Size
from benchmarks.subjects import SUBJECTS, Running

# A round in which the host gave more of the machine to others says nothing.
MOST_STOLEN = 0.10
# So many rounds are thrown away at most, for each that counts.
PATIENCE = 3


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("measures", nargs="*", help=f"of {', '.join(MEASURES)} (all)")
    parser.add_argument("--subjects", default=",".join(SUBJECTS), help="separated by commas")
    sizes = parser.add_mutually_exclusive_group()
    for name, meaning in (
        ("short", "the table's sizes, few rounds"),
        ("quick", "small sizes, few rounds"),
    ):
        sizes.add_argument(
            f"--{name}", dest="size", action="store_const", const=name, default="full", help=meaning
        )
    parser.add_argument(
        "--machine", default=f"{os.cpu_count()} cores", help="what the page says of it"
    )
    parser.add_argument("--keep", action="store_true", help="renew docs/performance.md")
    parser.add_argument(
        "--redraw", action="store_true", help="only renew the page, by the kept results"
    )
    given = parser.parse_args()
    if given.redraw:
        renew_pages()
        return
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for name in given.measures:
        if name not in MEASURES:
            parser.error(f"there is no measure {name}: {', '.join(MEASURES)}")
    names = [name for name in SUBJECTS if name in given.subjects.split(",")]
    taken: dict[str, Taken] = {}
    with Running() as running:
        for measure in given.measures or MEASURES:
            taken[measure] = Taken(f"{datetime.now(UTC):%Y-%m-%d}", given.machine, given.size)
            take(taken[measure], measure, names, running)
            taken[measure].absent = sorted(running.absent.keys() & names)
            if given.keep:
                results.keep(taken)
                renew_pages()
        absent = running.absent
    print(report.in_terminal(report.rows(taken)))
    print(report.conditions(taken))
    for name, why in absent.items():
        print(f"{name} is absent: {why}")


def renew_pages() -> None:
    """Write the table and the picture of the kept results."""
    kept = results.load()
    report.PAGE.write_text(report.page(report.PAGE.read_text(), kept))
    picture.FILE.write_text(picture.drawn(kept))


def take(taken: Taken, name: str, subjects: list[str], running: Running) -> None:
    """Take a measure of all subjects in turn, in several rounds."""
    measure, size = MEASURES[name], SIZES[taken.size]
    rounds = size.long_rounds if measure.long else size.rounds
    for number in range(rounds):
        for subject in measure.subjects or subjects:
            print(f"{name}, round {number + 1} of {rounds}: {subject}", file=sys.stderr)
            take_round(taken, measure, size, subject, running)


def take_round(taken: Taken, measure: Measure, size: Size, name: str, running: Running) -> None:
    """Take one round of one subject; once more while too much was stolen."""
    if not (subject := running.get(name)):
        return
    for attempt in range(PATIENCE + 1):
        with machine.window() as seen:
            figures = dict(measure.take(subject, size))
        if seen.stolen <= MOST_STOLEN or attempt == PATIENCE:
            break
        taken.thrown_away += 1
    taken.stolen = max(taken.stolen, seen.stolen)
    taken.add(name, figures)


if __name__ == "__main__":
    main()
