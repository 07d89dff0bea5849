"""Draws the results as bars in an SVG picture: for each figure one bar a subject, and a line at the goal."""

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.figures import FIGURES, NOW, Figure
from benchmarks.report import number
from benchmarks.results import Taken
from benchmarks.sizes import SIZES

FILE = Path(__file__).resolve().parent.parent / "docs/performance.svg"

WIDTH, MARGIN = 900, 16
# Where bars begin, and how long the longest is; its figure is behind it.
LEFT, LONGEST = 130, 560
TITLE, LINE, BAR, BETWEEN = 22, 17, 12, 14
OURS, OTHERS, GOAL, INK, PAPER = "#1f6feb", "#b0b8c4", "#d1242f", "#1f2328", "#ffffff"


@dataclass
class _Bars:
    """A figure's values, as they are drawn."""

    figure: Figure
    title: str
    medians: dict[str, float]

    @property
    def height(self) -> int:
        return TITLE + LINE * len(self.medians) + BETWEEN

    @property
    def goal(self) -> float | None:
        return self.figure.goal(self.medians)

    def scale(self) -> float:
        """Return the pixels of 1; a goal beyond all bars is at the right edge."""
        return LONGEST / (max([*self.medians.values(), self.goal or 0]) or 1)


def drawn(taken: dict[str, Taken]) -> str:
    """Return the picture of all figures of which there is something to compare."""
    bars = [
        _Bars(figure, f"{figure.named(SIZES[measure.size])}, {figure.unit}", medians)
        for key, figure in FIGURES.items()
        for measure in taken.values()
        if (medians := measure.medians(key)) and (len(medians) > 1 or figure.goal(medians))
    ]
    parts, top = [], MARGIN
    for each in bars:
        parts += _block(each, top)
        top += each.height
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}"'
        f' font-family="sans-serif" font-size="12" fill="{INK}">'
    )
    paper = f'<rect width="{WIDTH}" height="{top}" fill="{PAPER}"/>'
    return "\n".join([head, paper, *parts, "</svg>\n"])


def _block(bars: _Bars, top: int) -> list[str]:
    """Return the title and bars of one figure."""
    better = "more" if bars.figure.more else "less"
    title = f"{bars.title} ({better} is better)".replace("`", "")
    parts = [_text(MARGIN, top + 12, title, ' font-weight="bold"')]
    scale, at = bars.scale(), top + TITLE
    for subject, median in bars.medians.items():
        colour = OURS if subject == NOW else OTHERS
        length = max(median * scale, 1)
        parts += [
            _text(LEFT - 8, at + BAR - 2, subject, ' text-anchor="end"'),
            f'<rect x="{LEFT}" y="{at}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>',
            _text(LEFT + length + 6, at + BAR - 2, number(median)),
        ]
        at += LINE
    if bars.goal is not None:
        x = LEFT + bars.goal * scale
        said = f"goal {number(bars.goal)}"
        parts += [
            f'<path d="M{x:.1f} {top + TITLE - 4}V{at - LINE + BAR + 4}" stroke="{GOAL}" stroke-dasharray="3 2"/>',
            _text(WIDTH - MARGIN, top + 12, said, f' text-anchor="end" fill="{GOAL}"'),
        ]
    return parts


def _text(x: float, y: float, said: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y}"{more}>{escape(said)}</text>'
