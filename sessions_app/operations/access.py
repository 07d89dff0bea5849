"""The caller's own workstation: locked first, then checked."""

import uuid
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from django.contrib.auth import get_user_model

from events_app.database.round_trip import Rows, Statement, rows_of, together
from events_app.models import Connection
from sessions_app.errors import Forbidden, NotConnected, NotFound
from sessions_app.models.workstation import Workstation

if TYPE_CHECKING:
    from django.contrib.auth.models import User

# What is asked before something is done for a workstation, and shown with its sessions.
WORKSTATIONS: Final = Rows(
    Workstation, "id", "user_id", "name", "departed_at", "away_since", "idle_since"
)
LOCK: Final = Statement(
    lambda ids: Workstation.objects.locking(ids).values_list(*WORKSTATIONS.columns)
)
ACTIVE: Final = Statement(
    lambda users: get_user_model().objects.filter(pk__any=users, is_active=True).values_list("pk")
)
CONNECTED: Final = Statement(
    lambda ids, keys: Connection.objects.filter(pk__any=ids, key__any=keys).values_list("pk", "key")
)


def lock_own_workstation(user: "User", workstation_id: uuid.UUID) -> Workstation:
    """Lock a workstation that must be the user's, who must be active.

    Raises:
        NotFound, Forbidden: see `own`.
    """
    # Asked after the lock: a deactivation releases under the same lock, before or after this.
    rows, active = together(LOCK([workstation_id]), ACTIVE([user.pk]))
    return own(user, next(WORKSTATIONS.instances(rows), None), {pk for (pk,) in active})


def own(user: "User", workstation: Workstation | None, active: Collection[int]) -> Workstation:
    """Return a locked workstation, with its user, if it is this user's.

    Args:
        user: who asks.
        workstation: None if there is none.
        active: of the users, those who are.

    Raises:
        NotFound: no such workstation.
        Forbidden: somebody else's workstation, or the user was deactivated meanwhile.
    """
    if workstation is None:
        raise NotFound("There is no such workstation; register it first.")
    if workstation.user_id != user.pk:
        raise Forbidden("Another user owns this workstation.")
    if user.pk not in active:
        raise Forbidden("This user is deactivated.")
    workstation.user = user
    return workstation


def check_connected(workstation_id: uuid.UUID, connection_id: uuid.UUID | None) -> None:
    """Check, under the workstation's lock, that it has this stream open, or if none is named, any.

    Raises:
        NotConnected: if it has not.
    """
    if connection_id is None:
        check(connected=Workstation.objects.served().filter(pk=workstation_id).exists())
    else:
        check(connected=bool(rows_of(CONNECTED([connection_id], [workstation_id]))))


def check(*, connected: bool) -> None:
    """Check whether a workstation has its stream.

    Raises:
        NotConnected: if it has not.
    """
    if not connected:
        raise NotConnected("This event stream has ended, or there is none; open a new one.")
