"""What answers look like, those of errors included; `sessions_app/payloads.py` makes most of them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import Field

from sessions_app.api import examples
from sessions_app.api.examples import shown
from sessions_app.models import ContextLevel, EndReason

# Of a workstation's windows, the one that a session or a place belongs to.
Owner = Annotated[
    UUID | None,
    Field(
        description="The stream that the client named when it acquired this, or stood in line for it; it may have"
        " ended. Null if it named none, or was handed the session without standing in line, until a client that"
        " names one asks for it."
    ),
]
UserName = Annotated[str, Field(description="The full name, or without one the account's.")]
Note = Annotated[str, Field(description="Its holder's words, or empty.")]
# What an operation returns, for one of the schemas below.
Answer = dict[str, Any]


class ErrorOut(Schema):
    """Every error. Some have further members, such as `holder`."""

    error: str = Field(description="What went wrong, for programs.")
    message: str = Field(description="What went wrong, as a sentence for a person.")


class FaultOut(Schema):
    where: str = Field(description="The path to what is wrong.")
    why: str


class InvalidOut(ErrorOut):
    faults: list[FaultOut] = Field(
        [],
        description="All that is wrong with parameters and body, up to a limit.",
        examples=[[{"where": "body.context_level", "why": "Field required"}]],
    )


class MissingOut(ErrorOut):
    renamed_to: str | None = Field(
        None, description="The part number by which the item is known now, if it was renamed."
    )


class LimitReachedOut(ErrorOut):
    limit: int = Field(description="How many there may be.", examples=[5000])
    held: int = Field(description="How many there are.", examples=[5000])


class WorkstationOut(Schema):
    model_config = shown(examples.WORKSTATION)

    id: UUID
    name: str
    fingerprint: str
    last_seen: datetime
    created_at: datetime


class WorkstationsOut(Schema):
    model_config = shown({"workstations": [examples.WORKSTATION], "next": None})

    workstations: list[WorkstationOut]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


class ItemOut(Schema):
    model_config = shown(examples.ITEM)

    id: UUID
    part_number: str
    description: str
    item_type: str
    created_at: datetime
    retired_at: datetime | None = Field(description="Since when nothing new is begun on it.")


class ItemsOut(Schema):
    model_config = shown({"items": [examples.ITEM], "next": None})

    items: list[ItemOut]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


class WorkstationRef(Schema):
    id: UUID
    name: str


class SessionOut(Schema):
    model_config = shown(examples.SESSION)

    id: UUID
    session_id: UUID
    item_id: UUID
    part_number: str
    user: str
    user_name: UserName
    workstation: WorkstationRef
    context_level: ContextLevel
    object_id: str
    fencing_token: int
    note: Note
    connection_id: Owner
    acquired_at: datetime
    last_heartbeat: datetime
    away_since: datetime | None = Field(
        None, description="With a grace: since when its workstation has no stream."
    )
    idle_since: datetime | None = Field(
        None, description="Since when nobody touches its workstation, by its client's word."
    )


class MetOut(Schema):
    model_config = shown(examples.MET)

    session_id: UUID
    user: str
    user_name: UserName
    workstation: WorkstationRef
    context_level: ContextLevel
    object_id: str


class HolderOut(MetOut):
    model_config = shown(examples.HOLDER)

    note: Note
    acquired_at: datetime


class ListedOut(SessionOut):
    model_config = shown(examples.LISTED)

    interference: Literal["none", "soft"] | None = Field(
        description="Whether another workstation's session meets it. Null where that was not compared: too many node"
        " keys for one answer; ask for fewer sessions."
    )
    interferes_with: list[MetOut] = Field(
        description="Whom it meets: at most 20, and at most 5,000 in all."
    )


class IdentityInUseOut(ErrorOut):
    """Registering says the rest; a stream does not."""

    workstation: WorkstationRef | None = Field(
        None, description="Which one.", examples=[examples.WORKSTATION_REF]
    )
    connected: bool | None = Field(
        None,
        description="Whether the other machine is connected now. If not, it may come back: try again.",
        examples=[True],
    )
    seconds: float | None = Field(
        None,
        description="How long a machine that has died may be taken for connected, or waited for. Who tries again for so"
        " long and is still refused because it is connected is not that machine.",
        examples=[45.0],
    )


class HeldOut(ErrorOut):
    holder: HolderOut = Field(description="Who is in the way.", examples=[examples.HOLDER])


class HeldItemOut(HolderOut):
    model_config = shown(examples.HELD_ITEM)

    part_number: str


class HeldByManyOut(ErrorOut):
    holders: list[HeldItemOut] = Field(
        description="Everybody in the way.", examples=[[examples.HELD_ITEM]]
    )


class ConflictOut(HolderOut):
    model_config = shown(examples.CONFLICT)

    shared: list[str] = Field(description="The node keys that both cones have.")


class AcquiredOut(SessionOut):
    model_config = shown(examples.ACQUIRED)

    dependency_cone: list[str] | None = Field(
        description="Null where this workstation had the session already, the request gives no cone, and the answer"
        " has 100,000 node keys of other such sessions already: so only in a batch."
    )
    interference: Literal["none", "soft"]
    existing: bool = Field(False, description="This workstation had it already.")
    conflicts: list[ConflictOut] = Field(
        [], description="Whom it meets. Where several are acquired at once, at most 5,000 in all."
    )


class BatchOut(Schema):
    model_config = shown({"sessions": [examples.ACQUIRED]})

    sessions: list[AcquiredOut] = Field(description="In the order in which they were asked for.")


class PlaceOut(Schema):
    model_config = shown(examples.PLACE)

    id: UUID
    request_id: UUID
    item_id: UUID
    part_number: str
    user: str
    user_name: UserName
    workstation: WorkstationRef
    context_level: ContextLevel
    object_id: str
    note: Note
    connection_id: Owner
    position: int = Field(description="From 1, in the line for this level and object.")
    requested_at: datetime


class StandingOut(PlaceOut):
    model_config = shown(examples.STANDING)

    existing: bool = Field(description="This workstation stood there already.")
    holder: HolderOut | None = Field(description="Whose session it waits for.")


class LineOut(Schema):
    model_config = shown({"requests": [examples.PLACE], "next": None})

    requests: list[PlaceOut] = Field(description="By level and object, each line in its order.")
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


class SessionsOut(Schema):
    model_config = shown(examples.SESSIONS)

    sessions: list[ListedOut]
    cursor: str = Field(description="The event id from which to go on, of the same moment.")
    next: int | None = Field(description="Give it as `after` for the next page; null on the last.")


class VerifiedOut(Schema):
    model_config = shown(examples.VERIFIED)

    user: str
    user_name: UserName
    workstation: WorkstationRef
    item: str = Field(description="The part number.")
    context_level: ContextLevel
    object_id: str


class EndedSessionOut(Schema):
    model_config = shown(examples.ENDED)

    session_id: UUID
    item_id: UUID
    part_number: str
    user: str
    user_name: UserName
    workstation: WorkstationRef
    context_level: ContextLevel
    object_id: str
    fencing_token: int
    acquired_at: datetime
    last_heartbeat: datetime
    released_at: datetime
    reason: EndReason
    ended_by: str = Field(description="Who ended it, if that was not its user; else empty.")
    note: str = Field(description="Why it was ended by force, else empty.")
    session_note: Note


class HistoryOut(Schema):
    model_config = shown({"history": [examples.ENDED], "next": None})

    history: list[EndedSessionOut]
    next: int | None = Field(description="Give it as `before` for the next page; null on the last.")


class ReleasedOut(Schema):
    model_config = shown({"released": 3})

    released: int
