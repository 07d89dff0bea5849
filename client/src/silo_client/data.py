"""What the server tells of sessions, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from silo_client.common.part_numbers import name_key


def time_of(text: Any) -> datetime | None:
    """Return a time as the API writes it, or None for none."""
    # Python before 3.11 does not read the Z.
    return datetime.fromisoformat(str(text).replace("Z", "+00:00")) if text else None


@dataclass(frozen=True)
class Lock:
    """What a session locks: this object of this item at this context level.

    Args:
        part_number: the item. In another spelling it is the same lock.
        level: `sketch`, `partdesign` or `assembly`.
        object_id: the object; "" for the whole item.
    """

    part_number: str = field(compare=False)
    level: str
    object_id: str = ""
    # Of all spellings of the part number: two locks are one if this is.
    key: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", name_key(self.part_number))

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Lock:
        """Return the lock of a session, a place in line or an event."""
        return cls(told["part_number"], told["context_level"], told["object_id"])

    def __str__(self) -> str:
        parts = [self.part_number, self.level, self.object_id]
        return " / ".join(part for part in parts if part)


@dataclass(frozen=True)
class Wanted:
    """What to edit.

    Args:
        part_number: the item.
        level: `sketch`, `partdesign` or `assembly`.
        object_id: the object; "" for the whole item.
        cone: the node keys that a change of it can reach; cones that meet are soft interference.
        note: for everybody who sees the session; None keeps the one that it has, if it is held already.
    """

    part_number: str
    level: str
    object_id: str = ""
    cone: Sequence[str] = ()
    note: str | None = None

    @property
    def lock(self) -> Lock:
        """What it locks."""
        return Lock(self.part_number, self.level, self.object_id)

    def body(self) -> dict[str, Any]:
        """Return it as the API reads it."""
        body: dict[str, Any] = {"context_level": self.level}
        if self.object_id:
            body["object_id"] = self.object_id
        if self.cone:
            body["dependency_cone"] = list(self.cone)
        if self.note is not None:
            body["note"] = self.note
        return body


def person(told: Mapping[str, Any]) -> str:
    """Return who holds a session, as the API tells it: the account, and the full name beside it where there is one."""
    return _person(str(told.get("user", "")), str(told.get("user_name", "")))


def _person(user: str, name: str) -> str:
    return f"{user} ({name})" if name and name != user else user


@dataclass(frozen=True)
class Holder:
    """Who holds a session.

    Args:
        user, user_name: the account, and the full name, or the account where there is none.
        workstation, workstation_id: by its name and its id.
        note: the holder's words on the session, or "".
    """

    session_id: str
    user: str
    workstation: str
    workstation_id: str
    level: str
    object_id: str
    acquired_at: datetime | None
    part_number: str = ""
    user_name: str = ""
    note: str = ""

    @property
    def person(self) -> str:
        """The account, and the full name beside it where there is one: ada (Ada Lovelace)."""
        return _person(self.user, self.user_name)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Holder:
        """Return the holder that an answer names; what it does not say is empty."""
        workstation = told.get("workstation") or {}
        return cls(
            session_id=str(told.get("session_id", "")),
            user=str(told.get("user", "")),
            workstation=str(workstation.get("name", "")),
            workstation_id=str(workstation.get("id", "")),
            level=str(told.get("context_level", "")),
            object_id=str(told.get("object_id", "")),
            acquired_at=time_of(told.get("acquired_at")),
            part_number=str(told.get("part_number", "")),
            user_name=str(told.get("user_name") or told.get("user", "")),
            note=str(told.get("note", "")),
        )


@dataclass(frozen=True)
class Conflict:
    """Another workstation's session that interferes softly with one's own.

    Args:
        holder: whose it is, and what it is on.
        shared: the node keys that both cones have; none where one of the two is the whole item, or where they were not
            told: a list names only the holder.
    """

    holder: Holder
    shared: tuple[str, ...] = ()

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Conflict:
        """Return one of an answer's `conflicts`."""
        return cls(Holder.of(told), tuple(told.get("shared", ())))


@dataclass(frozen=True)
class Lost:
    """How a session was lost.

    Args:
        reason: as `edit.session_released` says (`expired`, `force_released`, ...), or `unknown` where the server only
            says that it has ended.
        by: who ended it by force, else "".
        note: why it was ended by force, else "".
    """

    reason: str
    by: str = ""
    note: str = ""

    def __str__(self) -> str:
        by = f" by {self.by}" if self.by else ""
        return f"{self.reason}{by}" + (f": {self.note}" if self.note else "")


@dataclass(frozen=True)
class HandoffRequest:
    """Somebody would like to have a session of this workstation.

    Args:
        lock: what is asked for.
        session_id: the session.
        requester: who asks: the account.
        message: why.
        workstation_id: where the requester wants it; "" where that was not said.
        requester_name: the full name, or the account where there is none.
    """

    lock: Lock
    session_id: str
    requester: str
    message: str
    workstation_id: str = ""
    requester_name: str = ""

    @property
    def person(self) -> str:
        """Who asks: the account, and the full name beside it where there is one."""
        return _person(self.requester, self.requester_name)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> HandoffRequest:
        """Return what `edit.handoff_requested` tells."""
        return cls(
            lock=Lock.of(told),
            session_id=str(told["session_id"]),
            requester=str(told["requester"]),
            message=str(told["message"]),
            workstation_id=str(told["workstation_id"] or ""),
            requester_name=str(told.get("requester_name", "")),
        )


@dataclass(frozen=True)
class Waiting:
    """A place in line, as it is shown to who waits.

    Args:
        lock: what is waited for.
        position: from 1.
        holder: who has it; None while that is not known.
        seconds: since the waiting began.
    """

    lock: Lock
    position: int
    holder: Holder | None
    seconds: float


@dataclass(frozen=True)
class EditSessionResult:
    """What acquiring answers, by the names that existing Silo clients use."""

    session_id: str
    interference: str
    fencing_token: int
    existing: bool = False
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    session: dict[str, Any] = field(default_factory=dict)
