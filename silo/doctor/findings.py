"""The form of what `manage.py doctor` finds, and how it is shown."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final


class Level(StrEnum):
    """How bad it is. Only a problem makes the command fail."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    PROBLEM = "PROBLEM"


@dataclass(frozen=True)
class Finding:
    """One finding.

    Args:
        level: how bad it is.
        subject: the part of the installation that it is about.
        text: a sentence; it never has a secret.
        advice: what to do; "" where nothing is to be done.
    """

    level: Level
    subject: str
    text: str
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as `--json` shows it."""
        return {**asdict(self), "level": self.level.lower()}


def ok(subject: str, text: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(Level.OK, subject, text)


def skipped(subject: str, text: str, advice: str) -> Finding:
    """Return that something was not looked at."""
    return Finding(Level.SKIPPED, subject, text, advice)


def warning(subject: str, text: str, advice: str) -> Finding:
    """Return something that works, and could be better."""
    return Finding(Level.WARNING, subject, text, advice)


def problem(subject: str, text: str, advice: str) -> Finding:
    """Return something that has to be changed."""
    return Finding(Level.PROBLEM, subject, text, advice)


# Behind the level: the longest subject has so many letters.
_SUBJECT_WIDTH: Final = 16


def lines(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield them as lines of text."""
    for one in findings:
        yield f"{one.level:<8} {one.subject:<{_SUBJECT_WIDTH}} {one.text}"
        if one.advice:
            yield f"{'':<{9 + _SUBJECT_WIDTH}} -> {one.advice}"


def summary(findings: Iterable[Finding]) -> str:
    """Return a sentence with the number of problems and warnings."""
    levels = [one.level for one in findings]
    problems, warnings = levels.count(Level.PROBLEM), levels.count(Level.WARNING)
    return f"{_number(problems, 'problem')}, {_number(warnings, 'warning')}."


def _number(count: int, name: str) -> str:
    return f"{count or 'no'} {name}{'s' * (count != 1)}"
