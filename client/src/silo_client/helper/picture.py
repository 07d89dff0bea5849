"""The state of watched items: what a list of the server says, changed by the events after it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from silo_client.common.protocol import Message

Json = Mapping[str, Any]

# What an event changes of a session.
CHANGED = {
    "edit.session_away": "away_since",
    "edit.session_back": "away_since",
    "edit.session_idle": "idle_since",
    "edit.session_active": "idle_since",
}
OVER = {"edit.session_back", "edit.session_active"}


class _Item:
    """One item, under all the part numbers by which it was asked for."""

    def __init__(self, listed: Json) -> None:
        self.id = str(listed["item_id"])
        self.asked = [str(number) for number in listed["asked"]]
        self.part_number = str(listed["part_number"])
        self.retired_at = listed["retired_at"]
        self.complete = bool(listed["complete"])
        self.sessions: dict[str, dict[str, Any]] = {
            str(one["session_id"]): dict(one) for one in listed["sessions"]
        }
        self.places = [dict(one) for one in listed["requests"]]

    def state(self) -> Message:
        return {
            "part_number": self.part_number,
            "retired_at": self.retired_at,
            "complete": self.complete,
            "sessions": list(self.sessions.values()),
            "requests": self.places,
        }


class Picture:
    """See the module."""

    def __init__(self) -> None:
        self.touched = asyncio.Event()
        # Whether events have shown that the list has to be read again.
        self.outdated = False
        self._refused: dict[str, str] = {}
        self._items: dict[str, _Item] = {}
        self._changed: set[str] = set()
        self._lines: set[str] = set()

    # -- from lists --

    def add(self, answer: Json) -> None:
        """Add what an answer says of the items in it."""
        for listed in answer["items"]:
            item = _Item(listed)
            known = self._items.get(item.id)
            item.asked = [*(known.asked if known else ()), *item.asked]
            self._items[item.id] = item
        for number in answer["unknown"]:
            self.refuse(number, f"There is no item {number}.")

    def refuse(self, part_number: str, why: str) -> None:
        """Note that there is nothing to watch under this part number."""
        self._refused[part_number] = why

    def take_lines(self, newer: Picture) -> None:
        """Take the places in line over from a newer list."""
        for item in newer._items.values():
            if known := self._items.get(item.id):
                known.places, known.retired_at = item.places, item.retired_at
                known.complete = known.complete and item.complete

    # -- from events --

    def apply(self, event: str, data: Json) -> None:
        """Apply an event. One that the list already knows changes nothing."""
        if event == "stream-reset" or event.startswith("item."):
            # Of an item: another number, an empty line, or it was merged into the item that the event names, which
            # may be none of these. The list says which.
            self.outdated = True
            return
        item = self._items.get(str(data.get("item_id")))
        if item is None:
            return
        self._apply_to(item, event, data)
        self._changed.add(item.id)
        self.touched.set()

    def _apply_to(self, item: _Item, event: str, data: Json) -> None:
        session_id = str(data.get("session_id"))
        if event == "edit.session_acquired":
            item.sessions[session_id] = {**item.sessions.get(session_id, {}), **data}
        elif event == "edit.session_released":
            item.sessions.pop(session_id, None)
        elif event in CHANGED and session_id in item.sessions:
            member = CHANGED[event]
            item.sessions[session_id][member] = None if event in OVER else data[member]
        elif event == "edit.line_changed":
            self._lines.add(item.id)

    # -- to be told --

    @property
    def known(self) -> list[str]:
        """The part numbers of the items that there are, one each."""
        return [item.part_number for item in self._items.values()]

    @property
    def unknown(self) -> list[str]:
        """The part numbers under which there is nothing."""
        return list(self._refused)

    @property
    def all(self) -> dict[str, Message]:
        """The state of everything, by the part numbers that were asked for."""
        return {number: {"problem": why} for number, why in self._refused.items()} | {
            number: item.state() for item in self._items.values() for number in item.asked
        }

    def changes(self) -> dict[str, Message]:
        """Return the state of the items that have changed since the last call."""
        changed, self._changed = self._changed, set()
        return {
            number: self._items[one].state() for one in changed for number in self._items[one].asked
        }

    def lines_to_read(self) -> list[str]:
        """Return the part numbers of items whose line has changed since the last call, or may have."""
        lines, self._lines = self._lines, set()
        return [self._items[one].part_number for one in lines]
