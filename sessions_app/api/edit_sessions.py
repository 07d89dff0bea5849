"""Edit sessions: acquire, list, release, force-release."""

from typing import Annotated, Any
from uuid import UUID

from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja import Query, Router, Status
from pydantic import Field

from events_app.database import sql
from events_app.log import event_log
from sessions_app import accounts, operations, payloads
from sessions_app.api import paths
from sessions_app.api.answers import answers
from sessions_app.api.fields import WHOLE_PAGE, After, PageLimit, PartNumber, Text
from sessions_app.api.in_sets import in_sets
from sessions_app.api.request_schemas import (
    AcquireIn,
    BatchIn,
    ForceReleaseIn,
    ReleaseIn,
    VerifyIn,
)
from sessions_app.authentication import ADMIN, EDITOR, LETTING_GO, VIEWER, principal
from sessions_app.errors import (
    BatchInterference,
    DomainError,
    HardInterference,
    Invalid,
    NotConnected,
    NotFound,
    Retired,
    StaleToken,
    TooManyNodeKeys,
    TooManySessions,
)
from sessions_app.interference import lists
from sessions_app.models import EditSession, Item
from sessions_app.models.edit_session_queryset import EditSessionQuerySet
from sessions_app.models.item import of_item
from sessions_app.models.results import Acquired
from sessions_app.operations.facts import Acquire
from sessions_app.operations.release import Release
from sessions_app.paging import first_page
from sessions_app.payloads.session import (
    AcquiredOut,
    BatchOut,
    ReleasedOut,
    SessionsOut,
    VerifiedOut,
)
from sessions_app.payloads.shape import Json

router = Router(tags=["edit sessions"])

OF_ITEM = paths.OF_ITEM + "/edit-sessions"
ONE = OF_ITEM + "/{uuid:session_id}"


def _acquired_one(acquired: list[Acquired]) -> Json:
    return payloads.acquired_json(acquired[0])


def _refused_one(refusal: DomainError) -> DomainError:
    return refusal.of_one() if isinstance(refusal, BatchInterference) else refusal


@router.post(
    OF_ITEM,
    auth=EDITOR,
    response=answers(
        AcquiredOut,
        NotFound,
        HardInterference,
        NotConnected,
        Retired,
        TooManySessions,
        TooManyNodeKeys,
    ),
)
@in_sets(_acquired_one, _refused_one)
def acquire(user: User, part_number: PartNumber, body: AcquireIn) -> Acquire:
    """Acquire an edit session, or refresh the one that this workstation holds already."""
    wanted = [body.wanted(part_number)]
    return Acquire(user, body.workstation_id, wanted, body.connection_id)


@router.post(
    "/edit-sessions/batch",
    auth=EDITOR,
    response=answers(
        BatchOut,
        NotFound,
        NotConnected,
        BatchInterference,
        Retired,
        TooManySessions,
        TooManyNodeKeys,
    ),
)
@in_sets(lambda acquired: {"sessions": [payloads.acquired_json(one) for one in acquired]})
def acquire_batch(user: User, body: BatchIn) -> Acquire:
    """Acquire many edit sessions at once, all or none: for example an assembly."""
    wanted = [session.wanted(session.part_number) for session in body.sessions]
    return Acquire(user, body.workstation_id, wanted, body.connection_id)


@router.post("/edit-sessions/release", auth=LETTING_GO, response=answers(ReleasedOut))
@in_sets(lambda ended: {"released": len(ended)})
def release_many(user: User, body: ReleaseIn) -> Release:
    """Release many of the caller's own sessions, in steps that are each committed. Never rate-limited.

    Sessions that have ended already, or that other users hold, are skipped and not counted. After an error some may
    have been released already: repeat the request.
    """
    return Release(user, body.session_ids)


@router.get(OF_ITEM, auth=VIEWER, response=answers(SessionsOut, NotFound))
def list_of_item(
    request: HttpRequest,
    part_number: PartNumber,
    after: After = 0,
    limit: PageLimit = WHOLE_PAGE,
) -> Json:
    """List the active sessions on an item in the order in which they were acquired, a page at a time.

    The events from the first page's `cursor` on report the changes that happen while the other pages are read.
    """
    with sql.one_snapshot():
        item = Item.objects.named(part_number)
        return _page(EditSession.objects.filter(item=item), after, limit)


@router.delete(ONE, auth=LETTING_GO, response=answers({204: None}, NotFound))
@in_sets(lambda ended: Status(204, None))
def release(user: User, part_number: PartNumber, session_id: UUID) -> Release:
    """Release an edit session of the caller, whichever of the caller's workstations holds it."""
    return Release(user, [session_id], part_number)


@router.delete(
    ONE + "/force-release",
    auth=ADMIN,
    response=answers({200: AcquiredOut, 204: None}, NotFound, NotConnected, Retired),
)
def force_release(
    request: HttpRequest,
    part_number: PartNumber,
    session_id: UUID,
    given: Annotated[ForceReleaseIn, Query()],
    body: ForceReleaseIn | None = None,
) -> Status[Any]:
    """End another user's edit session. The reason is required and recorded.

    With `take` the caller's workstation gets the session in the same transaction, ahead of the line: the answer is 200
    with the new session, as of an acquire; else 204. For proxies that drop the body of a DELETE, each member may be a
    query parameter instead.
    """
    wanted = given.overridden_by(body)
    if not (wanted.reason or "").strip():
        raise Invalid("A reason is required, in the body or as ?reason=.")
    if wanted.take != (wanted.workstation_id is not None):
        raise Invalid("A take-over needs both take and workstation_id.")
    find_session(part_number, session_id)
    user, why = principal(request).user, wanted.reason or ""
    if not wanted.workstation_id:
        operations.release.force_release(session_id, by=user.get_username(), note=why)
        return Status(204, None)
    acquired = operations.handoff.take_over(
        user, session_id, wanted.workstation_id, why, wanted.connection_id
    )
    return Status(200, payloads.acquired_json(acquired))


@router.post(ONE + "/verify", auth=VIEWER, response=answers(VerifiedOut, StaleToken))
def verify(request: HttpRequest, part_number: PartNumber, session_id: UUID, body: VerifyIn) -> Json:
    """Return who holds the active session with this fencing token, for a vault. Never rate-limited.

    This check alone does not fence: the vault also has to keep, in its own write, the highest token that it has seen.
    """
    session = operations.handoff.verify(part_number, session_id, body.fencing_token)
    return payloads.verified_json(session)


@router.get("/edit-sessions", auth=VIEWER, response=answers(SessionsOut))
def list_all(
    request: HttpRequest,
    all: Annotated[
        bool, Field(description="The sessions of all users, not only the caller's.")
    ] = False,
    user: Annotated[Text | None, Field(description="A username.")] = None,
    workstation: UUID | None = None,
    item: Annotated[PartNumber | None, Field(description="A part number.")] = None,
    after: After = 0,
    limit: PageLimit = 100,
) -> Json:
    """List active sessions in the order in which they were acquired, a page at a time."""
    sessions = EditSession.objects.all()
    if not all:
        sessions = sessions.filter(user=principal(request).user)
    if user is not None:
        sessions = sessions.filter(user__username=accounts.own_spelling(user))
    if workstation is not None:
        sessions = sessions.filter(workstation_id=workstation)
    if item is not None:
        sessions = sessions.filter(item__in=Item.objects.ids_on_record(item))
    with sql.one_snapshot():
        return _page(sessions, after, limit)


def _page(sessions: EditSessionQuerySet, after: int, limit: int) -> Json:
    """Return the sessions with a later fencing token, and the head of the event log, from one database snapshot."""
    ordered = sessions.filter(fencing_token__gt=after).order_by("fencing_token")
    page, last = first_page(ordered.with_names().with_connected(), limit)
    met = lists.met_in_list(EditSession.objects.all(), page)
    connected = {one.workstation_id for one in page if one.connected}
    return {
        "sessions": payloads.listed_json(page, met, connected),
        "cursor": str(event_log.state().head),
        "next": last.fencing_token if last else None,
    }


def find_session(part_number: str, session_id: UUID) -> EditSession:
    session = EditSession.objects.filter(of_item(part_number), pk=session_id).first()
    if session is None:
        raise NotFound("There is no such session, or it has ended.")
    assert isinstance(session, EditSession)
    return session
