"""The line for an edit session that somebody else has: stand in it, see it, leave it."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Router, Status

from sessions_app import payloads
from sessions_app.api import paths
from sessions_app.api.answer_schemas import AcquiredOut, Answer, LineOut, StandingOut
from sessions_app.api.answers import answers
from sessions_app.api.fields import PartNumber
from sessions_app.api.request_schemas import AcquireIn
from sessions_app.authentication import EDITOR, LETTING_GO, VIEWER, principal
from sessions_app.errors import Forbidden, NotConnected, NotFound, Retired
from sessions_app.managers.line import Standing
from sessions_app.models import Item, PlaceInLine
from sessions_app.models.item import of_item
from sessions_app.roles import Role

router = Router(tags=["line"])

OF_ITEM = paths.OF_ITEM + "/edit-session-requests"


@router.post(
    OF_ITEM,
    auth=EDITOR,
    response=answers({200: AcquiredOut, 201: StandingOut}, NotFound, NotConnected, Retired),
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
    holder = answer.holder and payloads.holder_json(answer.holder)
    place = payloads.place_json(answer.place)
    return Status(201, place | {"existing": answer.existing, "holder": holder})


@router.get(OF_ITEM, auth=VIEWER, response=answers(LineOut, NotFound))
def list_line(request: HttpRequest, part_number: PartNumber) -> Answer:
    """List who stands in line on an item, with positions."""
    item = Item.objects.named(part_number)
    line = PlaceInLine.objects.filter(item=item).with_position()
    ordered = line.order_by("context_level", "object_id", "number")
    return {"requests": [payloads.place_json(place) for place in ordered]}


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
