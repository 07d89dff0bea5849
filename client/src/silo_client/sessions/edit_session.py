"""An edit session that this process has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from silo_client.common.visible import visible
from silo_client.data import Conflict, Lock, Lost, time_of

if TYPE_CHECKING:
    from silo_client.sessions.acquire import Acquiring


class EditSession:
    """A session, from its acquire to its end. `Workstation.edit` returns it; leaving its `with` block ends it.

    Args:
        acquiring: by which this process has it, and ends it.
        told: the session as the server answered it.
    """

    def __init__(self, acquiring: Acquiring, told: Mapping[str, Any]) -> None:
        self._acquiring = acquiring
        self.id = str(told["session_id"])
        self.lock = Lock.of(told)
        self.user = str(told["user"])
        self.fencing_token = int(told["fencing_token"])
        self.acquired_at: datetime | None = time_of(told["acquired_at"])
        # Another window of this workstation has it too, or a predecessor had it.
        self.existing = bool(told.get("existing", False))
        self.user_name = str(told.get("user_name") or told["user"])
        self.note = str(told.get("note", ""))
        # Who interferes softly with it now: each change is another list.
        self.conflicts = [Conflict.of(one) for one in told.get("conflicts", ())]
        self.lost: Lost | None = None
        # By `Holdings`, under its lock: how many `with` blocks use it, whether it ended by its own doing, and unless
        # 0, which doubt an answer of the server has to settle.
        self.users = 1
        self.released = False
        self.doubt = 0

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

        False as soon as the client itself can no longer be sure; true again when it is. It asks nobody, so look as
        often as you like. It is for not losing work: what protects the data is the `fencing_token`, which the vault
        compares. In a forked child of the process that has the session it is false.
        """
        return self._acquiring.is_sure_of(self)

    def release(self) -> None:
        """End it now. Where the server cannot be reached, the helper goes on trying. A second time does nothing."""
        self._acquiring.release(self)

    def hand_over(self, to_workstation_id: str) -> None:
        """End it and begin the other workstation's, which has asked for it or stands in line, in one transaction.

        Raises:
            NotFoundError: it has ended.
            ApiError: 409 `not_requested`, `not_connected` or `not_an_editor`; the session stays.
        """
        self._acquiring.hand_over(self, to_workstation_id)

    def __enter__(self) -> EditSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._acquiring.leave([self])

    def __repr__(self) -> str:
        return f"<EditSession {visible(self.lock)} token={self.fencing_token}>"


class EditSessions(list[EditSession]):
    """The sessions of a batch, in the order asked. Leaving its `with` block ends them all."""

    def __init__(self, acquiring: Acquiring, sessions: Iterable[EditSession]) -> None:
        super().__init__(sessions)
        self._acquiring = acquiring

    @property
    def valid(self) -> bool:
        """Whether all of them are."""
        return all(session.valid for session in self)

    def __enter__(self) -> EditSessions:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._acquiring.leave(self)
