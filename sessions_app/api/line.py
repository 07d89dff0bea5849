"""The line for an edit session that somebody else has: stand in it, see it, leave it."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Router, Status

from events_app.database import sql
from sessions_app import payloads
from sessions_app.api import paths
from sessions_app.api.answers import answers
from sessions_app.api.fields import WHOLE_PAGE, AfterPlace, PageLimit, PartNumber
from sessions_app.api.request_schemas import AcquireIn
from sessions_app.authentication import EDITOR, LETTING_GO, VIEWER, principal
from sessions_app.errors import (
    Forbidden,
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
    """Stand in line: 201 with the position, or 200 with the session if it is free now.

    Needs an open event stream, on which `edit.session_granted` says that the turn has come.
    """
    answer = PlaceInLine.objects.stand(
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
    """List who stands in line on an item, with positions, a page at a time."""
    with sql.one_snapshot():
        item = Item.objects.named(part_number)
        page, more = PlaceInLine.objects.filter(item=item).page(_place(after), limit)
    return {
        "requests": [payloads.place_json(place) for place in page],
        "next": _next(page[-1]) if more else None,
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
    """Leave the line, from wherever the user is. An admin may remove anybody's place.

    What this workstation has asked of the holder is taken back with it.
    """
    place = (
        PlaceInLine.objects.filter(of_item(part_number), pk=request_id)
        .select_related("workstation")
        .first()
    )
    if place is None:
        raise NotFound("There is no such place in line.")
    who = principal(request)
    if not who.owns(place.workstation) and not who.may(Role.ADMIN):
        raise Forbidden("This place in line is somebody else's.")
    PlaceInLine.objects.step_out(request_id)
    return Status(204, None)
