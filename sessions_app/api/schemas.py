"""What requests and answers look like."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Schema
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    field_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from sessions_app.api import examples
from sessions_app.api.examples import shown
from sessions_app.managers.acquire import Wanted
from sessions_app.models import ContextLevel, EndReason
from sessions_app.text import PART_NUMBER_MAX, part_number_fault, text_fault

MAX_NODE_KEYS = 10_000
MAX_BATCH = 1_000
MAX_BATCH_NODE_KEYS = 100_000
# Longer than anybody is away; what is more is a mistake of units.
MAX_IDLE_SECONDS = 366 * 24 * 3600


@dataclass(frozen=True)
class Pattern:
    """A regular expression that is only described: the validator beside it gives the better reason."""

    expression: str

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Add the expression to the description."""
        return handler(core_schema) | {"pattern": self.expression}


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


def _is_no_number(text: str) -> str:
    """Pydantic would take the year 2020 for 2,020 seconds after 1970."""
    if not re.match(r"\d{4}-", text):
        raise ValueError("must be a time as in RFC 3339, such as 2025-03-04T09:30:00Z")
    return text


def _in_utc(time: datetime) -> datetime:
    """Some offsets that Python knows are too large for PostgreSQL."""
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be in the years 1 to 9999 of UTC") from None


# What the functions above accept, said in the description.
_CONTROLS = r"\u0000-\u001f\u007f-\u009f"
Text = Annotated[str, AfterValidator(_no_fault), Pattern(f"^[^{_CONTROLS}]*$")]
Name = Annotated[
    Text,
    Field(min_length=1, max_length=200),
    AfterValidator(_is_not_blank),
    Pattern(rf"^[^{_CONTROLS}]*[^\s{_CONTROLS}][^{_CONTROLS}]*$"),
]
PartNumber = Annotated[
    str,
    Field(min_length=1, max_length=PART_NUMBER_MAX),
    AfterValidator(_is_part_number),
    Pattern(rf"^(?!\.\.?$)[^\s{_CONTROLS}]([^{_CONTROLS}]*[^\s{_CONTROLS}])?$"),
]
ObjectId = Annotated[Text, Field(max_length=500)]
NodeKey = Annotated[Text, Field(min_length=1, max_length=500)]
Reason = Annotated[Text, Field(max_length=2000)]
ConnectionId = Annotated[
    UUID | None,
    Field(description="The client's open stream. If it has ended, nothing is acquired."),
]
Instant = Annotated[AwareDatetime, BeforeValidator(_is_no_number), AfterValidator(_in_utc)]
PageLimit = Annotated[int, Field(ge=1, le=1000)]


class Input(Schema):
    """A request's body. Unknown members are refused: they are typing errors."""

    model_config = ConfigDict(extra="forbid")


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


class WorkstationIn(Input):
    model_config = shown(examples.WORKSTATION_IN)

    name: Name
    fingerprint: Name = Field(description="Stable across restarts of the client.")


class WorkstationOut(Schema):
    model_config = shown(examples.WORKSTATION)

    id: UUID
    name: str
    fingerprint: str
    last_seen: datetime
    created_at: datetime


class WorkstationsOut(Schema):
    model_config = shown({"workstations": [examples.WORKSTATION]})

    workstations: list[WorkstationOut]


class AliveIn(Input):
    model_config = shown({"connection_id": examples.CONNECTION_ID})

    connection_id: UUID | None = Field(
        None, description="The stream whose heartbeat this acknowledges; all of them without it."
    )
    idle_seconds: Annotated[float, Field(ge=0, le=MAX_IDLE_SECONDS, strict=True)] | None = Field(
        None,
        description="For how long nobody has touched the workstation; less than `heartbeat_seconds`"
        " is not idle. Without it nothing is said.",
    )


class ItemIn(Input):
    model_config = shown(examples.ITEM_IN)

    part_number: PartNumber
    description: Annotated[Text, Field(max_length=1000)] = ""
    item_type: Annotated[Text, Field(max_length=100)] = ""


class ItemOut(Schema):
    model_config = shown(examples.ITEM)

    id: UUID
    part_number: str
    description: str
    item_type: str
    created_at: datetime


class ItemsOut(Schema):
    model_config = shown({"items": [examples.ITEM], "next": None})

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
    model_config = shown(examples.ACQUIRE_IN)

    workstation_id: UUID
    connection_id: ConnectionId = None


class BatchedIn(WantedIn):
    model_config = shown(examples.BATCHED_IN)

    part_number: PartNumber


class BatchIn(Input):
    model_config = shown(examples.BATCH_IN)

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
    model_config = shown(examples.SESSION)

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


class HolderOut(Schema):
    model_config = shown(examples.HOLDER)

    session_id: UUID
    user: str
    workstation: WorkstationRef
    context_level: ContextLevel
    object_id: str
    acquired_at: datetime


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

    dependency_cone: list[str]
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
    workstation: WorkstationRef
    context_level: ContextLevel
    object_id: str
    position: int = Field(description="From 1, in the line for this level and object.")
    requested_at: datetime


class StandingOut(PlaceOut):
    model_config = shown(examples.STANDING)

    existing: bool = Field(description="This workstation stood there already.")
    holder: HolderOut | None = Field(description="Whose session it waits for.")


class LineOut(Schema):
    model_config = shown({"requests": [examples.PLACE]})

    requests: list[PlaceOut] = Field(description="By level and object, each line in its order.")


class HandoffRequestIn(Input):
    model_config = shown(examples.HANDOFF_REQUEST_IN)

    message: Annotated[Text, Field(max_length=2000)] = Field(description="Why; for the holder.")
    workstation_id: UUID | None = Field(
        None, description="Where the caller wants to have it; any of the caller's without it."
    )


class HandoffIn(Input):
    model_config = shown({"to_workstation_id": examples.OTHER_WORKSTATION_ID})

    to_workstation_id: UUID


class ItemSessionsOut(Schema):
    model_config = shown(examples.SESSIONS_OF_ITEM)

    sessions: list[SessionOut]
    cursor: str = Field(description="The event id from which to go on, of the same moment.")


class SessionsOut(ItemSessionsOut):
    model_config = shown({**examples.SESSIONS_OF_ITEM, "next": None})

    next: int | None = Field(description="Give it as `after` for the next page; null on the last.")


class VerifyIn(Input):
    model_config = shown({"fencing_token": examples.FENCING_TOKEN})

    fencing_token: Annotated[int, Field(ge=0, lt=2**63, strict=True)]


class VerifiedOut(Schema):
    model_config = shown(examples.VERIFIED)

    user: str
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
    model_config = shown({"history": [examples.ENDED], "next": None})

    history: list[EndedSessionOut]
    next: int | None = Field(description="Give it as `before` for the next page; null on the last.")


class ReleasedOut(Schema):
    model_config = shown({"released": 3})

    released: int


class ForceReleaseIn(Input):
    model_config = shown({"reason": "On holiday, and the drawing is due."})

    reason: Reason | None = Field(None, description="Required here or as `?reason=`.")


Answer = dict[str, Any]
