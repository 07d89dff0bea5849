"""Soft interference of this process's sessions with others, from the server's answers, events and lists.

An event may overtake the answer or list that it follows, so recent events count more than both.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from silo_client.data import Conflict, Holder
from silo_client.sessions.edit_session import EditSession

# An answer or a list may be so much older than the events that came before it.
OVERTAKEN_SECONDS = 30.0
# The number of sessions whose events are remembered: those whose answer is under way, and some more.
REMEMBERED = 10_000
# A list names so many conflicts of a session at most.
LISTED = 20


@dataclass(frozen=True)
class ConflictChange:
    """A conflict begins or is over.

    Args:
        session: the session of this process.
        conflict: the other session.
        begins: False where it is over.
    """

    session: EditSession
    conflict: Conflict
    begins: bool


class ConflictEvents:
    """The recent events about conflicts. Used under the lock of `HeldSessions`."""

    def __init__(self) -> None:
        self._heard: dict[str, dict[str, tuple[float, Conflict | None]]] = {}

    def add(self, session_id: str, other_id: str, conflict: Conflict | None) -> None:
        """Remember that another session interferes with this one, or (None) no longer does."""
        self._heard.setdefault(session_id, {})[other_id] = time.monotonic(), conflict
        if len(self._heard) > REMEMBERED:
            del self._heard[next(iter(self._heard))]

    def forget(self, session_id: str) -> None:
        """Forget a session that has ended."""
        self._heard.pop(session_id, None)

    def clear(self) -> None:
        """Forget everything: events were missed, so conflicts may be over."""
        self._heard.clear()

    def apply(self, session: EditSession) -> list[ConflictChange]:
        """Apply the remembered events to a session; return what changed."""
        return _change(session, self._with_events(session.id, _known(session)))

    def apply_list(self, session: EditSession, payload: Mapping[str, Any]) -> list[ConflictChange]:
        """Apply a list's entry for a session, then the remembered events; return what changed."""
        others = payload.get("interferes_with")
        # An older server has no such member, and a large list may not have been compared.
        if others is None or payload.get("interference") is None:
            return []
        known = _known(session)
        listed = {
            str(other["session_id"]): known.get(str(other["session_id"]))
            or Conflict(Holder.from_payload(other))
            for other in others
        }
        if payload["interference"] == "soft" and not 0 < len(listed) < LISTED:
            # There are more than the list names.
            listed = {**known, **listed}
        return _change(session, self._with_events(session.id, listed))

    def _with_events(self, session_id: str, conflicts: dict[str, Conflict]) -> dict[str, Conflict]:
        oldest = time.monotonic() - OVERTAKEN_SECONDS
        now = dict(conflicts)
        for other_id, (heard, conflict) in self._heard.get(session_id, {}).items():
            if heard < oldest:
                continue
            if conflict is None:
                now.pop(other_id, None)
            else:
                # An answer says more of the holder than an event: since when, and the note.
                known = now.get(other_id)
                now[other_id] = replace(known, shared=conflict.shared) if known else conflict
        return now


def _known(session: EditSession) -> dict[str, Conflict]:
    return {conflict.holder.session_id: conflict for conflict in session.conflicts}


def _change(session: EditSession, now: dict[str, Conflict]) -> list[ConflictChange]:
    before = _known(session)
    # A new list: a thread that reads the old one is not disturbed.
    session.conflicts = list(now.values())
    begun = [
        ConflictChange(session, one, True) for other, one in now.items() if other not in before
    ]
    over = [
        ConflictChange(session, one, False) for other, one in before.items() if other not in now
    ]
    return begun + over
