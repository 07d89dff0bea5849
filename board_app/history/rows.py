"""Sessions, active ones and ended ones, as the rows of one table and as the bars of one picture."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from board_app.history.interval import Interval
from board_app.history.record import MOST
from board_app.history.timeline import ACTIVE, Held, Layout, lay_out
from sessions_app.models import ContextLevel, EndReason, PlaceInLine
from sessions_app.paging import first_page
from sessions_app.text import duration, name_of, person, unbroken

if TYPE_CHECKING:
    from sessions_app.models import EndedSession

WHOLE_ITEM: Final = "whole item"
# How it is said that a session ended, or that it has not.
HOW: Final = {
    ACTIVE: "still held",
    EndReason.RELEASED.value: "released",
    EndReason.DISCONNECTED.value: "client gone",
    EndReason.EXPIRED.value: "expired",
    EndReason.FORCE_RELEASED.value: "force-released",
    EndReason.HANDED_OFF.value: "handed off",
    EndReason.IDLE.value: "idle too long",
    EndReason.WORKSTATION_DELETED.value: "workstation deleted",
}
_LEVELS: Final = {level: str(place) for place, level in enumerate(reversed(ContextLevel.values))}


@dataclass(frozen=True)
class Row:
    """A session in plain values; an ended one by the names of its end."""

    session_id: UUID
    part_number: str
    level: str
    object_id: str
    username: str
    user_name: str
    workstation_id: UUID
    workstation_name: str
    began: datetime
    ended: datetime | None
    last_heartbeat: datetime
    held_for: str
    how: str
    note: str
    # Of an ended one: by whom, and why, where that was by force.
    ended_by: str = ""
    reason: str = ""

    @property
    def key(self) -> str:
        """The id of its row in the table of a page."""
        return f"s-{self.session_id}"

    @property
    def object_shown(self) -> str:
        """The object; none means the whole item."""
        return self.object_id or WHOLE_ITEM

    @property
    def user_shown(self) -> str:
        """Its holder: the full name, and that of the account where it is another one."""
        return person(self.username, self.user_name)

    @property
    def how_shown(self) -> str:
        """How it ended, in words."""
        return HOW.get(self.how, self.how)


def active(sessions: Any, now: datetime) -> list[Row]:
    """Return active sessions, the latest first and at most `MOST`.

    Args:
        sessions: a query of `EditSession`.
        now: by the database's clock.
    """
    latest = sessions.with_names().order_by("-fencing_token")
    return [_of_active(one, now) for one in latest[:MOST]]


def _of_active(session: Any, now: datetime) -> Row:
    return Row(
        session_id=session.pk,
        part_number=session.item.part_number,
        level=session.context_level,
        object_id=session.object_id,
        username=session.user.get_username(),
        user_name=name_of(session.user),
        workstation_id=session.workstation_id,
        workstation_name=session.workstation.name,
        began=session.acquired_at,
        ended=None,
        last_heartbeat=session.last_heartbeat,
        held_for=unbroken(duration(now - session.acquired_at)),
        how=ACTIVE,
        note=session.note,
    )


def of_record(record: "EndedSession") -> Row:
    """Return an ended session."""
    return Row(
        session_id=record.session_id,
        part_number=record.part_number,
        level=record.context_level,
        object_id=record.object_id,
        username=record.username,
        user_name=record.user_name or record.username,
        workstation_id=record.workstation_id,
        workstation_name=record.workstation_name,
        began=record.acquired_at,
        ended=record.released_at,
        last_heartbeat=record.last_heartbeat,
        held_for=unbroken(duration(record.released_at - record.acquired_at)),
        how=record.reason,
        note=record.session_note,
        ended_by=record.ended_by,
        reason=record.note,
    )


def in_line(places: Any) -> tuple[list[PlaceInLine], bool]:
    """Return places in line with their names and positions, as they were taken and at most `MOST`, and whether there
    are more.

    Args:
        places: a query of `PlaceInLine`.
    """
    named = places.with_names().with_counted_position()
    page, last = first_page(named.order_by("number"), MOST)
    return page, last is not None


def by_object(row: Row) -> tuple[tuple[str, ...], str, str]:
    """Say in which lane of an item's picture a session is, how that is called, and what is written in its bar."""
    lane = (_LEVELS.get(row.level, ""), _natural(row.object_id))
    return lane, f"{row.object_shown}, {row.level}", row.user_name


def by_item(row: Row) -> tuple[tuple[str, ...], str, str]:
    """Say the same for the picture of a workstation or a user."""
    lane = (_natural(row.part_number), row.level, _natural(row.object_id))
    return lane, f"{row.part_number}, {row.object_shown}, {row.level}", row.workstation_name


def _natural(text: str) -> str:
    """Return by what a text is sorted: Sketch2 comes before Sketch10."""
    return re.sub(r"[0-9]+", lambda number: number[0].zfill(12), text)


def picture(
    rows: Iterable[Row],
    lane_of: Callable[[Row], tuple[tuple[str, ...], str, str]],
    interval: Interval,
    now: datetime,
) -> Layout:
    """Return the timeline of some sessions.

    Args:
        rows: the sessions.
        lane_of: `by_object` or `by_item`.
        interval: that it shows, up to now.
        now: by the database's clock.
    """
    held = []
    for row in rows:
        lane, label, text = lane_of(row)
        title = _title(row, interval.zone)
        held.append(Held(row.key, lane, label, text, title, row.began, row.ended, row.how))
    end = min(interval.end, now)
    # A day that has just begun.
    end = max(end, interval.start + timedelta(minutes=10))
    return lay_out(held, interval.start, end, now, interval.zone)


def _title(row: Row, zone: ZoneInfo) -> str:
    """Return all that a bar says, in a sentence."""
    held = f"{row.part_number}, {row.object_shown}, {row.level}: {row.user_shown} on {row.workstation_name}"
    began = _moment(row.began, zone)
    if row.ended is None:
        return f"{held}, since {began}, {HOW[ACTIVE]}"
    by = f" by {row.ended_by}" if row.ended_by else ""
    why = f": {row.reason}" if row.reason else ""
    times = f"{began} to {_moment(row.ended, zone)} ({row.held_for})"
    return f"{held}, {times}, {row.how_shown}{by}{why}"


def _moment(time: datetime, zone: ZoneInfo) -> str:
    return f"{time.astimezone(zone):%Y-%m-%d %H:%M:%S}"
