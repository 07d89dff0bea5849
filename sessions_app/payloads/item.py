"""Items and workstations: their shapes, each with the function that builds it."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from pydantic import Field

from sessions_app.payloads import examples
from sessions_app.payloads.members import Earlier, ItemId, Later, NextPage, PartNumber
from sessions_app.payloads.shape import Example, Json, Shape

if TYPE_CHECKING:
    from sessions_app.models.item import Item
    from sessions_app.models.workstation import Workstation


class ItemOut(Shape):
    id: ItemId
    part_number: PartNumber
    description: Annotated[str, Example(examples.DESCRIPTION)]
    item_type: Annotated[str, Example(examples.ITEM_TYPE)]
    created_at: Earlier
    retired_at: Annotated[datetime | None, Example(None)] = Field(
        description="Since when the item is retired: nothing new begins on it."
    )


def item_json(item: "Item") -> Json:
    """Build `ItemOut`."""
    return {
        "id": item.pk,
        "part_number": item.part_number,
        "description": item.description,
        "item_type": item.item_type,
        "created_at": item.created_at,
        "retired_at": item.retired_at,
    }


class ItemsOut(Shape):
    items: list[ItemOut]
    next: NextPage


class WorkstationOut(Shape):
    id: Annotated[UUID, Example(examples.WORKSTATION_ID)]
    name: Annotated[str, Example(examples.WORKSTATION_NAME)]
    fingerprint: Annotated[str, Example(examples.FINGERPRINT)]
    last_seen: Later
    created_at: Earlier


def workstation_json(workstation: "Workstation", last_seen: datetime) -> Json:
    """Build `WorkstationOut`."""
    return {
        "id": workstation.pk,
        "name": workstation.name,
        "fingerprint": workstation.fingerprint,
        "last_seen": last_seen,
        "created_at": workstation.created_at,
    }


class WorkstationsOut(Shape):
    workstations: list[WorkstationOut]
    next: NextPage
