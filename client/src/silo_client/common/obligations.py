"""What a program has at the server and must not leave behind. The program and its helper keep the same.

The program changes it by commands, which it also sends to its helper. A helper that is started in place of a dead one
gets all of it as one command.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from silo_client.data import Lock

# The number of own connections to remember. Each lasts for minutes at least, and a session that is acquired by one
# mostly not much longer.
REMEMBERED_CONNECTIONS = 10_000
# The verbs of a command, each a method of `Obligations`.
SESSION_VERBS = ("connected", "hold", "release", "drop")
LOCK_VERBS = ("ask", "answered", "abandon", "stand", "leave_line", "left", "unstand")

Command = Mapping[str, Any]


class Obligations:
    """Sessions by their ids, and locks that the program asks for or stands in line for. One method a verb."""

    def __init__(self) -> None:
        # The connections by which the program has acquired and stood in line: a session that names one is its own.
        self.connections: dict[str, None] = {}
        self.held: set[str] = set()
        # To be released, until the server has answered.
        self.to_release: set[str] = set()
        # Locks in whose line the program stands, and those whose line is to be left until the server has answered.
        self.lines: set[Lock] = set()
        self.to_leave: set[Lock] = set()
        # Locks that are asked for and whose answer was not read, and those whose answer will never be read.
        self.asked: set[Lock] = set()
        self.abandoned: set[Lock] = set()

    def apply(self, command: Command) -> None:
        """Call the method of each verb in a command. Other members of a command are ignored."""
        for verb, values in command.items():
            if verb in SESSION_VERBS:
                getattr(self, verb)(values)
            elif verb in LOCK_VERBS:
                getattr(self, verb)([Lock(*value) for value in values])

    def connected(self, connections: Iterable[str]) -> None:
        """Note connections that are the program's own."""
        for connection in connections:
            self.connections[connection] = None
            if len(self.connections) > REMEMBERED_CONNECTIONS:
                del self.connections[next(iter(self.connections))]

    def hold(self, session_ids: Iterable[str]) -> None:
        """Note sessions that were acquired."""
        for session_id in session_ids:
            self.held.add(session_id)
            # Acquired again before it was released.
            self.to_release.discard(session_id)

    def release(self, session_ids: Iterable[str]) -> None:
        """Note sessions that are to be released until the server has answered."""
        self.to_release.update(session_ids)

    def drop(self, session_ids: Iterable[str]) -> None:
        """Note sessions that have ended."""
        for session_id in session_ids:
            self.held.discard(session_id)
            self.to_release.discard(session_id)

    def ask(self, locks: Iterable[Lock]) -> None:
        """Note locks that are asked for."""
        for lock in locks:
            self.asked.add(lock)
            self.abandoned.discard(lock)

    def answered(self, locks: Iterable[Lock]) -> None:
        """Note locks whose answer was read."""
        self.asked.difference_update(locks)

    def abandon(self, locks: Iterable[Lock]) -> None:
        """Note locks whose answer will not be read."""
        for lock in locks:
            self.abandoned.add(lock)
            self.asked.discard(lock)

    def stand(self, locks: Iterable[Lock]) -> None:
        """Note locks in whose line the program stands."""
        for lock in locks:
            self.lines.add(lock)
            self.to_leave.discard(lock)

    def leave_line(self, locks: Iterable[Lock]) -> None:
        """Note locks whose line is to be left until the server has answered."""
        for lock in locks:
            self.to_leave.add(lock)
            if lock in self.asked:
                self.asked.discard(lock)
                self.abandoned.add(lock)

    def left(self, locks: Iterable[Lock]) -> None:
        """Note locks whose line the helper has left, if it was still to do so."""
        self._discard([lock for lock in locks if lock in self.to_leave])

    def unstand(self, locks: Iterable[Lock]) -> None:
        """Note locks whose line the program has left, or whose turn has come."""
        self._discard(locks)

    def _discard(self, locks: Iterable[Lock]) -> None:
        for lock in locks:
            self.lines.discard(lock)
            self.to_leave.discard(lock)

    def owns(self, payload: Mapping[str, Any]) -> bool:
        """Whether a session, a place in line or an event belongs to this program, and not to another instance."""
        return payload.get("connection_id") in self.connections

    @property
    def wanted(self) -> set[Lock]:
        """Locks for which a session that the program does not know may begin, or may have begun."""
        return self.asked | self.abandoned | self.lines | self.to_leave

    def as_command(self) -> dict[str, Any]:
        """Return the command that makes empty obligations equal to these."""
        return {
            "connected": list(self.connections),
            "hold": sorted(self.held),
            "release": sorted(self.to_release),
            "ask": sorted(self.asked),
            "abandon": sorted(self.abandoned),
            "stand": sorted(self.lines - self.to_leave),
            "leave_line": sorted(self.to_leave),
        }
