"""Registering a workstation, which is never two machines at once, and deleting one with its sessions."""

import uuid
from collections.abc import Collection
from datetime import timedelta
from functools import partial
from typing import NoReturn

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from events_app import timings
from events_app.database.lock_retry import with_lock_retry
from events_app.presence import store
from events_app.presence.outages import observed_for
from sessions_app.errors import Forbidden, IdentityInUse
from sessions_app.models.edit_session import EditSession
from sessions_app.models.ended_session import EndReason
from sessions_app.models.handoff_request import HandoffRequest
from sessions_app.models.place_in_line import PlaceInLine
from sessions_app.models.workstation import Workstation
from sessions_app.operations.limits import check_workstations
from sessions_app.steps import STEP_WORKSTATIONS, batched


def register(
    user: User, name: str, fingerprint: str, machine: str = "", *, may_release: bool = True
) -> tuple[Workstation, bool]:
    """Return the user's workstation with this fingerprint, now seen, so named, and this machine's.

    What another machine had as this workstation is released: that machine is gone.

    Args:
        user: whose it is.
        name: what people see.
        fingerprint: which workstation.
        machine: the running machine that asks; "" where its client does not say, which changes nothing of that.

        may_release: whether the credentials of who asks may end what the user has.

    Returns:
        The workstation, and whether it is new.

    Raises:
        Forbidden: another machine left something there, and these credentials may not end it.
        IdentityInUse: another machine is connected as this workstation, or may come back.
        TooManyWorkstations: it would be a new one, and the user has as many as they may have.
    """

    def step(also: Collection[uuid.UUID]) -> tuple[Workstation, bool] | None:
        known, created = Workstation.objects.get_or_create(
            user=user, fingerprint=fingerprint, defaults={"name": name, "machine": machine}
        )
        if created:
            check_workstations(user.pk)
        locked = {one.pk: one for one in Workstation.objects.lock({known.pk, *also})}
        if known.pk not in locked:
            return None  # it was deleted in between
        workstation = locked[known.pk]
        here = Workstation.objects.filter(pk=workstation.pk)
        if machine and workstation.machine not in {"", machine}:
            _check_gone(workstation, machine)
            if not may_release and _has_anything(workstation):
                raise Forbidden(
                    "Another machine left edit sessions at this workstation, which these credentials may not end."
                )
            # Until everything has ended that the other machine had, it is that one's.
            if EditSession.objects.release_for_workstation(
                [workstation.pk], leaving=[workstation.pk]
            ).more:
                return None
            here.update(departed_at=None, departed_by=None, away_since=None, idle_since=None)
        here.update(name=name, last_seen=Now(), machine=machine or workstation.machine)
        workstation.refresh_from_db()
        return workstation, created

    while (registered := with_lock_retry(step)) is None:
        pass
    return registered


def delete(
    ids: Collection[uuid.UUID],
    ended_by: str = "",
    *,
    only_empty: bool = False,
    only: Q | None = None,
) -> int:
    """Delete these workstations and release what they hold, in steps; return how many were deleted.

    Args:
        ids: the workstations.
        ended_by: the name of who does it, if it is not their user.
        only_empty: leave those alone that hold something or wait for it.
        only: leave those alone for which this is not so when they are locked; of workstations `with_presence`.
    """

    def remove(some: Collection[uuid.UUID], also: Collection[uuid.UUID]) -> int | None:
        # Deleting needs the whole row's lock, so it is taken from the start.
        locked = (
            Workstation.objects.filter(pk__in={*some, *also}).order_by("pk").select_for_update()
        )
        found = set(locked.values_list("pk", flat=True)) & set(some)
        if only is not None:
            rows = Workstation.objects.with_presence().filter(only, pk__in=found)
            found = set(rows.values_list("pk", flat=True))
        if only_empty:
            found -= set(
                Workstation.objects.filter(_has_something(), pk__in=found).values_list(
                    "pk", flat=True
                )
            )
        ended = EditSession.objects.release_for_workstation(
            found, EndReason.WORKSTATION_DELETED, ended_by=ended_by, leaving=found
        )
        if ended.more:
            return None
        Workstation.objects.filter(pk__in=found).delete()
        return len(found)

    count = 0
    for some in batched(sorted(set(ids)), STEP_WORKSTATIONS):
        while (removed := with_lock_retry(partial(remove, some))) is None:
            pass
        count += removed
    return count


def _check_gone(workstation: Workstation, machine: str) -> None:
    """Check, under the workstation's lock, that no other machine is it.

    Raises:
        IdentityInUse: another one is connected, or may still believe that it holds something.
    """
    configured = timings.configured()
    dead_peer = timedelta(seconds=configured.dead_peer)
    server_dead = timedelta(seconds=configured.server_dead)
    connected, known = store.connected_elsewhere(workstation.pk, machine, server_dead)
    if connected:
        _refuse(workstation, "is connected", dead_peer, connected=True)
    window = max(dead_peer, settings.EVENTS_DISCONNECT_GRACE)
    over = Workstation.objects.filter(pk=workstation.pk, last_seen__lt=Now() - window)
    # Who has registered since it departed is about to connect.
    departed_at = workstation.departed_at
    departed = departed_at is not None and workstation.last_seen <= departed_at
    left = departed and not _has_anything(workstation)
    if known or not (left or over.filter(observed_for(window)).exists()):
        _refuse(workstation, "was connected a moment ago", window, connected=False)


def _has_anything(workstation: Workstation) -> bool:
    things = (EditSession.objects, PlaceInLine.objects)
    return any(some.filter(workstation=workstation).exists() for some in things)


def _refuse(
    workstation: Workstation, state: str, seconds: timedelta, *, connected: bool
) -> NoReturn:
    raise IdentityInUse(
        f"Another machine {state} as this workstation, {workstation.name}:"
        " register with a fingerprint of your own, or wait if this is the same machine, started anew.",
        workstation={"id": workstation.pk, "name": workstation.name},
        connected=connected,
        seconds=seconds.total_seconds(),
    )


def _has_something() -> Q:
    """The condition that it holds an edit session, stands in line, or has asked for a hand-off."""
    of_it = {"workstation": OuterRef("pk")}
    return (
        Q(Exists(EditSession.objects.filter(**of_it)))
        | Q(Exists(PlaceInLine.objects.filter(**of_it)))
        | Q(Exists(HandoffRequest.objects.filter(**of_it)))
    )
