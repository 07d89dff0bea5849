"""The members that several shapes have, and functions that build the compound ones."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from sessions_app.models.abstract_edit_session import ContextLevel
from sessions_app.payloads import examples
from sessions_app.payloads.shape import Example, Json, Shape
from sessions_app.text import name_by

if TYPE_CHECKING:
    from django.contrib.auth.models import User

SessionId = Annotated[UUID, Example(examples.SESSION_ID)]
ItemId = Annotated[UUID, Example(examples.ITEM_ID)]
PartNumber = Annotated[str, Example(examples.PART_NUMBER)]
UserName = Annotated[str, Example(examples.USER)]
FullName = Annotated[
    str,
    Field(description="The full name, or without one the account's."),
    Example(examples.USER_NAME),
]
Level = Annotated[ContextLevel, Example(examples.LEVEL)]
ObjectId = Annotated[str, Example(examples.OBJECT_ID)]
FencingToken = Annotated[int, Example(examples.FENCING_TOKEN)]
Note = Annotated[str, Field(description="The holder's note, or empty."), Example(examples.NOTE)]
# The instance of a workstation that a session or a place belongs to.
ConnectionId = Annotated[
    UUID | None,
    Field(
        description="The event stream that the client named when it acquired the session or joined the line; it may"
        " have ended. Null if the client named none, or was handed the session without standing in line, until a"
        " client that names one asks for it."
    ),
    Example(examples.CONNECTION_ID),
]
Earlier = Annotated[datetime, Example(examples.ACQUIRED_AT)]
Later = Annotated[datetime, Example(examples.LATER)]
Interference = Annotated[Literal["none", "soft"], Example("soft")]
SharedKeys = Annotated[list[str], Example([examples.OTHER_OBJECT_ID])]
NextPage = Annotated[
    str | None,
    Field(description="Give it as `after` for the next page; null on the last."),
    Example(None),
]
NextToken = Annotated[
    int | None,
    Field(description="Give it as `after` for the next page; null on the last."),
    Example(None),
]


class WorkstationRef(Shape):
    id: Annotated[UUID, Example(examples.WORKSTATION_ID)]
    name: Annotated[str, Example(examples.WORKSTATION_NAME)]


def workstation_ref(pk: Any, name: str) -> Json:
    return {"id": pk, "name": name}


def user_members(user: "User") -> Json:
    """Return the members `user` and `user_name`."""
    account = user.username
    return {"user": account, "user_name": name_by(user.first_name, user.last_name, account)}


class OfItem(Shape):
    """The members that name an item."""

    item_id: ItemId
    part_number: PartNumber
