"""Who holds and who waits for an item: the shapes of the answer for many items, with the function that builds them."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sessions_app.payloads import examples
from sessions_app.payloads.members import OfItem
from sessions_app.payloads.place import PlaceOut, place_json
from sessions_app.payloads.session import SessionOut, session_json
from sessions_app.payloads.shape import Example, Json, Shape

if TYPE_CHECKING:
    from sessions_app.models.abstract_edit_session import AbstractEditSession
    from sessions_app.models.item import Item
    from sessions_app.models.place_in_line import PlaceInLine


class ItemInUseOut(OfItem):
    asked: Annotated[list[str], Example([examples.PART_NUMBER])] = Field(
        description="The part numbers in the request that name this item."
    )
    retired_at: Annotated[datetime | None, Example(None)] = Field(
        description="Since when the item is retired."
    )
    sessions: list[SessionOut] = Field(description="In the order in which they were acquired.")
    requests: list[PlaceOut] = Field(description="By level and object, each line in its order.")
    complete: Annotated[bool, Example(True)] = Field(
        description="False where the item has more than 1,000 sessions or places: the first are named."
    )


def in_use_json(
    item: "Item",
    asked: Sequence[str],
    sessions: "Sequence[AbstractEditSession]",
    places: "Sequence[PlaceInLine]",
    most: int,
) -> Json:
    """Build `ItemInUseOut`.

    Args:
        item: the item.
        asked: the part numbers in the request that name it.
        sessions: its sessions, with their names.
        places: its places in line, with names and positions.
        most: how many of each are named.
    """
    return {
        "item_id": item.pk,
        "part_number": item.part_number,
        "asked": asked,
        "retired_at": item.retired_at,
        "sessions": [session_json(session) for session in sessions[:most]],
        "requests": [place_json(place) for place in places[:most]],
        "complete": max(len(sessions), len(places)) <= most,
    }


class InUseOut(Shape):
    items: list[ItemInUseOut]
    unknown: Annotated[list[str], Example([])] = Field(
        description="The part numbers in the request of which there is no item."
    )
    left: Annotated[list[str], Example([])] = Field(
        description="The part numbers for which this answer has no room: ask for these again."
    )
    cursor: Annotated[str, Example(examples.CURSOR)] = Field(
        description="The event id from which to follow the events: that of the moment of this answer."
    )
