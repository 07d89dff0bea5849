"""What a program has at the server and wants to be rid of: kept alike by the program and its helper.

The program changes it by commands, which it also sends to its helper. So a helper that is started in place of a dead
one can be told all of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from silo_client.common.part_numbers import name_key

# Part number (what its spellings have in common), context level and object, as JSON brings them.
LockKey = tuple[str, str, str]
Command = Mapping[str, Any]

# Of one's own connections. Each lasts for minutes at least, and what is acquired by one mostly not much longer.
REMEMBERED_CONNECTIONS = 10_000


class Ledger:
    """Sessions by their ids, and locks for which the program asks or stands in line."""

    def __init__(self) -> None:
        # By which connections it has acquired and stood in line: what names one of them is its own.
        self.connections: dict[str, None] = {}
        # Acquired; and to be released until the server has answered.
        self.held: set[str] = set()
        self.to_release: set[str] = set()
        # In line; and to leave the line until the server has answered.
        self.lines: set[LockKey] = set()
        self.to_leave: set[LockKey] = set()
        # Asked for, and the answer not read; and given up, so that nobody will.
        self.asked: set[LockKey] = set()
        self.abandoned: set[LockKey] = set()

    def obey(self, command: Command) -> None:
        """Take note of a command.

        `connected`: connections that are its own.
        `hold`, `release`, `drop`: sessions that are acquired; that are to be released until the server has answered;
        that have ended.
        `ask`, `answered`, `abandon`: locks that are asked for; whose answer was read; whose answer will not be read.
        `stand`, `leave_line`, `left`, `unstand`: locks in whose line it is; that it is to leave until the server has
        answered; that the helper has left, if it was still to; that it has left, or whose turn has come.
        """
        for connection in command.get("connected", ()):
            self.connections[connection] = None
            if len(self.connections) > REMEMBERED_CONNECTIONS:
                del self.connections[next(iter(self.connections))]
        self.held.update(command.get("hold", ()))
        self.to_release.update(command.get("release", ()))
        for session_id in command.get("drop", ()):
            self.held.discard(session_id)
            self.to_release.discard(session_id)
        self.asked.update(locks(command, "ask"))
        self.abandoned.difference_update(locks(command, "ask"))
        self.asked.difference_update(locks(command, "answered"))
        self.abandoned.update(locks(command, "abandon"))
        self.abandoned.update(self.asked.intersection(locks(command, "leave_line")))
        self.asked.difference_update(locks(command, "abandon"))
        self.lines.update(locks(command, "stand"))
        self.to_leave.difference_update(locks(command, "stand"))
        self.to_leave.update(locks(command, "leave_line"))
        self.asked.difference_update(locks(command, "leave_line"))
        left = self.to_leave.intersection(locks(command, "left"))
        for lock in (*left, *locks(command, "unstand")):
            self.lines.discard(lock)
            self.to_leave.discard(lock)

    def owns(self, told: Mapping[str, Any]) -> bool:
        """Whether a session, a place in line or an event of one belongs to this program, and to no other window."""
        return told.get("connection_id") in self.connections

    @property
    def wanted(self) -> set[LockKey]:
        """Locks for which something may begin, or may have begun, that it does not know."""
        return self.asked | self.abandoned | self.lines | self.to_leave

    def commands(self) -> dict[str, Any]:
        """Return the command that makes an empty ledger this one."""
        return {
            "connected": list(self.connections),
            "hold": sorted(self.held),
            "release": sorted(self.to_release),
            "ask": sorted(self.asked),
            "abandon": sorted(self.abandoned),
            "stand": sorted(self.lines - self.to_leave),
            "leave_line": sorted(self.to_leave),
        }


def lock_of(told: Mapping[str, Any]) -> LockKey:
    """Return the lock of a session, a place in line or an event."""
    return name_key(told["part_number"]), told["context_level"], told["object_id"]


def locks(command: Command, name: str) -> Iterable[LockKey]:
    """Return the locks that a command names."""
    return [(name_key(part), level, object_id) for part, level, object_id in command.get(name, ())]
