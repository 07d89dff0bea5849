"""What the data of each event of a stream looks like; `sessions_app/payloads.py` makes it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from ninja import Schema
from pydantic import Field

from sessions_app.api.answer_schemas import (
    AcquiredOut,
    ListedOut,
    MetOut,
    Note,
    Owner,
    UserName,
    WorkstationRef,
)
from sessions_app.models import ContextLevel, EndReason


class NothingEvent(Schema):
    """No members: its name says it all."""


class TimingsOut(Schema):
    """The server's timings, in seconds."""

    heartbeat_seconds: float = Field(description="Between two heartbeats.")
    keepalive_seconds: float = Field(description="The most between two lines.")
    acknowledge_seconds: float = Field(
        description="With `ack=true`: without an `alive` for so long after a heartbeat, the client has departed."
    )
    grace_seconds: float = Field(description="How long who has departed may take to come back.")
    safe_seconds: float = Field(
        description="For so long after the moment that a keep-alive proves, at least, what the workstation holds is"
        " given to nobody: with a grace whatever happens, without one unless the server alone loses the connection."
    )
    timeout_seconds: float = Field(description="Without a heartbeat for so long, sessions expire.")


class StreamOpenEvent(Schema):
    """The first event of each stream."""

    connection_id: UUID | None = Field(description="Of this stream; null where it only watches.")
    sessions: list[ListedOut] = Field(
        description="What the workstation holds now, in the order in which it was acquired; at most 1,000."
    )
    next: int | None = Field(
        description="Where it holds more: GET /api/edit-sessions?workstation=…&after=… lists the others, in pages."
        " Until all are read, a session that is not named may be held nevertheless. Handle the events that come"
        " meanwhile after the list: it may have what they tell. Null where `sessions` is all."
    )
    timings: TimingsOut


class SessionEvent(Schema):
    """What every event of a session has."""

    item_id: UUID
    part_number: str
    session_id: UUID
    user: str
    user_name: UserName
    workstation: WorkstationRef
    context_level: ContextLevel
    object_id: str
    fencing_token: int


class SessionAcquiredEvent(SessionEvent):
    """To who watches the item."""

    note: Note
    connection_id: Owner
    acquired_at: datetime
    interference: Literal["none", "soft"] = Field(
        description="Whether this session meets others as it begins. Those concerned are told by `edit.interference`;"
        " nobody else has to be alarmed."
    )


class SessionReleasedEvent(SessionEvent):
    """To who watches the item, and to the workstation that held it."""

    reason: EndReason
    released_at: datetime
    acquired_at: datetime


class SessionAwayEvent(SessionEvent):
    """To who watches the item. With a grace: its workstation has left, or is back."""

    away_since: datetime


class SessionIdleEvent(SessionEvent):
    """To who watches the item: nobody touches its workstation, or somebody does again."""

    idle_since: datetime


class SessionGrantedEvent(AcquiredOut):
    """To the workstation whose turn in the line came, or that was handed the session."""


class HandoffRequestedEvent(SessionEvent):
    """To the holder's workstation: somebody would like to have its session."""

    requester: str = Field(description="A username.")
    requester_name: UserName
    workstation_id: UUID | None = Field(description="Where the requester wants it, if named.")
    message: str


class InterferenceEvent(SessionEvent):
    """To each of the two workstations whose sessions begin to meet softly, the earlier and the later one.

    The members of a session are the receiver's own. One begins or has another cone now. Of what begins in one
    transaction at most 5,000 meetings are told to each side, but each session that meets anybody has one.
    """

    with_: MetOut = Field(alias="with", description="The other workstation's session.")
    shared: list[str] = Field(
        description="The node keys that both cones have: at most 100,000 in all events of one transaction to one side."
    )


class InterferenceResolvedEvent(SessionEvent):
    """The session that interfered softly with this one has ended, or meets it no more with another cone.

    To the workstation that is left; where both go on, to both.
    """

    with_session_id: UUID


class ForceReleasedEvent(SessionEvent):
    """To the workstation that held it."""

    by: str
    reason: str


class ItemEvent(Schema):
    """What every event of an item has. To who watches it, holds a session on it or stands in line for it."""

    item_id: UUID
    part_number: str


class ItemRenamedEvent(ItemEvent):
    """It has another part number, or another spelling of its own; or another item was merged into it."""

    old_part_number: str


class ItemRetiredEvent(ItemEvent):
    """Nothing new is begun on it, and nobody stands in line for it any more. What is edited goes on."""

    retired_at: datetime


class ItemRestoredEvent(ItemEvent):
    """It was retired, and can be edited again."""


EVENTS: dict[str, type[Schema]] = {
    "stream-open": StreamOpenEvent,
    "stream-reset": NothingEvent,
    "heartbeat": NothingEvent,
    "edit.session_acquired": SessionAcquiredEvent,
    "edit.session_released": SessionReleasedEvent,
    "edit.session_away": SessionAwayEvent,
    "edit.session_back": SessionAwayEvent,
    "edit.session_idle": SessionIdleEvent,
    "edit.session_active": SessionIdleEvent,
    "edit.session_granted": SessionGrantedEvent,
    "edit.handoff_requested": HandoffRequestedEvent,
    "edit.interference": InterferenceEvent,
    "edit.interference_resolved": InterferenceResolvedEvent,
    "edit.force_released": ForceReleasedEvent,
    "item.renamed": ItemRenamedEvent,
    "item.retired": ItemRetiredEvent,
    "item.restored": ItemRestoredEvent,
}
