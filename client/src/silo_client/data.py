"""What the server says of sessions, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from silo_client.common.part_numbers import name_key


def time_of(text: Any) -> datetime | None:
    """Return a time as the API writes it, or None for none."""
    # Python before 3.11 does not read the Z.
    return datetime.fromisoformat(str(text).replace("Z", "+00:00")) if text else None


class Lock(NamedTuple):
    """The lock of a session: one object of one item at one context level.

    Two locks are equal if their part numbers are spellings of the same one.

    Args:
        part_number: the item.
        level: `sketch`, `partdesign` or `assembly`.
        object_id: the object; "" for the whole item.
    """

    part_number: str
    level: str
    object_id: str = ""

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Lock:
        """Return the lock of a session, a place in line or an event."""
        return cls(payload["part_number"], payload["context_level"], payload["object_id"])

    @property
    def _key(self) -> tuple[str, str, str]:
        return name_key(self.part_number), self.level, self.object_id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lock) and self._key == other._key

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self._key)

    def __str__(self) -> str:
        return " / ".join(part for part in self if part)


@dataclass(frozen=True)
class Wanted:
    """A session to acquire.

    Args:
        part_number: the item.
        level: `sketch`, `partdesign` or `assembly`.
        object_id: the object; "" for the whole item.
        cone: the node keys that a change can reach. Cones with a node key in common interfere softly.
        note: for everybody who sees the session; None keeps the note of a session that is held already.
    """

    part_number: str
    level: str
    object_id: str = ""
    cone: Sequence[str] = ()
    note: str | None = None

    @property
    def lock(self) -> Lock:
        """The lock of the session."""
        return Lock(self.part_number, self.level, self.object_id)

    def body(self) -> dict[str, Any]:
        """Return the members of a request's body."""
        body: dict[str, Any] = {"context_level": self.level}
        if self.object_id:
            body["object_id"] = self.object_id
        if self.cone:
            body["dependency_cone"] = list(self.cone)
        if self.note is not None:
            body["note"] = self.note
        return body


def person(payload: Mapping[str, Any]) -> str:
    """Return the holder of a session: the account, and the full name beside it where there is one."""
    return _person(str(payload.get("user", "")), str(payload.get("user_name", "")))


def _person(user: str, name: str) -> str:
    return f"{user} ({name})" if name and name != user else user


@dataclass(frozen=True)
class Holder:
    """The holder of a session.

    Args:
        user, user_name: the account; the full name, or the account where there is none.
        workstation, workstation_id: the name and the id.
        note: the holder's note on the session, or "".
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
    def from_payload(cls, payload: Mapping[str, Any]) -> Holder:
        """Return the holder that an answer names; members that are missing are empty."""
        workstation = payload.get("workstation") or {}
        return cls(
            session_id=str(payload.get("session_id", "")),
            user=str(payload.get("user", "")),
            workstation=str(workstation.get("name", "")),
            workstation_id=str(workstation.get("id", "")),
            level=str(payload.get("context_level", "")),
            object_id=str(payload.get("object_id", "")),
            acquired_at=time_of(payload.get("acquired_at")),
            part_number=str(payload.get("part_number", "")),
            user_name=str(payload.get("user_name") or payload.get("user", "")),
            note=str(payload.get("note", "")),
        )


@dataclass(frozen=True)
class Conflict:
    """Another workstation's session that interferes softly with one's own.

    Args:
        holder: the other session and its holder.
        shared: the node keys that both cones have. Empty where one of the two is the whole item, or where the conflict
            comes from a list, which names only the holder.
    """

    holder: Holder
    shared: tuple[str, ...] = ()

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Conflict:
        """Return one of an answer's `conflicts`."""
        return cls(Holder.from_payload(payload), tuple(payload.get("shared", ())))


@dataclass(frozen=True)
class Lost:
    """How a session was lost.

    Args:
        reason: that of `edit.session_released` (`expired`, `force_released`, ...), or `unknown` where the server only
            says that the session has ended.
        by: the admin who force-released it, else "".
        note: the reason of a force-release, else "".
    """

    reason: str
    by: str = ""
    note: str = ""

    def __str__(self) -> str:
        by = f" by {self.by}" if self.by else ""
        return f"{self.reason}{by}" + (f": {self.note}" if self.note else "")


@dataclass(frozen=True)
class HandoffRequest:
    """Another user asks for a session of this workstation.

    Args:
        lock: the lock.
        session_id: the session.
        requester: the account of the user who asks.
        message: the reason.
        workstation_id: the workstation that is to get the session; "" where the requester named none.
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
        """The requester: the account, and the full name beside it where there is one."""
        return _person(self.requester, self.requester_name)

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> HandoffRequest:
        """Return the request of an `edit.handoff_requested`."""
        return cls(
            lock=Lock.from_payload(payload),
            session_id=str(payload["session_id"]),
            requester=str(payload["requester"]),
            message=str(payload["message"]),
            workstation_id=str(payload["workstation_id"] or ""),
            requester_name=str(payload.get("requester_name", "")),
        )


@dataclass(frozen=True)
class Waiting:
    """A place in line, as it is shown to the person who waits.

    Args:
        lock: the lock.
        position: from 1.
        holder: the present holder; None while that is not known.
        seconds: since the waiting began.
    """

    lock: Lock
    position: int
    holder: Holder | None
    seconds: float


@dataclass(frozen=True)
class EditSessionResult:
    """The result of an acquire, with the names that existing Silo clients use."""

    session_id: str
    interference: str
    fencing_token: int
    existing: bool = False
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    session: dict[str, Any] = field(default_factory=dict)
