"""Active edit sessions: their shapes, each with the function that builds it.

A new member of `BegunSession` and `begun_session` is in lists, in answers to an acquire, in `stream-open`, in
`edit.session_acquired` and in `edit.session_granted`. One of `SessionIdentity` and `session_identity` is in every other
event of a session, too, and in the history: `ended_identity` in `ended.py` builds it of a record.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from sessions_app.payloads import examples
from sessions_app.payloads.members import (
    ConnectionId,
    Earlier,
    FencingToken,
    FullName,
    Interference,
    ItemId,
    Later,
    Level,
    NextToken,
    Note,
    ObjectId,
    PartNumber,
    SessionId,
    SharedKeys,
    UserName,
    WorkstationRef,
    user_members,
    workstation_ref,
)
from sessions_app.payloads.shape import Example, Json, Shape

if TYPE_CHECKING:
    from sessions_app.models.abstract_edit_session import AbstractEditSession
    from sessions_app.models.results import Acquired, Conflict


class SessionIdentity(Shape):
    """The members that every event of a session has."""

    session_id: SessionId
    item_id: ItemId
    part_number: PartNumber
    user: UserName
    user_name: FullName
    workstation: WorkstationRef
    context_level: Level
    object_id: ObjectId
    fencing_token: FencingToken


def session_identity(session: "AbstractEditSession") -> Json:
    """Build `SessionIdentity`. Needs item, user and workstation loaded."""
    return {
        "session_id": session.id,
        "item_id": session.item_id,
        "part_number": session.item.part_number,
        **user_members(session.user),
        "workstation": workstation_ref(session.workstation_id, session.workstation.name),
        "context_level": session.context_level,
        "object_id": session.object_id,
        "fencing_token": session.fencing_token,
    }


class BegunSession(SessionIdentity):
    """The members that a session has from its beginning."""

    note: Note
    connection_id: ConnectionId
    acquired_at: Earlier


def begun_session(session: "AbstractEditSession") -> Json:
    """Build `BegunSession`."""
    return session_identity(session) | {
        "note": session.note,
        "connection_id": session.connection_id,
        "acquired_at": session.acquired_at,
    }


class _WithId(Shape):
    id: SessionId


class SessionOut(BegunSession, _WithId):
    last_heartbeat: Later
    away_since: Annotated[datetime | None, Example(None)] = Field(
        None, description="With a grace: since when its workstation has no stream."
    )
    idle_since: Annotated[datetime | None, Example(None)] = Field(
        None,
        description="Since when nobody has touched its workstation, as its client reports it.",
    )


def session_json(session: "AbstractEditSession") -> Json:
    """Build `SessionOut`."""
    workstation = session.workstation
    return {
        "id": session.id,
        **begun_session(session),
        "last_heartbeat": session.last_heartbeat,
        "away_since": workstation.away_since,
        "idle_since": workstation.idle_since,
    }


class MetOut(Shape):
    shown: ClassVar[Json] = {
        "session_id": examples.OTHER_SESSION_ID,
        "user": examples.OTHER_USER,
        "user_name": examples.OTHER_USER_NAME,
        "workstation": examples.OTHER_WORKSTATION,
        "context_level": examples.OTHER_LEVEL,
        "object_id": examples.OTHER_OBJECT_ID,
        "note": "",
    }

    session_id: SessionId
    user: UserName
    user_name: FullName
    workstation: WorkstationRef
    context_level: Level
    object_id: ObjectId


def met_json(session: "AbstractEditSession") -> Json:
    """Build `MetOut`: a session that interferes softly with another one."""
    return {
        "session_id": session.pk,
        **user_members(session.user),
        "workstation": workstation_ref(session.workstation_id, session.workstation.name),
        "context_level": session.context_level,
        "object_id": session.object_id,
    }


class HolderOut(MetOut):
    note: Note
    acquired_at: Earlier


def holder_json(session: "AbstractEditSession") -> Json:
    """Build `HolderOut`: a session that another workstation wants."""
    return met_json(session) | {"note": session.note, "acquired_at": session.acquired_at}


class _WithPartNumber(Shape):
    part_number: PartNumber


class HeldItemOut(HolderOut, _WithPartNumber):
    pass


def held_item_json(session: "AbstractEditSession") -> Json:
    """Build `HeldItemOut`: a session that another workstation wants, where several items are wanted."""
    return {"part_number": session.item.part_number} | holder_json(session)


class ConflictOut(HolderOut):
    shared: SharedKeys = Field(description="The node keys that both cones have.")


def conflict_json(conflict: "Conflict") -> Json:
    """Build `ConflictOut`: a session that interferes softly with one that is acquired."""
    return holder_json(conflict.session) | {"shared": conflict.shared}


class ListedOut(SessionOut):
    connected: Annotated[bool, Example(True)] = Field(
        description="Whether its workstation has a stream on any server. Without a grace, one that has none is about"
        " to open it, lost its server, or lives by alive requests."
    )
    interference: Annotated[Interference | None, Example("soft")] = Field(
        description="Whether another workstation's session interferes with it. Null where that was not compared: too"
        " many node keys for one answer; ask for fewer sessions."
    )
    interferes_with: list[MetOut] = Field(
        description="The sessions that interfere with it: at most 20, and at most 5,000 in the whole answer."
    )


def listed_json(
    sessions: Collection["AbstractEditSession"],
    met: Mapping[uuid.UUID, Sequence["AbstractEditSession"] | None],
    connected: Collection[uuid.UUID],
) -> list[Json]:
    """Build `ListedOut` of each session, for lists and `stream-open`.

    Args:
        sessions: the sessions, with their names.
        met: the sessions that interfere with each of them, by its id; None where that is not known.
        connected: the ids of the workstations that have a stream.
    """
    return [
        session_json(session)
        | {"connected": session.workstation_id in connected}
        | _interference(met[session.pk])
        for session in sessions
    ]


def _interference(met: Sequence["AbstractEditSession"] | None) -> Json:
    known = "soft" if met else "none"
    return {
        "interference": None if met is None else known,
        "interferes_with": [met_json(session) for session in met or ()],
    }


class AcquiredOut(SessionOut):
    dependency_cone: Annotated[
        list[str] | None, Example([examples.OBJECT_ID, examples.OTHER_OBJECT_ID])
    ] = Field(
        description="Null where this workstation had the session already, the request gives no cone, and the answer"
        " has 100,000 node keys of other such sessions already: so only in a batch."
    )
    interference: Interference
    existing: Annotated[bool, Example(False)] = Field(
        False, description="This workstation held the session already."
    )
    conflicts: list[ConflictOut] = Field(
        [],
        description="The sessions that interfere with it: at most 5,000 in the whole answer to a batch.",
    )


def acquired_json(acquired: "Acquired") -> Json:
    """Build `AcquiredOut`; `edit.session_granted` carries the same. A cone that was left unread is None."""
    session = acquired.session
    return session_json(session) | {
        # A column that was not read is no attribute yet.
        "dependency_cone": vars(session).get("dependency_cone"),
        "interference": acquired.interference,
        "existing": acquired.existing,
        "conflicts": [conflict_json(conflict) for conflict in acquired.conflicts],
    }


class BatchOut(Shape):
    sessions: list[AcquiredOut] = Field(description="In the order of the request.")


class SessionsOut(Shape):
    sessions: list[ListedOut]
    cursor: Annotated[str, Example(examples.CURSOR)] = Field(
        description="The event id from which to follow the events: that of the moment of this list."
    )
    next: NextToken


class VerifiedOut(Shape):
    user: UserName
    user_name: FullName
    workstation: WorkstationRef
    item: PartNumber = Field(description="The part number.")
    context_level: Level
    object_id: ObjectId


def verified_json(session: "AbstractEditSession") -> Json:
    """Build `VerifiedOut`: who holds a session, for a vault."""
    return {
        **user_members(session.user),
        "workstation": workstation_ref(session.workstation_id, session.workstation.name),
        "item": session.item.part_number,
        "context_level": session.context_level,
        "object_id": session.object_id,
    }


class ReleasedOut(Shape):
    released: Annotated[int, Example(3)]
