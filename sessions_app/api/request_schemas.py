"""The bodies of requests."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from sessions_app.api.fields import (
    ConnectionId,
    Name,
    NodeKey,
    ObjectId,
    PartNumber,
    Reason,
    Text,
    WholeNumber,
    as_whole,
)
from sessions_app.models.abstract_edit_session import ContextLevel
from sessions_app.models.results import Wanted
from sessions_app.operations.tokens import MOST_DAYS
from sessions_app.payloads import examples
from sessions_app.payloads.me import RoleName
from sessions_app.text import NOTE_MAX, REASON_MAX

MAX_NODE_KEYS = 10_000
MAX_BATCH = 1_000
MAX_BATCH_NODE_KEYS = 100_000
# A longer idle time is a mistake of units.
MAX_IDLE_SECONDS = 366 * 24 * 3600
# Each costs the process that serves the stream half a kilobyte; a client that follows more follows all.
MAX_STREAM_ITEMS = 10_000


def shown(**example: Any) -> ConfigDict:
    """Return the configuration of a schema that is described with this example."""
    return ConfigDict(json_schema_extra={"examples": [example]})


_WANTED = {
    "context_level": examples.LEVEL,
    "object_id": examples.OBJECT_ID,
    "dependency_cone": [examples.OBJECT_ID, examples.OTHER_OBJECT_ID],
    "note": examples.NOTE,
}
_BATCHED = {"part_number": examples.PART_NUMBER, **_WANTED}


class Input(BaseModel):
    """A request's body. Unknown members are refused: they are typing errors."""

    model_config = ConfigDict(extra="forbid")


class WorkstationIn(Input):
    model_config = shown(name=examples.WORKSTATION_NAME, fingerprint=examples.FINGERPRINT)

    name: Name
    fingerprint: Name = Field(description="The same after each restart of the client.")


class TokenIn(Input):
    model_config = shown(name=examples.TOKEN_NAME, role="editor", days=90)

    name: Name = Field(description="What it is for.")
    role: RoleName = Field("viewer", description="The most that it allows: at most your own role.")
    days: Annotated[int, Field(ge=1, le=MOST_DAYS, strict=True), BeforeValidator(as_whole)] = Field(
        90, description="For how long it is valid."
    )


class AliveIn(Input):
    model_config = shown(connection_id=examples.CONNECTION_ID)

    connection_id: UUID | None = Field(
        None,
        description="The stream whose heartbeat this acknowledges; without it, all streams of the workstation.",
    )
    idle_seconds: Annotated[float, Field(ge=0, le=MAX_IDLE_SECONDS, strict=True)] | None = Field(
        None,
        description="For how long nobody has touched the workstation; less than `heartbeat_seconds` is not idle."
        " Without it the server's knowledge of idleness stays as it is.",
    )


class ItemIn(Input):
    model_config = shown(
        part_number=examples.PART_NUMBER,
        description=examples.DESCRIPTION,
        item_type=examples.ITEM_TYPE,
    )

    part_number: PartNumber
    description: Annotated[Text, Field(max_length=1000)] = ""
    item_type: Annotated[Text, Field(max_length=100)] = ""


class RenameIn(Input):
    model_config = shown(part_number="ISO 4762/M5")

    part_number: PartNumber


class WantedIn(Input):
    """The object that a workstation wants to edit."""

    context_level: ContextLevel
    object_id: ObjectId | None = None
    dependency_cone: Annotated[list[NodeKey], Field(max_length=MAX_NODE_KEYS)] = []
    note: Annotated[Text, Field(max_length=NOTE_MAX)] | None = Field(
        None,
        description="For all who see the session. Acquiring again with another note changes it; without one keeps it.",
    )

    def wanted(self, part_number: str) -> Wanted:
        """Return the values for the domain. No object and an empty one are the same."""
        return Wanted(
            part_number,
            self.context_level,
            self.object_id or "",
            self.dependency_cone,
            self.note,
        )


class AcquireIn(WantedIn):
    model_config = shown(
        workstation_id=examples.WORKSTATION_ID, **_WANTED, connection_id=examples.CONNECTION_ID
    )

    workstation_id: UUID
    connection_id: ConnectionId = None


class BatchedIn(WantedIn):
    model_config = shown(**_BATCHED)

    part_number: PartNumber


class BatchIn(Input):
    model_config = shown(
        workstation_id=examples.WORKSTATION_ID,
        connection_id=examples.CONNECTION_ID,
        sessions=[_BATCHED],
    )

    workstation_id: UUID
    connection_id: ConnectionId = None
    sessions: Annotated[list[BatchedIn], Field(min_length=1, max_length=MAX_BATCH)]

    @field_validator("sessions")
    @classmethod
    def _limit_node_keys(cls, sessions: list[BatchedIn]) -> list[BatchedIn]:
        if sum(len(session.dependency_cone) for session in sessions) > MAX_BATCH_NODE_KEYS:
            raise ValueError(f"a batch has at most {MAX_BATCH_NODE_KEYS} node keys")
        return sessions


class StreamIn(Input):
    model_config = shown(items=[examples.PART_NUMBER], last_event_id=examples.CURSOR)

    workstation_id: UUID | None = Field(None, description="As in the query of a GET.")
    items: Annotated[list[PartNumber], Field(max_length=MAX_STREAM_ITEMS)] = Field(
        [], description="Watch these items."
    )
    all: Annotated[bool, Field(strict=True)] = Field(False, description="Watch every item.")
    ack: Annotated[bool, Field(strict=True)] = Field(
        False, description="The client calls `alive` after each heartbeat."
    )
    # Any text: an id of another log, or of none, is answered with `stream-reset`.
    last_event_id: str = Field("", max_length=200, description="As the header `Last-Event-ID`.")


class ItemsIn(Input):
    model_config = shown(items=[examples.PART_NUMBER])

    items: Annotated[list[PartNumber], Field(min_length=1, max_length=MAX_BATCH)]


class ReleaseIn(Input):
    model_config = shown(session_ids=[examples.SESSION_ID])

    session_ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_BATCH)]


class HandoffRequestIn(Input):
    model_config = shown(message=examples.MESSAGE, workstation_id=examples.WORKSTATION_ID)

    message: Annotated[Text, Field(max_length=REASON_MAX)] = Field(
        description="The reason, for the holder."
    )
    workstation_id: UUID | None = Field(
        None,
        description="The workstation for which the caller wants it; without it, any of the caller's.",
    )


class HandoffIn(Input):
    model_config = shown(to_workstation_id=examples.OTHER_WORKSTATION_ID)

    to_workstation_id: UUID


class VerifyIn(Input):
    model_config = shown(fencing_token=examples.FENCING_TOKEN)

    fencing_token: WholeNumber


class ForceReleaseIn(Input):
    model_config = shown(reason=examples.REASON)

    reason: Reason | None = Field(None, description="Required, in the body or as a parameter.")
    take: bool = Field(False, description="The caller's workstation gets the session at once.")
    workstation_id: UUID | None = Field(
        None, description="With `take`: the workstation that gets it."
    )
    connection_id: ConnectionId = None

    def overridden_by(self, other: "ForceReleaseIn | None") -> "ForceReleaseIn":
        """Return these values, except those that the other one names."""
        named = other.model_dump(exclude_unset=True) if other else {}
        return self.model_copy(update={k: v for k, v in named.items() if v not in (None, "")})
