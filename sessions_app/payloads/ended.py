"""Ended edit sessions, as the history shows them: their shapes, each with the function that builds it."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sessions_app.models.ended_session import EndReason
from sessions_app.payloads import examples
from sessions_app.payloads.members import Earlier, Later, Note, workstation_ref
from sessions_app.payloads.session import SessionIdentity
from sessions_app.payloads.shape import Example, Json, Shape

if TYPE_CHECKING:
    from sessions_app.models.ended_session import EndedSession, Record


class EndedSessionOut(SessionIdentity):
    acquired_at: Earlier
    last_heartbeat: Later
    released_at: Later
    reason: Annotated[EndReason, Example(EndReason.FORCE_RELEASED.value)]
    ended_by: Annotated[str, Example(examples.OTHER_USER)] = Field(
        description="The username of the admin who ended it; empty if none did."
    )
    note: Annotated[str, Example(examples.REASON)] = Field(
        description="The reason that the admin gave, else empty."
    )
    session_note: Note


def ended_identity(record: "EndedSession | Record") -> Json:
    """Build `SessionIdentity` of a record."""
    return {
        "session_id": record.session_id,
        "item_id": record.item_id,
        "part_number": record.part_number,
        "user": record.username,
        "user_name": record.user_name or record.username,
        "workstation": workstation_ref(record.workstation_id, record.workstation_name),
        "context_level": record.context_level,
        "object_id": record.object_id,
        "fencing_token": record.fencing_token,
    }


def ended_json(record: "EndedSession | Record") -> Json:
    """Build `EndedSessionOut`."""
    return ended_identity(record) | {
        "acquired_at": record.acquired_at,
        "last_heartbeat": record.last_heartbeat,
        "released_at": record.released_at,
        "reason": record.reason,
        "ended_by": record.ended_by,
        "note": record.note,
        "session_note": record.session_note,
    }


class HistoryOut(Shape):
    history: list[EndedSessionOut]
    next: Annotated[int | None, Example(None)] = Field(
        description="Give it as `before` for the next page; null on the last."
    )
