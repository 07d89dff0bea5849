"""Arrivals and departures of workstations, their graces and their idleness, as their sessions see them."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from events_app.database.lock_retry import with_lock_retry
from events_app.database.round_trip import Query, Statement, together
from events_app.log import event_log
from events_app.presence.outages import observed_for
from sessions_app import channels, payloads
from sessions_app.models import session_log
from sessions_app.models.abstract_edit_session import AbstractEditSession
from sessions_app.models.edit_session import EditSession
from sessions_app.models.item import Item
from sessions_app.models.workstation import Workstation, WorkstationQuerySet

Ids = Collection[uuid.UUID]

_SEEN = Statement(lambda ids: Workstation.objects.filter(pk__any=ids), update={"last_seen": Now()})
# In the order of their ids, as they are locked: see `touch_heartbeat`.
_TOUCH = Statement(
    lambda ids: EditSession.objects.touching(ids, wait=True), update={"last_heartbeat": Now()}
)

_NOT_IDLE = Statement(
    lambda ids: Workstation.objects.filter(pk__any=ids, idle_since__isnull=False),
    update={"idle_since": None},
)


def arrive(workstation_ids: Ids, absent: Ids, ahead: Query) -> None:
    """Keep the sessions of these workstations alive, whose rows the caller has locked: they are here.

    It is the last act of the transaction.

    Args:
        workstation_ids: the workstations.
        absent: those of them that have departed, or are away.
        ahead: a statement of the caller's that is run first, in the same round trip.
    """
    if not absent:
        together(ahead, _SEEN(workstation_ids), _TOUCH(workstation_ids), commits=True)
        return
    together(ahead, _SEEN(workstation_ids))
    # The items before the sessions.
    events = come_back(absent)
    event_log.append(events, [_TOUCH(workstation_ids)])


def leave(
    workstation_ids: Ids, grace: timedelta, ahead: Sequence[Query] = (), *, commits: bool = False
) -> bool:
    """Release the sessions of these workstations, whose rows the caller has locked: they are gone.

    With a grace they are only said to be away; `end_grace` releases them. It also ends what is more than one step.

    Args:
        workstation_ids: the workstations.
        grace: how long they may come back; 0 for not at all.
        ahead: statements of the caller's that are run first, in the same round trip.
        commits: whether nothing of the transaction follows, so that it may be committed.

    Returns:
        Whether there is more than one step, which `end_grace` ends as soon as it is called.

    Raises:
        NeedsLocks: see `with_lock_retry`.
    """
    left = Workstation.objects.filter(pk__any=workstation_ids)
    if ahead and (grace or not workstation_ids):
        together(*ahead)
    if not workstation_ids:
        return False
    if not grace:
        ended = EditSession.objects.release_for_workstation(
            workstation_ids,
            leaving=workstation_ids,
            ahead=[*ahead, _NOT_IDLE(workstation_ids)],
            commits=commits,
        )
        if ended.more:
            left.filter(Exists(_held())).update(away_since=F("departed_at"))
        return ended.more
    with transaction.atomic():
        left.update(away_since=F("departed_at"))
        told = _told_of(EditSession.objects.filter(workstation__in=workstation_ids))
        event_log.append([payloads.away_event(*session) for session in told])
        session_log.away(workstation_ids, [session for session, _ in told], grace)
    return False


def end_grace(grace: timedelta, limit: int, among: Ids | None = None) -> bool:
    """Release the sessions of workstations that departed longer ago than `grace` and have not come back: a step.

    Args:
        grace: how long they had; 0 for those of whose sessions their departure ended the first step only.
        limit: at most so many workstations.
        among: only these.

    Returns:
        Whether there may be more.
    """
    over = graces_over(grace)
    if among is not None:
        over = over.filter(pk__in=among)
    candidates = set(over.values_list("pk", flat=True)[:limit])
    if not candidates:
        return False

    def step(also: Ids) -> None:
        Workstation.objects.lock_ids({*candidates, *also})
        # A workstation that came back has cleared `away_since` under this lock: asked again by a later statement.
        gone = list(over.filter(pk__any=candidates).values_list("pk", flat=True))
        EditSession.objects.release_for_workstation(gone, leaving=gone)
        left = Workstation.objects.filter(~Exists(_held()), pk__any=gone)
        left.update(away_since=None, idle_since=None)

    with_lock_retry(step)
    return True


def graces_over(grace: timedelta) -> WorkstationQuerySet:
    """Return the workstations that `end_grace` is about."""
    return Workstation.objects.away(grace).filter(observed_for(grace))


def _held() -> QuerySet[AbstractEditSession]:
    """Return what a workstation of an outer query holds."""
    return EditSession.objects.filter(workstation=OuterRef("pk"))


def come_back(
    workstation_ids: Ids,
    *,
    active: Ids = (),
    idle: Mapping[uuid.UUID, datetime] | None = None,
    also_lock: Ids = (),
    items_locked: Ids | None = None,
) -> list[event_log.NewEvent]:
    """Forget the departures of these (locked) workstations: what they hold does not end with one of before.

    Locks the items of what is told of, and others that the caller is going to need.

    Args:
        workstation_ids: who is here.
        active: those of them at which somebody is.
        idle: those at which nobody is, which is news, and since when.
        also_lock: further items.
        items_locked: the items, if the caller has locked those of all that these workstations hold.

    Returns:
        The events that tell of it, to be appended at the end of the transaction.
    """
    idle = idle or {}
    here = Workstation.objects.filter(pk__any=workstation_ids)
    changed = Q(pk__any=workstation_ids, away_since__isnull=False) | Q(pk__in=idle)
    changed |= Q(pk__in=active, idle_since__isnull=False)
    ids = list(Workstation.objects.filter(changed).values_list("pk", flat=True))
    told = (
        _told_of(
            EditSession.objects.filter(workstation__in=ids), also_lock, items_locked=items_locked
        )
        if ids or also_lock
        else []
    )
    # Without a grace nobody was told that they are away: what is left of them was about to end.
    events = [
        payloads.back_event(session, to)
        for session, to in told
        if session.workstation_id in workstation_ids
        and session.workstation.away_since
        and settings.EVENTS_DISCONNECT_GRACE
    ]
    here.forget_departure()
    if active and ids:
        events += [
            payloads.active_event(s, to)
            for s, to in told
            if s.workstation_id in active and s.workstation.idle_since
        ]
        Workstation.objects.filter(pk__in=active, idle_since__isnull=False).update(idle_since=None)
    if idle:
        Workstation.objects.become_idle(idle)
        events += _idle_events(told, idle)
    return events


def _idle_events(
    told: Iterable[tuple[AbstractEditSession, set[str]]],
    idle: Mapping[uuid.UUID, datetime],
) -> list[event_log.NewEvent]:
    events = []
    for session, audience in told:
        if since := idle.get(session.workstation_id):
            session.workstation.idle_since = since
            events.append(payloads.idle_event(session, audience))
    return events


def _told_of(
    sessions: QuerySet[AbstractEditSession], also_lock: Ids = (), *, items_locked: Ids | None = None
) -> list[tuple[AbstractEditSession, set[str]]]:
    """Lock the items of sessions of locked workstations; return each session with who is told of it."""
    items = set(sessions.values_list("item_id", flat=True)) | set(also_lock)
    if items_locked is None:
        Item.objects.lock(items)
    else:
        # What was merged into an item that is not locked is not told of.
        items &= set(items_locked)
    audiences = channels.audiences_of(EditSession.objects.holders(items), items)
    named = sessions.select_related("item", "user", "workstation").defer("dependency_cone")
    return [
        (session, audiences[session.item_id])
        for session in named.filter(item_id__in=items).order_by("pk")
    ]
