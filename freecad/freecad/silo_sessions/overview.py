"""What the dock shows: rows of text, with what each of them is about. Knows no FreeCAD."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from silo_client import HandoffRequest, Holder, Watched

from .edits import Edits, Hold
from .waits import Wait, Waits


@dataclass(frozen=True)
class Row:
    """A line of the dock.

    Args:
        text: what it says.
        hint: more, shown when the pointer rests on it.
        about: the lock, place in line, request or part number that its buttons act on; None where it has none.
    """

    text: str
    hint: str = ""
    about: Hold | Wait | HandoffRequest | str | None = None


def held(edits: Edits) -> list[Row]:
    """Return a row for each lock in use."""
    return [_hold(hold) for hold in edits.holds]


def _hold(hold: Hold) -> Row:
    if hold.asking and not hold.session and not hold.why:
        state = "asking for the lock…"
    elif hold.session is None:
        state = f"NOT LOCKED: {hold.why}"
    elif hold.editing:
        state = "in edit"
    elif hold.granted:
        state = "your turn: enter it, or release it"
    else:
        state = "changed, held until saved"
    if hold.editing and hold.changed and hold.session:
        state = "in edit, changed"
    others = hold.session.conflicts if hold.session else []
    met = sorted({f"{one.holder.user}'s" for one in others})
    edits = f"{' and '.join(met)} edit{'s' if len(met) > 1 else ''}"
    return Row(
        f"{hold.place} · {state}" + (f" · {edits} may conflict" if met else ""),
        "\n".join(_conflict(one) for one in others),
        hold,
    )


def _conflict(conflict: Any) -> str:
    holder = conflict.holder
    what = holder.object_id or "the whole part"
    shared = f"; both reach {', '.join(conflict.shared[:8])}" if conflict.shared else ""
    return f"{holder.person} edits {what} on {holder.workstation}{shared}"


def waiting(waits: Waits) -> list[Row]:
    """Return a row for each line in which this FreeCAD stands."""
    rows = []
    for wait in waits.all:
        who = f", {wait.holder.user} has it" if wait.holder else ""
        place = f"place {wait.position}" if wait.position else "standing in line…"
        rows.append(Row(f"{wait.place} · {place}{who}", about=wait))
    return rows


def requests(edits: Edits) -> list[Row]:
    """Return a row for each user who asks for a lock that is held here."""
    rows = []
    for request in edits.requests:
        hold = edits.hold_of(request.session_id)
        what = str(hold.place) if hold else str(request.lock)
        rows.append(Row(f"{request.person} asks for {what}", request.message, request))
    return rows


def others(watched: Watched, workstation_id: str) -> list[Row]:
    """Return a row for each session and place in line of other workstations in the open parts."""
    rows = []
    for number, item in sorted(watched.items.items()):
        if item.problem:
            rows.append(Row(f"{number}: {item.problem}", about=number))
            continue
        before = len(rows)
        for one in item.holders:
            if one.workstation_id != workstation_id:
                away = " · away" if one.away_since else " · idle" if one.idle_since else ""
                rows.append(
                    Row(
                        f"{one.person} edits {_what(one)} · since {_clock(one.acquired_at)}{away}",
                        "\n".join(filter(None, (one.workstation, one.note))),
                    )
                )
        for place in item.waiting:
            if place.workstation_id != workstation_id:
                rows.append(
                    Row(f"{place.person} waits for {_what(place)} · place {place.position}")
                )
        if len(rows) == before:
            # That the part is known, too.
            rows.append(Row(f"{number}: nobody else edits it"))
    return rows


def _what(holder: Holder) -> str:
    return f"{holder.object_id or 'all'} of {holder.part_number}"


def _clock(moment: datetime | None) -> str:
    return f"{moment.astimezone():%H:%M}" if moment else "?"


def banner(edits: Edits, *, logged_in: bool, connected: bool, why: str) -> str:
    """Return the warning that is shown above everything; "" where there is none."""
    unlocked = [hold for hold in edits.holds if hold.session is None and not hold.asking]
    unlocked += [hold for hold in edits.holds if hold.asking and hold.why]
    if unlocked:
        hold = unlocked[0]
        return f"{hold.place} is not locked: {hold.why or why}. Others may change it too."
    doubtful = [hold for hold in edits.holds if hold.session and not hold.session.valid]
    if doubtful and not connected:
        return f"The connection is interrupted: {doubtful[0].place} may no longer be locked."
    if not logged_in:
        # Why, is said above it.
        return "Nothing is locked: log in, or connect."
    return "" if connected else "The connection is interrupted; it is opened again by itself."


def names(numbers: Iterable[str]) -> list[str]:
    """Return part numbers once each, in order."""
    return sorted({number for number in numbers if number})
