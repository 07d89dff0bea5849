"""A client's view: a list that was read once, and every event after its cursor."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.slow.comparison import IDENTITY, Entry
from tests.slow.model_core import LINE_CHANGED

Json = Any
TIMES = ("acquired_at", "away_since", "idle_since")


class Snapshot:
    """What the sessions are by an old list and the events since.

    Args:
        sessions: the list.
        cursor: the event id that came with it.
        shift: by how much the test has since made every time in the database older.
    """

    def __init__(self, sessions: Sequence[Json], cursor: str, shift: timedelta) -> None:
        self.sessions = {one["session_id"]: _seen(one, shift) for one in sessions}
        self._last = int(cursor.rpartition("-")[2])

    def apply(self, entries: Sequence[Entry], shift: timedelta) -> None:
        """What a stream of everything brings; what the list knew already is dropped by its id."""
        for entry in entries:
            if entry.id > self._last and "all" in entry.channels:
                self._last = entry.id
                self._apply_one(entry, shift)

    def check(self, sessions: Sequence[Json], cursor: str, shift: timedelta) -> None:
        """A fresh list says the same."""
        fresh = {one["session_id"]: _seen(one, shift) for one in sessions}
        assert self.sessions == fresh, "an old list and the events since are not a fresh list"
        assert int(cursor.rpartition("-")[2]) >= self._last, "the cursor is behind what it covers"

    def _apply_one(self, entry: Entry, shift: timedelta) -> None:
        data, known = entry.data, self.sessions
        if entry.type == LINE_CHANGED:
            # Of no session.
            return
        pk = data["session_id"]
        if entry.type == "edit.session_acquired":
            assert pk not in known, "acquired twice"
            known[pk] = _seen(data | {"away_since": None, "idle_since": None}, shift)
            return
        assert pk in known, f"{entry.type} of a session that is not there"
        times = _seen(known[pk] | data, shift, kept=known[pk])
        if entry.type == "edit.session_released":
            assert times["acquired_at"] == known[pk]["acquired_at"]
            del known[pk]
        elif entry.type == "edit.session_away":
            known[pk]["away_since"] = times["away_since"]
        elif entry.type == "edit.session_back":
            assert times["away_since"] == known[pk]["away_since"]
            known[pk]["away_since"] = None
        elif entry.type == "edit.session_idle":
            known[pk]["idle_since"] = times["idle_since"]
        elif entry.type == "edit.session_active":
            assert times["idle_since"] == known[pk]["idle_since"]
            known[pk]["idle_since"] = None
        else:
            raise AssertionError(f"{entry.type} goes to everybody")


def _seen(session: Json, shift: timedelta, kept: Json = None) -> dict[str, Json]:
    """What a client knows of a session. Times are given back what the test took from them.

    No event tells of a heartbeat, nor whose a session becomes that was nobody's.
    """
    seen = {name: session[name] for name in IDENTITY}
    for name in TIMES:
        at = session[name]
        if isinstance(at, str):
            seen[name] = datetime.fromisoformat(at) + shift
        else:
            seen[name] = at if kept is None else kept[name]
    return seen
