"""`/api/workstations`: register client installations, keep them present, delete them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest
from ninja import Router, Status

from sessions_app import operations
from sessions_app.api.answers import answers
from sessions_app.api.fields import WHOLE_PAGE, AfterWorkstation, Machine, PageLimit
from sessions_app.api.request_schemas import AliveIn, WorkstationIn
from sessions_app.authentication import KNOWN, LETTING_GO, VIEWER, principal
from sessions_app.errors import (
    Forbidden,
    IdentityInUse,
    NotConnected,
    NotFound,
    TooManyWorkstations,
)
from sessions_app.models import Workstation
from sessions_app.operations.workstations import register
from sessions_app.paging import first_page
from sessions_app.payloads import workstation_json
from sessions_app.payloads.item import WorkstationOut, WorkstationsOut
from sessions_app.payloads.session import ReleasedOut
from sessions_app.payloads.shape import Json
from sessions_app.roles import Role

router = Router(tags=["workstations"])

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@router.post(
    "",
    auth=VIEWER,
    response=answers(
        {201: WorkstationOut, 200: WorkstationOut}, IdentityInUse, TooManyWorkstations
    ),
)
def register_workstation(
    request: HttpRequest, body: WorkstationIn, machine: Machine = ""
) -> Status[Any]:
    """Register this client installation, or find it again by its fingerprint.

    A workstation is one machine at a time. While another machine is connected as this workstation, or may come back, a
    client that names its own machine is refused. Afterwards it gets the workstation, and the sessions of the other
    machine are released.
    """
    who = principal(request)
    workstation, created = register(
        who.user, body.name, body.fingerprint, machine.strip(), may_release=who.may_let_go
    )
    return Status(201 if created else 200, workstation_json(workstation, workstation.last_seen))


@router.get("", auth=VIEWER, response=answers(WorkstationsOut))
def list_workstations(
    request: HttpRequest, after: AfterWorkstation = None, limit: PageLimit = WHOLE_PAGE
) -> Json:
    """List the caller's workstations in the order of their registration, a page at a time."""
    mine = Workstation.objects.with_presence().filter(user=principal(request).user)
    if after:
        mine = mine.filter(_after(after))
    page, last = first_page(mine.order_by("created_at", "pk"), limit)
    return {
        "workstations": [workstation_json(one, one.seen_at) for one in page],
        "next": _next(last) if last else None,
    }


def _next(workstation: Workstation) -> str:
    since = (workstation.created_at - _EPOCH) // _MICROSECOND
    return f"{since}.{workstation.pk.hex}"


def _after(following: str) -> Q:
    since, pk = following.split(".")
    created_at = _EPOCH + int(since) * _MICROSECOND
    return Q(created_at__gt=created_at) | Q(created_at=created_at, pk__gt=UUID(pk))


@router.post(
    "/{uuid:workstation_id}/alive",
    auth=VIEWER,
    response=answers({204: None}, NotFound, NotConnected),
)
def alive(request: HttpRequest, workstation_id: UUID, body: AliveIn | None = None) -> Status[Any]:
    """Acknowledge a heartbeat, or keep a workstation present without a stream. Never rate-limited.

    With a token that is limited to the role viewer it has no effect on sessions and does not report idleness.
    """
    who, said = principal(request), body.model_dump() if body else {}
    operations.alive.alive(who.user, workstation_id, **said, counts=who.may_let_go)
    return Status(204, None)


@router.delete(
    "/{uuid:workstation_id}/edit-sessions",
    auth=LETTING_GO,
    response=answers(ReleasedOut, NotFound),
)
def release_all(request: HttpRequest, workstation_id: UUID) -> Json:
    """Release every edit session of a workstation, in steps that are each committed. Never rate-limited.

    After an error some may have been released already: repeat the request.
    """
    ended_by = _who_ends(request, workstation_id)
    return {"released": len(operations.release.release_all(workstation_id, ended_by))}


@router.delete("/{uuid:workstation_id}", auth=KNOWN, response=answers({204: None}, NotFound))
def delete_workstation(request: HttpRequest, workstation_id: UUID) -> Status[Any]:
    """Delete a workstation. Its sessions are released first, in steps that are each committed."""
    ended_by, who = _who_ends(request, workstation_id), principal(request)
    if operations.workstations.delete([workstation_id], ended_by, only_empty=not who.may_let_go):
        return Status(204, None)
    if Workstation.objects.filter(pk=workstation_id).exists():
        who.require_letting_go()
    raise NotFound("There is no such workstation.")


def _who_ends(request: HttpRequest, workstation_id: UUID) -> str:
    """Return the name to record as `ended_by`: empty for the workstation's owner, else the admin's name.

    The owner of a workstation never changes, so no lock is needed.

    Raises:
        NotFound, Forbidden: the workstation does not exist; or another user owns it and the caller is no admin.
    """
    workstation, who = _one(workstation_id), principal(request)
    if who.owns(workstation):
        return ""
    if not who.may(Role.ADMIN):
        raise Forbidden("Another user owns this workstation.")
    return who.user.get_username()


def _one(workstation_id: UUID) -> Workstation:
    workstation = Workstation.objects.filter(pk=workstation_id).first()
    if workstation is None:
        raise NotFound("There is no such workstation.")
    assert isinstance(workstation, Workstation)
    return workstation
