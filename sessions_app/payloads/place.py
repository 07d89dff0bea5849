"""Places in line and lines: their shapes, each with the function that builds it."""

import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from events_app.log.event_log import NewEvent
from sessions_app import channels
from sessions_app.locks import Lock
from sessions_app.models.place_in_line import PlaceInLine
from sessions_app.payloads import examples
from sessions_app.payloads.members import (
    ConnectionId,
    FullName,
    Later,
    Level,
    NextPage,
    Note,
    ObjectId,
    OfItem,
    UserName,
    WorkstationRef,
    user_members,
    workstation_ref,
)
from sessions_app.payloads.session import HolderOut, holder_json
from sessions_app.payloads.shape import Example, Json, Shape

if TYPE_CHECKING:
    from sessions_app.models.results import Standing

PlaceId = Annotated[UUID, Example(examples.REQUEST_ID)]


class _WithIds(Shape):
    id: PlaceId
    request_id: PlaceId


class PlaceOut(OfItem, _WithIds):
    # Of the line for the session of `HolderOut`.
    shown: ClassVar[Json] = {
        "context_level": examples.OTHER_LEVEL,
        "object_id": examples.OTHER_OBJECT_ID,
        "note": "",
    }

    user: UserName
    user_name: FullName
    workstation: WorkstationRef
    context_level: Level
    object_id: ObjectId
    note: Note
    connection_id: ConnectionId
    position: Annotated[int, Example(1)] = Field(
        description="From 1, in the line for this level and object."
    )
    requested_at: Later


def place_json(place: PlaceInLine) -> Json:
    """Build `PlaceOut` of a place that was loaded by `with_position`."""
    return {
        "id": place.pk,
        "request_id": place.pk,
        "item_id": place.item_id,
        "part_number": place.item.part_number,
        **user_members(place.workstation.user),
        "workstation": workstation_ref(place.workstation_id, place.workstation.name),
        "context_level": place.context_level,
        "object_id": place.object_id,
        "note": place.note,
        "connection_id": place.connection_id,
        "position": place.position,
        "requested_at": place.requested_at,
    }


class StandingOut(PlaceOut):
    existing: Annotated[bool, Example(False)] = Field(
        description="This workstation stood in the line already."
    )
    holder: HolderOut | None = Field(description="The session that it waits for.")


def standing_json(standing: "Standing") -> Json:
    """Build `StandingOut`: the answer to a request to stand in line."""
    return place_json(standing.place) | {
        "existing": standing.existing,
        "holder": standing.holder and holder_json(standing.holder),
    }


class LineOut(Shape):
    requests: list[PlaceOut] = Field(description="By level and object, each line in its order.")
    next: NextPage


class LineChangedEvent(OfItem):
    """To those who get the item's events: the line for one of its locks has got longer or shorter.

    Where `item.renamed` or `item.retired` says that all lines of an item may have changed, none of these follows.
    """

    context_level: Level
    object_id: ObjectId
    length: Annotated[int, Example(1)] = Field(
        description="How many places the line has now. Who stands there is in the list of the line."
    )


def line_events(
    lengths: Mapping[Lock, int],
    part_numbers: Mapping[uuid.UUID, str],
    audiences: Mapping[uuid.UUID, Collection[str]],
) -> Iterator[NewEvent]:
    """Yield `edit.line_changed` for each of these lines, whose items are locked.

    Args:
        lengths: how many places each has now, by the lock for which it is.
        part_numbers: of the items.
        audiences: by item, the channels that get its events.
    """
    shared = {item: frozenset(audiences[item]) for item in {lock.item_id for lock in lengths}}
    for lock, length in lengths.items():
        data = {
            "item_id": lock.item_id,
            "part_number": part_numbers[lock.item_id],
            "context_level": lock.context_level,
            "object_id": lock.object_id,
            "length": length,
        }
        to = {channels.ALL, channels.item(lock.item_id)}
        yield NewEvent(to, "edit.line_changed", data, shared[lock.item_id])
