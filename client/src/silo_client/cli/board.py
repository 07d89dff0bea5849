"""The table of `silo watch`: sessions from lists, and from the events after them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from silo_client.cli import sessions
from silo_client.cli.editing.guard import WHY
from silo_client.cli.table import make_table, one_line_of
from silo_client.common.visible import visible
from silo_client.data import Lock, person, time_of

Json = Mapping[str, Any]

# The number of recent events to show.
NEWS = 5
# The lines of a table besides its rows: a blank one above, the headings, the rule.
AROUND = 3


class Board:
    """The sessions, and the latest events about them.

    Args:
        title: the title of the table.
    """

    def __init__(self, title: str) -> None:
        self.connected = False
        self._title = title
        self._sessions: dict[str, dict[str, Any]] = {}
        # Each in full, and in short for narrow terminals.
        self._news: deque[tuple[str, str]] = deque(maxlen=NEWS)

    def fill(self, listed: Iterable[Json]) -> None:
        """Replace the sessions by those of a list."""
        # No event says that a workstation connects, so `connected` would be wrong a moment later.
        known = [{**session, "connected": None} for session in listed]
        self._sessions = {str(session["session_id"]): session for session in known}

    def apply(self, event: str, data: Json) -> None:
        """Apply an event. An event that the list already contains changes nothing."""
        if event.startswith("item."):
            self._apply_to_item(event, data)
        if event == "edit.line_changed":
            self._tell(data, sentence(event, data), sentence(event, data, short=True))
        if "session_id" not in data:
            return
        session_id = str(data["session_id"])
        if event == "edit.session_released":
            self._sessions.pop(session_id, None)
            self._remove_conflicts(session_id)
        elif event == "edit.session_acquired":
            self._sessions[session_id] = dict(data)
        elif session := self._sessions.get(session_id):
            session.update(_changed(event, data))
        self._tell(data, sentence(event, data), sentence(event, data, short=True))

    def _tell(self, data: Json, *said: str) -> None:
        in_full, in_short = (f"{clock_time(data)}  {one}" for one in (said[0], said[-1]))
        self._news.append((in_full, in_short))

    def _apply_to_item(self, event: str, data: Json) -> None:
        for session in self._sessions.values():
            if session.get("item_id") == data["item_id"]:
                session["part_number"] = data["part_number"]
        said = {
            "item.renamed": f"{data.get('old_part_number')} is {data['part_number']} now",
            "item.retired": f"{data['part_number']} is retired",
            "item.restored": f"{data['part_number']} can be edited again",
        }
        if event in said:
            self._tell(data, said[event])

    def mark(self, listed: Iterable[Json]) -> None:
        """Take over the conflicts of sessions from a list."""
        for session in listed:
            if known := self._sessions.get(str(session["session_id"])):
                known["interference"] = session.get("interference")
                known["interferes_with"] = session.get("interferes_with")

    def _remove_conflicts(self, session_id: str) -> None:
        """Remove an ended session from the conflicts of the others."""
        for known in self._sessions.values():
            if met := known.get("interferes_with"):
                left = [one for one in met if str(one["session_id"]) != session_id]
                known["interferes_with"] = left

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give what a terminal shows: `rich` asks for it."""
        yield self.render(options.max_width, console.height)

    def render(self, width: int, height: int) -> RenderableType:
        """Return the latest sessions and the latest news.

        Args:
            width, height: of the terminal. Each session and each of the news takes one line; where there are too many,
                the number of those that are not shown is, and the latest of the news stays.
        """
        known = sorted(self._sessions.values(), key=lambda one: str(one["acquired_at"]))
        title = f"{self._title}: {len(known)} being edited"
        if not self.connected:
            # First, as there may be no room for all.
            title = f"No connection; trying again. {title}"
        style = "bold" if self.connected else "bold yellow"
        shown: list[RenderableType] = [one_line_of(title, style)]
        # The last line is left to the cursor.
        news, rows = self._share(len(known), height - len(shown) - 1)
        if rows:
            latest = list(reversed(known))[:rows]
            shown += [Text(""), make_table(sessions.COLUMNS, map(sessions.row, latest), width)]
        if hidden := len(known) - rows:
            shown.append(one_line_of(f"and {hidden} more: `silo who` lists all", "dim"))
        if news:
            shown += [Text(""), *(fitting(one, width) for one in list(self._news)[-news:])]
        return Group(*shown)

    def _share(self, known: int, lines: int) -> tuple[int, int]:
        """Return how many of the news and of the sessions fit into so many lines."""
        news = min(len(self._news), max(1, min(NEWS, lines // 4)))
        room = max(0, lines - (news + 1 if news else 0))
        if known + AROUND <= room:
            # What the sessions leave is for further news.
            return min(len(self._news), news + room - known - AROUND), known if known else 0
        return news, max(0, room - AROUND - 1)


def fitting(said: tuple[str, str], width: int) -> Text:
    """Return one of the news in full where that has room, else in short."""
    in_full, in_short = said
    return one_line_of(in_full if cell_len(visible(in_full)) <= width else in_short, "dim")


def _changed(event: str, data: Json) -> Json:
    """Return the members of a session that an event changes."""
    return {
        "edit.session_away": {"away_since": data.get("away_since")},
        "edit.session_back": {"away_since": None},
        "edit.session_idle": {"idle_since": data.get("idle_since")},
        "edit.session_active": {"idle_since": None},
    }.get(event, {})


def sentence(event: str, data: Json, *, short: bool = False) -> str:
    """Return an event as a sentence; in short, with the part, the account and what has happened only."""
    if event == "edit.line_changed":
        what = str(data["part_number"]) if short else str(Lock.from_payload(data))
        waiting = {0: "nobody waits", 1: "1 waits"}.get(data["length"], f"{data['length']} wait")
        return f"{what}: {waiting} in line"
    who = f"{person(data)} on {data['workstation']['name']}"
    what = str(Lock.from_payload(data))
    if short:
        who, what = str(data.get("user", "")), str(data["part_number"])
    if event == "edit.session_acquired" and short:
        return f"{what}: {who} is editing it"
    if event == "edit.session_released" and short:
        return f"{what}: {who} is no longer editing it"
    if event == "edit.session_acquired":
        others = sessions.conflicting(data)
        soft = data.get("interference") == "soft"
        meets = f", and may conflict with {others or 'others'}" if others or soft else ""
        note = f" (“{data['note']}”)" if data.get("note") else ""
        return f"{what}: {who} is editing it{meets}{note}"
    if event == "edit.session_released":
        reason = str(data["reason"])
        ended = {"released": "", "force_released": ": an admin released it by force"}
        why = ended.get(
            reason, f": {WHY.get(reason, reason)}".replace("this machine", "the machine")
        )
        return f"{what}: {who} is no longer editing it{why.replace('this workstation', 'it')}"
    said = {
        "edit.session_away": "is away",
        "edit.session_back": "is back",
        "edit.session_idle": "is idle",
        "edit.session_active": "is active again",
    }
    return f"{what}: {who} {said.get(event, event)}"


def clock_time(data: Json) -> str:
    """Return the time of day of an event in this machine's time zone; the present time where the event has none."""
    moments = [time_of(data.get("released_at")), time_of(data.get("acquired_at"))]
    first = next((moment for moment in moments if moment), None)
    local = first.astimezone() if first else datetime.now().astimezone()
    return f"{local:%H:%M:%S}"
