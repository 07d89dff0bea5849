"""The caller's own workstation: locked first, then checked."""

import uuid
from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model
from django.db import connection

from events_app.database.round_trip import Statement, rows_of, together
from events_app.models import Connection
from sessions_app.errors import Forbidden, NotConnected, NotFound
from sessions_app.models.workstation import Workstation

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_COLUMNS = [field.attname for field in Workstation._meta.concrete_fields]
_LOCK = Statement(lambda ids: Workstation.objects.locking(ids).values_list(*_COLUMNS))
_ACTIVE = Statement(
    lambda users: get_user_model().objects.filter(pk__any=users, is_active=True).values_list("pk")
)
_CONNECTED = Statement(
    lambda ids, keys: Connection.objects.filter(pk__any=ids, key__any=keys).values_list("pk")
)


def lock_own_workstation(user: "User", workstation_id: uuid.UUID) -> Workstation:
    """Lock a workstation that must be the user's, who must be active.

    Raises:
        NotFound: no such workstation.
        Forbidden: somebody else's workstation, or the user was deactivated meanwhile.
    """
    # Asked after the lock: a deactivation releases under the same lock, before or after this.
    rows, active = together(_LOCK([workstation_id]), _ACTIVE([user.pk]))
    if not rows:
        raise NotFound("There is no such workstation; register it first.")
    workstation = Workstation.from_db(connection.alias, _COLUMNS, rows[0])
    if workstation.user_id != user.pk:
        raise Forbidden("Another user owns this workstation.")
    if not active:
        raise Forbidden("This user is deactivated.")
    workstation.user = user
    return workstation


def check_connected(workstation_id: uuid.UUID, connection_id: uuid.UUID | None) -> None:
    """Check, under the workstation's lock, that it has this stream open, or if none is named, any.

    Raises:
        NotConnected: if it has not.
    """
    if connection_id is None:
        connected: object = Workstation.objects.served().filter(pk=workstation_id).exists()
    else:
        connected = rows_of(_CONNECTED([connection_id], [workstation_id]))
    if not connected:
        raise NotConnected("This event stream has ended, or there is none; open a new one.")
