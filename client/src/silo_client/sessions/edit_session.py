"""An edit session that this process has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from silo_client.common.visible import visible
from silo_client.data import Conflict, Lock, Lost, time_of


class SessionManager(Protocol):
    """The calls by which a session ends, and says whether it is still held: `Acquirer` in `acquire.py`."""

    def is_valid(self, session: EditSession) -> bool:
        """See `EditSession.valid`."""

    def release(self, session: EditSession, patience: float | None = None) -> None:
        """See `EditSession.release`."""

    def hand_over(
        self, session: EditSession, to_workstation_id: str, patience: float | None = None
    ) -> None:
        """See `EditSession.hand_over`."""

    def leave(self, sessions: Iterable[EditSession]) -> None:
        """Release sessions whose last `with` block has ended."""


class EditSession:
    """A session, from its acquire to its end. `Workstation.edit` returns it; leaving its `with` block ends it.

    Args:
        manager: ends the session.
        payload: the session as the server answered it.
    """

    def __init__(self, manager: SessionManager, payload: Mapping[str, Any]) -> None:
        self._manager = manager
        self.id = str(payload["session_id"])
        self.lock = Lock.from_payload(payload)
        self.user = str(payload["user"])
        self.fencing_token = int(payload["fencing_token"])
        self.acquired_at: datetime | None = time_of(payload["acquired_at"])
        # Another instance of this workstation has it too, or a dead predecessor had it.
        self.existing = bool(payload.get("existing", False))
        self.user_name = str(payload.get("user_name") or payload["user"])
        self.note = str(payload.get("note", ""))
        # The sessions that interfere softly with this one now. A change makes another list.
        self.conflicts = [Conflict.from_payload(one) for one in payload.get("conflicts", ())]
        self.lost: Lost | None = None
        # The stream by which it was acquired; None where an older server does not say so.
        self.connection_id = payload.get("connection_id")
        # `HeldSessions` writes these under its lock: the number of `with` blocks that use the session; whether this
        # process ended it; and, unless 0, the number of the latest reason to ask the server whether it is still held.
        self.users = 1
        self.released = False
        self.unconfirmed = 0

    @property
    def part_number(self) -> str:
        """The item."""
        return self.lock.part_number

    @property
    def level(self) -> str:
        """The context level."""
        return self.lock.level

    @property
    def object_id(self) -> str:
        """The object, "" for the whole item."""
        return self.lock.object_id

    @property
    def interference(self) -> str:
        """`soft` where other sessions interfere with it now, which are its `conflicts`; else `none`."""
        return "soft" if self.conflicts else "none"

    @property
    def valid(self) -> bool:
        """Whether this workstation certainly has the session now.

        It is false as soon as the client can no longer be sure, and true again when it is. No request is sent, so read
        it as often as you like. It is for not losing work: the `fencing_token`, which the vault compares, is what
        protects the data. In a forked child of the process that has the session it is false.
        """
        return self._manager.is_valid(self)

    def release(self, *, patience: float | None = None) -> None:
        """End it now. Where the server does not answer, the helper goes on trying. A second call does nothing.

        Args:
            patience: seconds within which the call returns; by default the workstation's.
        """
        self._manager.release(self, patience)

    def hand_over(self, to_workstation_id: str, *, patience: float | None = None) -> None:
        """End it and begin one of the other workstation, which requested it or stands in line, in one transaction.

        Args:
            to_workstation_id: the other workstation.
            patience: seconds within which the call returns or raises; by default the workstation's.

        Raises:
            NotFoundError: the session has ended.
            ApiError: 409 `not_requested`, `not_connected` or `not_an_editor`; the session stays.
            ServerUnavailableError: there was no answer. The server is then asked whether the session is still held.
        """
        self._manager.hand_over(self, to_workstation_id, patience)

    def __enter__(self) -> EditSession:
        return self

    def __exit__(self, *error: object) -> None:
        self._manager.leave([self])

    def __repr__(self) -> str:
        return f"<EditSession {visible(self.lock)} token={self.fencing_token}>"


class EditSessions(list[EditSession]):
    """The sessions of a batch, in the order asked. Leaving its `with` block ends them all."""

    def __init__(self, manager: SessionManager, sessions: Iterable[EditSession]) -> None:
        super().__init__(sessions)
        self._manager = manager

    @property
    def valid(self) -> bool:
        """Whether all of them are valid."""
        return all(session.valid for session in self)

    def __enter__(self) -> EditSessions:
        return self

    def __exit__(self, *error: object) -> None:
        self._manager.leave(self)
