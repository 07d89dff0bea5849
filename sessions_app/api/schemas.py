"""What requests and answers look like."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from ninja import Schema
from pydantic import AfterValidator, ConfigDict, Field, field_validator

from sessions_app.managers.acquire import Wanted
from sessions_app.models import ContextLevel, EndReason
from sessions_app.text import PART_NUMBER_MAX, part_number_fault, text_fault

MAX_NODE_KEYS = 10_000
MAX_BATCH = 1_000
MAX_BATCH_NODE_KEYS = 100_000
# Longer than anybody is away; what is more is a mistake of units.
MAX_IDLE_SECONDS = 366 * 24 * 3600


def _no_fault(text: str) -> str:
    if fault := text_fault(text):
        raise ValueError(fault)
    return text


def _is_part_number(text: str) -> str:
    if fault := part_number_fault(text):
        raise ValueError(fault)
    return text


def _is_not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Text = Annotated[str, AfterValidator(_no_fault)]
Name = Annotated[Text, Field(min_length=1, max_length=200), AfterValidator(_is_not_blank)]
PartNumber = Annotated[
    str, Field(min_length=1, max_length=PART_NUMBER_MAX), AfterValidator(_is_part_number)
]
ObjectId = Annotated[Text, Field(max_length=500)]
NodeKey = Annotated[Text, Field(min_length=1, max_length=500)]
Reason = Annotated[Text, Field(max_length=2000)]
ConnectionId = Annotated[
    UUID | None,
    Field(description="The client's open stream. If it has ended, nothing is acquired."),
]
PageLimit = Annotated[int, Field(ge=1, le=1000)]


class Input(Schema):
    """A request's body. Unknown members are refused: they are typing errors."""

    model_config = ConfigDict(extra="forbid")


class ErrorOut(Schema):
    """Every error. Some have further members, such as `holder`."""

    model_config = ConfigDict(extra="allow")

    error: str = Field(examples=["not_found"])
    message: str = Field(examples=["There is no such item."])


class WorkstationIn(Input):
    name: Name
    fingerprint: Name = Field(description="Stable across restarts of the client.")


class WorkstationOut(Schema):
    id: UUID
    name: str
    fingerprint: str
    last_seen: datetime
    created_at: datetime


class WorkstationsOut(Schema):
    workstations: list[WorkstationOut]


class AliveIn(Input):
    connection_id: UUID | None = Field(
        None, description="The stream whose heartbeat this acknowledges; all of them without it."
    )
    idle_seconds: Annotated[float, Field(ge=0, le=MAX_IDLE_SECONDS)] | None = Field(
        None,
        description="For how long nobody has touched the workstation; less than `heartbeat_seconds`"
        " is not idle. Without it nothing is said.",
    )


class ItemIn(Input):
    part_number: PartNumber
    description: Annotated[Text, Field(max_length=1000)] = ""
    item_type: Annotated[Text, Field(max_length=100)] = ""


class ItemOut(Schema):
    id: UUID
    part_number: str
    description: str
    item_type: str
    created_at: datetime


class ItemsOut(Schema):
    items: list[ItemOut]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


class WantedIn(Input):
    """What a workstation wants to edit."""

    context_level: ContextLevel
    object_id: ObjectId | None = None
    dependency_cone: Annotated[list[NodeKey], Field(max_length=MAX_NODE_KEYS)] = []

    def wanted(self, part_number: str) -> Wanted:
        """Return it as the domain says it. No object and an empty one are the same."""
        return Wanted(part_number, self.context_level, self.object_id or "", self.dependency_cone)


class AcquireIn(WantedIn):
    workstation_id: UUID
    connection_id: ConnectionId = None


class BatchedIn(WantedIn):
    part_number: PartNumber


class BatchIn(Input):
    workstation_id: UUID
    connection_id: ConnectionId = None
    sessions: Annotated[list[BatchedIn], Field(min_length=1, max_length=MAX_BATCH)]

    @field_validator("sessions")
    @classmethod
    def _limit_node_keys(cls, sessions: list[BatchedIn]) -> list[BatchedIn]:
        if sum(len(session.dependency_cone) for session in sessions) > MAX_BATCH_NODE_KEYS:
            raise ValueError(f"a batch has at most {MAX_BATCH_NODE_KEYS} node keys")
        return sessions


class WorkstationRef(Schema):
    id: UUID
    name: str


class SessionOut(Schema):
    id: UUID
    session_id: UUID
    item_id: UUID
    part_number: str
    user: str
    workstation: WorkstationRef
    context_level: ContextLevel
    object_id: str
    fencing_token: int
    acquired_at: datetime
    last_heartbeat: datetime
    away_since: datetime | None = Field(
        None, description="With a grace: since when its workstation has no stream."
    )
    idle_since: datetime | None = Field(
        None, description="Since when nobody touches its workstation, by its client's word."
    )


class ConflictOut(Schema):
    session_id: UUID
    user: str
    workstation: WorkstationRef
    context_level: ContextLevel
    object_id: str
    acquired_at: datetime
    shared: list[str] = Field(description="The node keys that both cones have.")


class AcquiredOut(SessionOut):
    dependency_cone: list[str]
    interference: str = Field(examples=["none", "soft"])
    existing: bool = Field(False, description="This workstation had it already.")
    conflicts: list[ConflictOut] = []


class BatchOut(Schema):
    sessions: list[AcquiredOut] = Field(description="In the order in which they were asked for.")


class HolderOut(Schema):
    session_id: UUID
    user: str
    workstation: WorkstationRef
    context_level: ContextLevel
    object_id: str
    acquired_at: datetime


class PlaceOut(Schema):
    id: UUID
    request_id: UUID
    item_id: UUID
    part_number: str
    user: str
    workstation: WorkstationRef
    context_level: ContextLevel
    object_id: str
    position: int = Field(description="From 1, in the line for this level and object.")
    requested_at: datetime


class StandingOut(PlaceOut):
    existing: bool = Field(description="This workstation stood there already.")
    holder: HolderOut | None = Field(description="Whose session it waits for.")


class LineOut(Schema):
    requests: list[PlaceOut] = Field(description="By level and object, each line in its order.")


class HandoffRequestIn(Input):
    message: Annotated[Text, Field(max_length=2000)] = Field(description="Why; for the holder.")
    workstation_id: UUID | None = Field(
        None, description="Where the caller wants to have it; any of the caller's without it."
    )


class HandoffIn(Input):
    to_workstation_id: UUID


class ItemSessionsOut(Schema):
    sessions: list[SessionOut]
    cursor: str = Field(description="The event id from which to go on, of the same moment.")


class SessionsOut(ItemSessionsOut):
    next: int | None = Field(description="Give it as `after` for the next page; null on the last.")


class VerifyIn(Input):
    fencing_token: Annotated[int, Field(ge=0, lt=2**63, strict=True)]


class VerifiedOut(Schema):
    user: str
    workstation: WorkstationRef
    item: str = Field(description="The part number.")
    context_level: ContextLevel
    object_id: str


class EndedSessionOut(Schema):
    session_id: UUID
    item_id: UUID
    part_number: str
    user: str
    workstation: WorkstationRef
    context_level: ContextLevel
    object_id: str
    fencing_token: int
    acquired_at: datetime
    last_heartbeat: datetime
    released_at: datetime
    reason: EndReason
    ended_by: str = Field(description="Who ended it by force, else empty.")
    note: str = Field(description="Why it was ended by force, else empty.")


class HistoryOut(Schema):
    history: list[EndedSessionOut]
    next: int | None = Field(description="Give it as `before` for the next page; null on the last.")


class ReleasedOut(Schema):
    released: int


class ForceReleaseIn(Input):
    reason: Reason | None = Field(None, description="Required here or as `?reason=`.")


Answer = dict[str, Any]
