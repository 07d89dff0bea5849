"""The layout of a timeline: where the bar of each session stands, in plain numbers. It asks no database and no clock.

A lane is what is held: an object of an item. Each lane has a row, and one more wherever its sessions overlap.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from board_app.history.ticks import ticks_of

# Of a session that has not ended; the others are `EndReason`.
ACTIVE: Final = "active"

# In the units of the picture, which are pixels of a window that is wide enough.
LABELS: Final = 260
CHART: Final = 720
MARGIN: Final = 20
WIDTH: Final = LABELS + CHART + MARGIN
TOP: Final = 30
ROW: Final = 26
BAR: Final = 18
# A session of a second is seen, too.
LEAST_WIDTH: Final = 4
# Of a letter, about; and what a text in a bar leaves free.
LETTER: Final = 7.2
PADDING: Final = 10
LEAST_LETTERS: Final = 4

# More rows would be a picture that nobody looks through, the table below names them all.
MOST_ROWS: Final = 40


@dataclass(frozen=True)
class Held:
    """A session as the picture needs it.

    Args:
        key: by which the bar points to its row in the table.
        lane: what is held: as it is sorted.
        label: the same as it is shown.
        text: in the bar, where there is room.
        title: all that is said of it.
        began: when it was acquired.
        ended: when it ended; None if it has not.
        how: how it ended, or `ACTIVE`.
    """

    key: str
    lane: tuple[str, ...]
    label: str
    text: str
    title: str
    began: datetime
    ended: datetime | None
    how: str


@dataclass(frozen=True)
class Bar:
    """A session in the picture; `cut_left` and `cut_right` say that it goes on beyond the picture's end."""

    key: str
    x: float
    y: float
    width: float
    how: str
    text: str
    title: str
    cut_left: bool
    cut_right: bool
    height: int = BAR

    @property
    def half(self) -> int:
        """Half of its height."""
        return self.height // 2

    @property
    def text_x(self) -> float:
        """Where its text begins."""
        return round(self.x + PADDING / 2, 1)

    @property
    def text_y(self) -> float:
        """The line on which its text stands."""
        return self.y + 13

    @property
    def end_x(self) -> float:
        """Where it ends."""
        return round(self.x + self.width, 1)

    @property
    def end_y(self) -> float:
        """Its lower edge."""
        return self.y + self.height


@dataclass(frozen=True)
class Lane:
    """A lane: its label, shortened, and in full."""

    label: str
    title: str
    y: float
    height: float
    is_odd: bool
    bars: Sequence[Bar]

    @property
    def text_y(self) -> float:
        """The line on which its label stands."""
        return self.y + 17


@dataclass(frozen=True)
class Mark:
    """A time on the axis."""

    x: float
    label: str
    is_strong: bool

    @property
    def text_x(self) -> float:
        """Where the middle of the label is: a late one ends with the picture."""
        return min(self.x, WIDTH - LETTER * len(self.label) / 2)


@dataclass(frozen=True)
class Layout:
    """The picture.

    Args:
        height: of the picture.
        lanes: from the top.
        marks: of the axis.
        now_x: where now is; None where that is not in it.
        hows: how the sessions ended that it shows, what is held now first.
        left_out: how many sessions are not in it, as there are more lanes than rows.
        lanes_left_out: of how many lanes.
    """

    height: float
    lanes: Sequence[Lane]
    marks: Sequence[Mark]
    now_x: float | None
    hows: Sequence[str]
    left_out: int = 0
    lanes_left_out: int = 0
    width: int = WIDTH
    left: int = LABELS
    right: int = LABELS + CHART
    top: int = TOP
    chart: int = CHART

    @property
    def bars(self) -> int:
        """How many sessions it shows."""
        return sum(len(lane.bars) for lane in self.lanes)


@dataclass
class _Lane:
    """The sessions of a lane, each row without two that overlap."""

    key: tuple[str, ...]
    label: str
    rows: list[list[Held]] = field(default_factory=list)

    @property
    def rank(self) -> tuple[bool, datetime]:
        """The lanes that are held now come first, then those in which something ended last."""
        sessions = [one for row in self.rows for one in row]
        active = any(one.ended is None for one in sessions)
        return active, max(one.ended or one.began for one in sessions)


@dataclass(frozen=True)
class _Scale:
    start: datetime
    end: datetime

    def x(self, at: datetime) -> float:
        share = (at - self.start) / (self.end - self.start)
        return LABELS + CHART * min(1.0, max(0.0, share))


def lay_out(
    sessions: Iterable[Held],
    start: datetime,
    end: datetime,
    now: datetime,
    zone: ZoneInfo,
    most_rows: int = MOST_ROWS,
) -> Layout:
    """Return the picture of some sessions.

    Where their lanes need more rows than `most_rows`, the lanes that are held now have precedence, and then those of
    the latest sessions.

    Args:
        sessions: in any order; those outside of the interval are not shown.
        start: where the picture begins.
        end: where it ends, later than `start`.
        now: up to which sessions that have not ended are drawn.
        zone: of the times on the axis.
        most_rows: how many rows it has.
    """
    scale = _Scale(start, end)
    inside = [one for one in sessions if one.began < end and (one.ended or now) >= start]
    lanes = _lanes(inside)
    chosen, rows = [], 0
    for lane in sorted(lanes, key=lambda lane: lane.rank, reverse=True):
        if rows + len(lane.rows) <= most_rows:
            chosen.append(lane)
            rows += len(lane.rows)
        elif not chosen:
            # A single lane with more rows than there may be: its first ones.
            chosen.append(_Lane(lane.key, lane.label, lane.rows[:most_rows]))
            rows = most_rows
    chosen.sort(key=lambda lane: lane.key)
    drawn, y = [], float(TOP)
    for number, lane in enumerate(chosen):
        drawn.append(_drawn(lane, y, bool(number % 2), scale, now))
        y += ROW * len(lane.rows)
    shown = {bar.how for lane in drawn for bar in lane.bars}
    return Layout(
        height=y + 8,
        lanes=drawn,
        marks=[
            Mark(round(scale.x(tick.at), 1), tick.label, tick.is_strong)
            for tick in ticks_of(start, end, zone)
        ],
        now_x=round(scale.x(now), 1) if start <= now <= end else None,
        hows=sorted(shown, key=lambda how: (how != ACTIVE, how)),
        left_out=len(inside) - sum(len(lane.bars) for lane in drawn),
        lanes_left_out=len(lanes) - len(drawn),
    )


def _lanes(sessions: Iterable[Held]) -> list[_Lane]:
    """Return the lanes of sessions. A session goes into the first row of its lane that is free when it begins."""
    lanes: dict[tuple[str, ...], _Lane] = {}
    free: defaultdict[tuple[str, ...], list[datetime | None]] = defaultdict(list)
    for one in sorted(sessions, key=lambda one: (one.began, one.key)):
        lane = lanes.setdefault(one.lane, _Lane(one.lane, one.label))
        ends = free[one.lane]
        for row, end in enumerate(ends):
            if end is not None and end <= one.began:
                lane.rows[row].append(one)
                ends[row] = one.ended
                break
        else:
            lane.rows.append([one])
            ends.append(one.ended)
    return list(lanes.values())


def _drawn(lane: _Lane, y: float, is_odd: bool, scale: _Scale, now: datetime) -> Lane:
    bars = [
        _bar(one, y + row * ROW + (ROW - BAR) / 2, scale, now)
        for row, sessions in enumerate(lane.rows)
        for one in sessions
    ]
    label = shortened(lane.label, LABELS - PADDING)
    return Lane(label, lane.label, y, ROW * len(lane.rows), is_odd, bars)


def _bar(one: Held, y: float, scale: _Scale, now: datetime) -> Bar:
    left = scale.x(one.began)
    right = scale.x(one.ended or now)
    width = max(LEAST_WIDTH, right - left)
    # At the right end it would stand beyond it.
    left = min(left, LABELS + CHART - width)
    return Bar(
        key=one.key,
        x=round(left, 1),
        y=y,
        width=round(width, 1),
        how=one.how,
        text=shortened(one.text, width - PADDING),
        title=one.title,
        cut_left=one.began < scale.start,
        cut_right=one.ended is None or one.ended > scale.end,
    )


def shortened(text: str, width: float) -> str:
    """Return as much of a text as has room, with an ellipsis where it is not all; empty where that would be little."""
    letters = int(width / LETTER)
    if len(text) <= letters:
        return text
    return f"{text[: letters - 1].rstrip()}…" if letters >= LEAST_LETTERS else ""
