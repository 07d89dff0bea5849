"""Writes the results as a table: to the terminal, and into docs/performance.md between its two marks."""

from pathlib import Path

from benchmarks.figures import FIGURES, NOW, TODAY, Figure
from benchmarks.results import Taken
from benchmarks.sizes import SIZES

PAGE = Path(__file__).resolve().parent.parent / "docs/performance.md"
BEGIN, END = "<!-- table: written by make bench -->", "<!-- end of the table -->"
FEW_DIGITS = 100


def number(value: float) -> str:
    """Return a figure with as many digits as it deserves."""
    if value >= FEW_DIGITS:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= FEW_DIGITS / 10 else f"{value:.2g}"


def cell(values: list[float], median: float) -> str:
    """Return a median and its spread."""
    if len(values) == 1:
        return number(median)
    return f"{number(median)} ({number(min(values))} to {number(max(values))})"


def rows(taken: dict[str, Taken]) -> list[list[str]]:
    """Return the table's rows, its head first."""
    table = [["measure", TODAY, NOW, "times better", "goal", "reached", "beside"]]
    for key, figure in FIGURES.items():
        for measure in taken.values():
            if measure.medians(key):
                table.append(_row(figure, measure, key))
    return table


def _row(figure: Figure, taken: Taken, key: str) -> list[str]:
    values, medians = taken.values[key], taken.medians(key)
    beside = [
        f"{name} {number(median)}" for name, median in medians.items() if name not in {NOW, TODAY}
    ]
    reached = {True: "yes", False: "**no**", None: ""}[figure.is_reached(medians)]
    return [
        f"{figure.named(SIZES[taken.size])}, {figure.unit}",
        *(cell(values[name], medians[name]) if name in medians else "-" for name in (TODAY, NOW)),
        _times(figure, medians),
        figure.said_goal(),
        reached,
        "; ".join(beside),
    ]


def _times(figure: Figure, medians: dict[str, float]) -> str:
    if not (medians.get(TODAY) and medians.get(NOW)):
        return ""
    times = medians[NOW] / medians[TODAY]
    return f"{number(times if figure.more else 1 / times)}"


def in_terminal(table: list[list[str]]) -> str:
    """Return the table in columns."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def in_markdown(table: list[list[str]]) -> str:
    """Return the table as a page has it."""
    head, *body = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *body])


def conditions(taken: dict[str, Taken]) -> str:
    """Return under which conditions each measure was taken, as a list."""
    lines = []
    for name, each in taken.items():
        thrown = f"; {each.thrown_away} rounds thrown away" if each.thrown_away else ""
        absent = f"; absent: {', '.join(each.absent)}" if each.absent else ""
        lines.append(
            f"* `{name}`: {each.date}, {each.machine}, {each.size} sizes; at most"
            f" {each.stolen:.0%} stolen{thrown}{absent}"
        )
    return "\n".join(lines)


def page(text: str, taken: dict[str, Taken]) -> str:
    """Return the text of the page with another table."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    middle = f"\n\n{in_markdown(rows(taken))}\n\n{conditions(taken)}\n\n"
    return f"{before}{BEGIN}{middle}{END}{after}"
