"""Which sessions of others interfere softly with one's own, as the server's answers, events and lists tell it.

An event may come before the answer, or the list, that it follows: what events have said lately counts more.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from silo_client.data import Conflict, Holder
from silo_client.sessions.edit_session import EditSession

# An answer or a list may be so much older than the events that have come before it.
OVERTAKEN_SECONDS = 30.0
# Of how many sessions events are remembered: those whose answer is under way, and some more.
REMEMBERED = 10_000
# A list names so many for a session at most.
LISTED = 20


@dataclass(frozen=True)
class Change:
    """A session begins to be interfered with by another one, or that is over.

    Args:
        session: one's own.
        conflict: the other one.
        begins: whether it begins.
    """

    session: EditSession
    conflict: Conflict
    begins: bool


class Meetings:
    """What events have said lately. Used under the lock of `Holdings`."""

    def __init__(self) -> None:
        self._heard: dict[str, dict[str, tuple[float, Conflict | None]]] = {}

    def hear(self, session_id: str, other_id: str, conflict: Conflict | None) -> None:
        """An event says that another session meets this one, or (None) no longer does."""
        self._heard.setdefault(session_id, {})[other_id] = time.monotonic(), conflict
        if len(self._heard) > REMEMBERED:
            del self._heard[next(iter(self._heard))]

    def forget(self, session_id: str) -> None:
        """A session has ended."""
        self._heard.pop(session_id, None)

    def missed(self) -> None:
        """Events were missed: what was heard may be over."""
        self._heard.clear()

    def apply(self, session: EditSession) -> list[Change]:
        """Change a session by what was heard of it; return what is new."""
        known = _known(session)
        return _change(session, self._later(session.id, known))

    def listed(self, session: EditSession, told: Mapping[str, Any]) -> list[Change]:
        """Change a session by what a list says of it; return what is new."""
        others = told.get("interferes_with")
        # A server that is older does not say it; and a large list may not have been compared.
        if others is None or told.get("interference") is None:
            return []
        known = _known(session)
        named = {
            str(met["session_id"]): known.get(str(met["session_id"])) or Conflict(Holder.of(met))
            for met in others
        }
        if told["interference"] == "soft" and not 0 < len(named) < LISTED:
            # There are more than it names.
            named = {**known, **named}
        return _change(session, self._later(session.id, named))

    def _later(self, session_id: str, conflicts: dict[str, Conflict]) -> dict[str, Conflict]:
        oldest = time.monotonic() - OVERTAKEN_SECONDS
        later = dict(conflicts)
        for other_id, (heard, conflict) in self._heard.get(session_id, {}).items():
            if heard < oldest:
                continue
            if conflict is None:
                later.pop(other_id, None)
            else:
                # An answer says more of the holder than an event: since when, and the note.
                known = later.get(other_id)
                later[other_id] = replace(known, shared=conflict.shared) if known else conflict
        return later


def _known(session: EditSession) -> dict[str, Conflict]:
    return {conflict.holder.session_id: conflict for conflict in session.conflicts}


def _change(session: EditSession, now: dict[str, Conflict]) -> list[Change]:
    before = _known(session)
    # A new list: who reads the old one is not disturbed.
    session.conflicts = list(now.values())
    begun = [Change(session, one, True) for other, one in now.items() if other not in before]
    over = [Change(session, one, False) for other, one in before.items() if other not in now]
    return begun + over
