"""The caller's own workstation: locked first, then checked."""

import uuid
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model

from events_app.models import Connection
from sessions_app.errors import Forbidden, NotConnected, NotFound
from sessions_app.models.workstation import Workstation

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def lock_own_workstation(user: "User", workstation_id: uuid.UUID) -> Workstation:
    """Lock a workstation that must be the user's, who must be active.

    Raises:
        NotFound: no such workstation.
        Forbidden: somebody else's workstation, or the user was deactivated meanwhile.
    """
    locked = Workstation.objects.lock([workstation_id])
    if not locked:
        raise NotFound("There is no such workstation; register it first.")
    workstation = locked[0]
    if workstation.user_id != user.pk:
        raise Forbidden("Another user owns this workstation.")
    # Asked after the lock: a deactivation releases under the same lock, before or after this.
    if not get_user_model().objects.filter(pk=user.pk, is_active=True).exists():
        raise Forbidden("This user is deactivated.")
    workstation.user = user
    return workstation


def check_connected(workstation_id: uuid.UUID, connection_id: uuid.UUID | None) -> None:
    """Check, under the workstation's lock, that it has this stream open, or if none is named, any.

    Raises:
        NotConnected: if it has not.
    """
    if connection_id is None:
        connected = Workstation.objects.served().filter(pk=workstation_id).exists()
    else:
        connected = Connection.objects.filter(pk=connection_id, key=workstation_id).exists()
    if not connected:
        raise NotConnected("This event stream has ended, or there is none; open a new one.")
