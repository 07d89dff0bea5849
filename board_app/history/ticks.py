"""The times on the axis of a timeline: round ones, in the reader's time zone."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from board_app.history.interval import midnight

# So many have room beside each other.
MOST: Final = 10
_HOURS: Final = (1, 2, 3, 6, 12)
_DAYS: Final = (1, 2, 4, 7, 14)
_MONTHS: Final = (1, 2, 3, 6, 12)
_MINUTES: Final = (1, 5, 15, 30)


@dataclass(frozen=True)
class Tick:
    """A time on the axis.

    Args:
        at: when.
        label: how it is named.
        is_strong: whether a day begins with it, or where it stands for days, a month.
    """

    at: datetime
    label: str
    is_strong: bool


def ticks_of(start: datetime, end: datetime, zone: ZoneInfo) -> list[Tick]:
    """Return at most about ten ticks between two times, the later of them excluded."""
    span = end - start
    for minutes in _MINUTES:
        if span <= timedelta(minutes=minutes) * MOST:
            return _kept(_clock(start, end, zone, minutes), start, end)
    for hours in _HOURS:
        if span <= timedelta(hours=hours) * MOST:
            return _kept(_clock(start, end, zone, hours * 60), start, end)
    for days in _DAYS:
        if span <= timedelta(days=days) * MOST:
            return _kept(_days(start, end, zone, days), start, end)
    for months in _MONTHS:
        if span <= timedelta(days=31 * months) * MOST:
            break
    return _kept(_months(start, end, zone, months), start, end)


def _kept(ticks: Iterator[Tick], start: datetime, end: datetime) -> list[Tick]:
    """Leave out what is not between the two, and the second of two that a change of the clocks makes one moment."""
    kept: list[Tick] = []
    for tick in ticks:
        if start <= tick.at < end and (not kept or tick.at > kept[-1].at):
            kept.append(tick)
    return kept


def _clock(start: datetime, end: datetime, zone: ZoneInfo, minutes: int) -> Iterator[Tick]:
    for day in _dates(start, end, zone):
        for minute in range(0, 24 * 60, minutes):
            at = datetime.combine(day, time(minute // 60, minute % 60), zone).astimezone(UTC)
            # A time that a change of the clocks leaves out is another one.
            there = at.astimezone(zone)
            yield Tick(at, f"{there:%H:%M}" if minute else _named(day), not minute)


def _days(start: datetime, end: datetime, zone: ZoneInfo, days: int) -> Iterator[Tick]:
    for day in list(_dates(start, end, zone))[::days]:
        yield Tick(midnight(day, zone), _named(day), day.day == 1 or day.weekday() == 0)


def _months(start: datetime, end: datetime, zone: ZoneInfo, months: int) -> Iterator[Tick]:
    for day in _dates(start, end, zone):
        if day.day == 1 and (day.month - 1) % months == 0:
            yield Tick(midnight(day, zone), f"{day:%b %Y}", day.month == 1)


def _dates(start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[date]:
    day, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    while day <= last:
        yield day
        day += timedelta(days=1)


def _named(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b}"
