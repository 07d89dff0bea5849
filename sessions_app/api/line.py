"""The line for an edit session that another workstation holds: join, list, leave."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Router, Status

from events_app.database import sql
from sessions_app import operations, payloads
from sessions_app.api import paths
from sessions_app.api.answers import answers
from sessions_app.api.fields import WHOLE_PAGE, AfterPlace, PageLimit, PartNumber
from sessions_app.api.request_schemas import AcquireIn
from sessions_app.authentication import EDITOR, LETTING_GO, VIEWER, principal
from sessions_app.errors import (
    NotConnected,
    NotFound,
    Retired,
    TooManyNodeKeys,
    TooManyPlaces,
    TooManySessions,
)
from sessions_app.models import Item, PlaceInLine
from sessions_app.models.item import of_item
from sessions_app.models.results import Standing
from sessions_app.payloads.place import LineOut, StandingOut
from sessions_app.payloads.session import AcquiredOut
from sessions_app.payloads.shape import Json
from sessions_app.roles import Role

router = Router(tags=["line"])

OF_ITEM = paths.OF_ITEM + "/edit-session-requests"


@router.post(
    OF_ITEM,
    auth=EDITOR,
    response=answers(
        {200: AcquiredOut, 201: StandingOut},
        NotFound,
        NotConnected,
        Retired,
        TooManyPlaces,
        TooManyNodeKeys,
        TooManySessions,
    ),
)
def stand_in_line(request: HttpRequest, part_number: PartNumber, body: AcquireIn) -> Status[Any]:
    """Join the line: 201 with the position, or 200 with the session if the lock is free now.

    The workstation needs an open event stream, on which `edit.session_granted` announces its turn.
    """
    answer = operations.line.stand(
        principal(request).user,
        body.workstation_id,
        body.wanted(part_number),
        body.connection_id,
    )
    if not isinstance(answer, Standing):
        return Status(200, payloads.acquired_json(answer))
    return Status(201, payloads.standing_json(answer))


@router.get(OF_ITEM, auth=VIEWER, response=answers(LineOut, NotFound))
def list_line(
    request: HttpRequest,
    part_number: PartNumber,
    after: AfterPlace = None,
    limit: PageLimit = WHOLE_PAGE,
) -> Json:
    """List the places in line on an item, with their positions, a page at a time."""
    with sql.one_snapshot():
        item = Item.objects.named(part_number)
        page, last = PlaceInLine.objects.filter(item=item).page(_place(after), limit)
    return {
        "requests": [payloads.place_json(place) for place in page],
        "next": _next(last) if last else None,
    }


def _next(place: PlaceInLine) -> str:
    return f"{place.context_level}.{place.number}.{place.object_id}"


def _place(following: str | None) -> tuple[str, str, int] | None:
    """Return level, object and number of the place after which a page begins."""
    if not following:
        return None
    level, number, object_id = following.split(".", 2)
    return level, object_id, int(number)


@router.delete(
    OF_ITEM + "/{uuid:request_id}", auth=LETTING_GO, response=answers({204: None}, NotFound)
)
def leave_line(request: HttpRequest, part_number: PartNumber, request_id: UUID) -> Status[Any]:
    """Leave the line. The user may do so from any client; an admin may remove any place.

    The workstation's hand-off request to the holder is withdrawn with it.
    """
    who = principal(request)
    places = PlaceInLine.objects.filter(of_item(part_number), pk=request_id)
    operations.line.leave(who.user, places, as_admin=who.may(Role.ADMIN))
    return Status(204, None)
