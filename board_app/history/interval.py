"""The interval that a page shows: days in the reader's time zone, named in the address."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

# What the page offers: the name in the address, what it is called, and how many days it has, today included.
NAMED: Final = {"today": ("Today", 1), "7d": ("7 days", 7), "30d": ("30 days", 30)}
DEFAULT: Final = "7d"
# More would be a picture in which nothing can be seen.
MOST_DAYS: Final = 366
# Of the days around which all time zones can be computed with.
_FIRST, _LAST = date(2000, 1, 1), date(9000, 1, 1)


class BadInterval(ValueError):
    """The address names no interval; the text says why, for a person."""


@dataclass(frozen=True)
class Interval:
    """From the first day to the last, both included.

    Args:
        first: the first day.
        last: the last day.
        zone: where these days are.
        name: by which the address names it; None for two dates.
    """

    first: date
    last: date
    zone: ZoneInfo
    name: str | None = None

    @property
    def start(self) -> datetime:
        """The first moment, in UTC."""
        return midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """The first moment after it, in UTC."""
        return midnight(self.last + timedelta(days=1), self.zone)

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.last - self.first).days + 1

    @property
    def query(self) -> str:
        """The query of an address that names it."""
        if self.name:
            return urlencode({"range": self.name})
        return urlencode({"from": self.first.isoformat(), "to": self.last.isoformat()})

    def shifted(self, times: int, today: date) -> "Interval | None":
        """Return the interval of as many days right before it (-1) or after it (1); None where that is all to come."""
        first = self.first + timedelta(days=self.days * times)
        last = first + timedelta(days=self.days - 1)
        if first > today or first < _FIRST:
            return None
        if last >= today:
            named = [name for name, (_, days) in NAMED.items() if days == self.days]
            if named:
                return of_name(named[0], today, self.zone)
        return Interval(first, last, self.zone)


def of_name(name: str, today: date, zone: ZoneInfo) -> Interval:
    """Return one of the intervals that end today."""
    _, days = NAMED[name]
    return Interval(today - timedelta(days=days - 1), today, zone, name)


def of_query(query: Mapping[str, str], now: datetime, zone: ZoneInfo) -> Interval:
    """Return the interval that the query of an address names: `range`, or `from` and perhaps `to`.

    Args:
        query: the parameters.
        now: the time.
        zone: of the days.

    Raises:
        BadInterval: it names none.
    """
    today = now.astimezone(zone).date()
    first, last = query.get("from", "").strip(), query.get("to", "").strip()
    if not first and not last:
        name = query.get("range", "") or DEFAULT
        if name not in NAMED:
            raise BadInterval(f"“range” is one of {', '.join(NAMED)}.")
        return of_name(name, today, zone)
    if not first:
        raise BadInterval("The first day is missing.")
    interval = Interval(_day(first), _day(last) if last else today, zone)
    if interval.last < interval.first:
        raise BadInterval("The last day is before the first one.")
    if interval.first > today:
        raise BadInterval("The first day is still to come.")
    if interval.days > MOST_DAYS:
        raise BadInterval(f"An interval has at most {MOST_DAYS} days.")
    return interval


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise BadInterval("A day is written as 2025-03-04.") from None
    if not _FIRST <= day <= _LAST:
        raise BadInterval(f"A day is between {_FIRST} and {_LAST}.")
    return day


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """Return when a day begins. Where its midnight was left out, by a change of the clocks, that is the next moment."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
