"""What the operations are asked for and what they return: plain values around the rows of the tables."""

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from events_app.database.lock_retry import with_lock_retry
from events_app.log.event_log import NewEvent
from sessions_app.locks import Lock
from sessions_app.models.abstract_edit_session import AbstractEditSession
from sessions_app.models.ended_session import EndReason, Record
from sessions_app.models.place_in_line import PlaceInLine


@dataclass(frozen=True)
class Wanted:
    """What a workstation wants to edit.

    Each member but the part number is named as the column of a new session that keeps it.

    Args:
        part_number: the item, by its current part number in whichever spelling.
        context_level: how deep the edit goes, a `ContextLevel`.
        object_id: the object of the item; "" is the whole item.
        dependency_cone: the node keys that the edit depends on.
        note: the holder's words; None leaves those of a session or place that exists already as they are.
    """

    part_number: str
    context_level: str
    object_id: str = ""
    dependency_cone: Sequence[str] = ()
    note: str | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """What it says of a row that begins, by column; a table takes the columns that it has."""
        return {
            **vars(self),
            "dependency_cone": list(self.dependency_cone),
            "note": self.note or "",
        }


@dataclass(frozen=True)
class Conflict:
    """Another workstation's session that interferes softly with one.

    Args:
        session: the other session, with its names.
        shared: the node keys that both cones have.
    """

    session: AbstractEditSession
    shared: Sequence[str]


@dataclass(frozen=True)
class Acquired:
    """The answer to an acquire.

    Args:
        session: the session, with its names.
        existing: whether the workstation held it already.
        conflicts: the sessions that interfere softly with it.
    """

    session: AbstractEditSession
    existing: bool = False
    conflicts: Sequence[Conflict] = field(default_factory=list)

    @property
    def interference(self) -> str:
        """`soft` or `none`."""
        return "soft" if self.conflicts else "none"


@dataclass(frozen=True)
class Standing:
    """The answer to a workstation that has to wait in line.

    Args:
        place: its place, with its `position`.
        existing: whether it stood there already.
        holder: the session that it waits for; None where the lock is free for a workstation before it.
    """

    place: PlaceInLine
    existing: bool
    holder: AbstractEditSession | None


# Whose turn it is for each of these locks, if anybody's; their workstations are locked.
Turns = Callable[[Collection[Lock]], Sequence[PlaceInLine]]


@dataclass(frozen=True)
class Manner:
    """How sessions end.

    Args:
        reason: how.
        ended_by: who ends them, if it is not their user.
        note: why they are ended by force.
        leaving: workstations, locked by the caller, that lose their places in line with it.
        lines: for which locks these are.
        turns: whose turn it is then, if it is not the line that says so.
        told_first: events of the caller's, which come before those of the ends.
    """

    reason: EndReason
    ended_by: str = ""
    note: str = ""
    leaving: Collection[uuid.UUID] = ()
    lines: Collection[Lock] = ()
    turns: Turns | None = None
    told_first: Sequence[NewEvent] = ()


@dataclass(frozen=True)
class Ended:
    """What one step of an end did.

    Args:
        records: the records of the sessions that ended, in the order of the sessions' ids.
        granted: the sessions that began with a turn in line or a hand-off.
        more: whether there was more to end than one step ends.
    """

    records: list[Record] = field(default_factory=list)
    granted: list[Acquired] = field(default_factory=list)
    more: bool = False


# One step of an end, which also locks these workstations.
Step = Callable[[Collection[uuid.UUID]], Ended]


def all_steps(step: Step) -> list[Record]:
    """Take a step, each in a transaction of its own, until nothing is left to end; return the records."""
    records = []
    while True:
        ended = with_lock_retry(step)
        records += ended.records
        if not ended.more:
            return records


@dataclass(frozen=True)
class NewEpoch:
    """What a new epoch began with.

    Args:
        epoch: the epoch of the event log.
        tokens_above: every fencing token is now greater than this one.
        sessions: how many active sessions have a new token.
    """

    epoch: str
    tokens_above: int
    sessions: int
