"""What was measured: of each figure and subject the median of its rounds, and their spread."""

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# The results that the pages show; a run renews the measures that it has taken.
FILE = Path(__file__).resolve().parent / "results.json"


@dataclass
class Taken:
    """A measure as a run has taken it.

    Attributes:
        date: the day.
        machine: what it was taken on.
        size: the name of the sizes, in `SIZES`.
        absent: subjects that could not be started.
        thrown_away: rounds during which too much was stolen from the machine.
        stolen: the largest share stolen in a round that counts.
        values: of each figure and subject, those of all rounds.
    """

    date: str
    machine: str
    size: str
    absent: list[str] = field(default_factory=list)
    thrown_away: int = 0
    stolen: float = 0.0
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, subject: str, figures: dict[str, float]) -> None:
        """Add what one round has yielded."""
        for key, value in figures.items():
            self.values.setdefault(key, {}).setdefault(subject, []).append(value)

    def medians(self, key: str) -> dict[str, float]:
        """Return the median of each subject."""
        of_figure = self.values.get(key, {})
        return {subject: statistics.median(values) for subject, values in of_figure.items()}


def load() -> dict[str, Taken]:
    """Return the kept results by their measure."""
    if not FILE.exists():
        return {}
    kept: dict[str, dict[str, Any]] = json.loads(FILE.read_text())
    return {name: Taken(**taken) for name, taken in kept.items()}


def keep(taken: dict[str, Taken]) -> None:
    """Keep results; of measures that are not among them the former ones stay."""
    both = load() | taken
    kept = {name: _rounded(asdict(each)) for name, each in sorted(both.items())}
    FILE.write_text(json.dumps(kept, indent=1) + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value
