"""Hand-off: request an edit session from its holder, and hand it to another workstation."""

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Router, Status

from sessions_app import operations, payloads
from sessions_app.api.answers import answers
from sessions_app.api.edit_sessions import ONE, find_session
from sessions_app.api.fields import PartNumber
from sessions_app.api.request_schemas import HandoffIn, HandoffRequestIn
from sessions_app.authentication import EDITOR, LETTING_GO, principal
from sessions_app.errors import (
    NotAnEditor,
    NotConnected,
    NotFound,
    NotRequested,
    OwnSession,
    Retired,
)
from sessions_app.payloads.session import AcquiredOut
from sessions_app.payloads.shape import Json

router = Router(tags=["hand-off"])


@router.post(
    ONE + "/request-handoff", auth=EDITOR, response=answers({202: None}, NotFound, OwnSession)
)
def request_handoff(
    request: HttpRequest, part_number: PartNumber, session_id: UUID, body: HandoffRequestIn
) -> Status[Any]:
    """Ask the holder of a session for it: the holder's workstation is notified who asks, and why."""
    find_session(part_number, session_id)
    operations.handoff.request(
        principal(request).user, session_id, body.message, body.workstation_id
    )
    return Status(202, None)


@router.post(
    ONE + "/handoff",
    auth=LETTING_GO,
    response=answers(AcquiredOut, NotFound, NotConnected, NotAnEditor, NotRequested, Retired),
)
def hand_off(
    request: HttpRequest, part_number: PartNumber, session_id: UUID, body: HandoffIn
) -> Json:
    """Hand a session to a workstation that has requested it or stands in line for it.

    The session ends as `handed_off`. The answer is the new session of the other workstation, with a new fencing token.
    """
    find_session(part_number, session_id)
    acquired = operations.handoff.hand_off(
        principal(request).user, session_id, body.to_workstation_id
    )
    return payloads.acquired_json(acquired)
