"""`/api/workstations`: registering client installations."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest
from ninja import Router, Status

from sessions_app.api.schemas import Answer, WorkstationIn, WorkstationOut, WorkstationsOut
from sessions_app.authentication import VIEWER, Principal, Role, principal
from sessions_app.errors import Forbidden, NotFound
from sessions_app.models import EditSession, EndReason, Workstation

router = Router(tags=["workstations"])


@router.post("", auth=VIEWER, response={201: WorkstationOut, 200: WorkstationOut})
def register_workstation(request: HttpRequest, body: WorkstationIn) -> Status[Any]:
    """Register this client installation, or find it again by its fingerprint."""
    workstation, created = Workstation.objects.register(
        principal(request).user, body.name, body.fingerprint
    )
    return Status(201 if created else 200, workstation)


@router.get("", auth=VIEWER, response=WorkstationsOut)
def list_workstations(request: HttpRequest) -> Answer:
    """List the caller's own."""
    mine = Workstation.objects.with_presence().filter(user=principal(request).user)
    return {
        "workstations": [
            {
                "id": workstation.pk,
                "name": workstation.name,
                "fingerprint": workstation.fingerprint,
                "last_seen": workstation.seen_at,
                "created_at": workstation.created_at,
            }
            for workstation in mine.order_by("created_at", "pk")
        ]
    }


@router.delete("/{uuid:workstation_id}", auth=VIEWER, response={204: None})
def delete_workstation(request: HttpRequest, workstation_id: UUID) -> Status[Any]:
    """Delete one; its sessions are released."""
    with transaction.atomic():
        # Deleting needs the whole row's lock, so it is taken from the start.
        workstation = Workstation.objects.select_for_update().filter(pk=workstation_id).first()
        _check_may_end(principal(request), workstation)
        assert workstation is not None
        EditSession.objects.release_for_workstation([workstation_id], EndReason.WORKSTATION_DELETED)
        workstation.delete()
    return Status(204, None)


def _check_may_end(who: Principal, workstation: Workstation | None) -> None:
    if workstation is None:
        raise NotFound("There is no such workstation.")
    if not who.owns(workstation) and who.role < Role.ADMIN:
        raise Forbidden("This workstation is somebody else's.")
