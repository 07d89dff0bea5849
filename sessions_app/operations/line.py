"""The line for an edit session that another workstation has: standing in it, leaving it, and what it gives."""

import uuid
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef

from events_app.database.lock_retry import NeedsLocks
from events_app.log import event_log
from sessions_app import channels, payloads
from sessions_app.errors import Forbidden, NotFound
from sessions_app.interference.holdings import Holders
from sessions_app.locks import Lock, rows_about
from sessions_app.models.edit_session import EditSession
from sessions_app.models.handoff_request import HandoffRequest
from sessions_app.models.item import Item
from sessions_app.models.place_in_line import PlaceInLine, PlaceInLineQuerySet
from sessions_app.models.results import Acquired, Standing, Wanted
from sessions_app.models.session_rows import KEPT_IN_LINE
from sessions_app.models.workstation import Workstation
from sessions_app.operations import limits
from sessions_app.operations.access import check_connected
from sessions_app.operations.acquire import carry_out, check_free, come_back
from sessions_app.operations.facts import Acquire, admit, lock_and_read

Ids = Collection[uuid.UUID]


def stand(
    user: User,
    workstation_id: uuid.UUID,
    wanted: Wanted,
    connection_id: uuid.UUID | None = None,
    *,
    only_wait: bool = False,
) -> Acquired | Standing:
    """Stand in line for a session, or acquire it if it is free now.

    Args:
        user: who asks; the workstation must be theirs.
        workstation_id: the workstation. Whoever stands in line hears of its turn, so it needs a live stream.
        wanted: what it wants to edit.
        connection_id: the stream that the client has open; None for any of the workstation's.
        only_wait: refuse where nobody holds it, or the workstation itself does. For callers that are not the program
            which edits: it would hold a session that it does not know of.

    Raises:
        NotFound: no such workstation or item; with `only_wait`, nothing to wait for.
        Forbidden: somebody else's workstation, or a deactivated user.
        NotConnected: without a live stream.
        TooManyPlaces, TooManyNodeKeys, TooManySessions: the user, or the workstation, may not have so many.
    """
    with transaction.atomic():
        request = Acquire(user, workstation_id, [wanted], connection_id)
        facts = lock_and_read([request])
        admitted = admit(request, facts)
        # Who waits has to be reached: a stream of a dead server does not do.
        check_connected(workstation_id, None)
        workstation, item = admitted.workstation, admitted.items[wanted.part_number]
        [lock] = admitted.wanted
        line = PlaceInLine.objects.filter(rows_about([lock]))
        holder = facts.held.get(lock)
        mine = holder and holder.workstation_id == workstation_id
        if mine or not (holder or line.before(workstation).reachable().exists()):
            if only_wait:
                raise NotFound(
                    "Your workstation holds it."
                    if mine
                    else "Nobody holds it any more: open it in your program."
                )
            check_free(admitted, facts)
            return carry_out([admitted], facts)[0][0]
        item.check_not_retired()
        own = line.filter(workstation=workstation)
        has = own.values_list("node_keys", flat=True).first()
        more = limits.growth([(has or 0, len(wanted.dependency_cone))])
        limits.check_places(workstation, int(has is None), more)
        columns = wanted.columns
        kept = {column: columns[column] for column in KEPT_IN_LINE}
        place, created = PlaceInLine.objects.get_or_create(
            item=item,
            workstation=workstation,
            context_level=wanted.context_level,
            object_id=wanted.object_id,
            defaults={**kept, "connection_id": connection_id},
        )
        if not created:
            _renew(place, wanted, connection_id)
        here = come_back([admitted], facts)
        standing = next(one for one in line.with_position() if one.pk == place.pk)
        changed = _changed([lock], [item], facts.holders) if created else ()
        event_log.append([*here, *changed])
        return Standing(standing, existing=not created, holder=holder)


def leave(user: User, places: PlaceInLineQuerySet, *, as_admin: bool) -> PlaceInLine:
    """Leave the line, from whichever client of the user; return the place that was given up.

    Args:
        user: the user who asks.
        places: the place, or none where it is not there.
        as_admin: whether the user may remove the places of others, too.

    Raises:
        NotFound: there is no such place; it was lost, or its turn has come.
        Forbidden: another user has it.
    """
    place = places.with_names().first()
    if place is None:
        raise NotFound("There is no such place in line.")
    if place.workstation.user_id != user.pk and not as_admin:
        raise Forbidden("Another user has this place in line.")
    step_out(place.pk)
    return place


def step_out(place_id: uuid.UUID) -> None:
    """Leave the line, and take back what the workstation has asked of the holder: nobody waits there any more.

    Raises:
        NotFound: if the place is not there any more: it was lost, or its turn has come.
    """
    with transaction.atomic():
        workstations = PlaceInLine.objects.filter(pk=place_id).values_list(
            "workstation_id", flat=True
        )
        Workstation.objects.lock(list(workstations))
        place = PlaceInLine.objects.filter(pk=place_id).defer("dependency_cone").first()
        if place is None:
            raise NotFound("There is no such place in line.")
        # It stays on its item as long as its workstation is locked.
        items = Item.objects.lock([place.item_id])
        PlaceInLine.objects.filter(pk=place_id).delete()
        HandoffRequest.objects.filter(
            workstation=place.workstation_id,
            session__item=place.item_id,
            session__context_level=place.context_level,
            session__object_id=place.object_id,
        ).delete()
        event_log.append([*_changed([Lock.of(place)], items)])


def lose(timeout: timedelta, limit: int, among: Ids | None = None) -> list[PlaceInLine]:
    """Delete the places that are lost by the time-out, or with their user; return them.

    Args:
        timeout: how long a workstation without a stream keeps its places.
        limit: at most so many.
        among: only these.
    """
    lost = PlaceInLine.objects.lost(timeout)
    if among is not None:
        lost = lost.filter(pk__in=among)
    found = dict(lost.values_list("pk", "workstation_id")[:limit])
    if not found:
        return []
    with transaction.atomic():
        Workstation.objects.lock(set(found.values()))
        # A workstation that is back has said so under this lock: asked again by a later statement.
        gone = list(lost.filter(pk__in=found).select_related("item", "workstation__user"))
        items = Item.objects.lock({place.item_id for place in gone})
        PlaceInLine.objects.filter(pk__in=[place.pk for place in gone]).delete()
        event_log.append([*_changed({Lock.of(place) for place in gone}, items)])
    return gone


def of_free_locks() -> PlaceInLineQuerySet:
    """Return the places that wait for a lock that no session holds."""
    holders = EditSession.objects.filter(
        item=OuterRef("item"),
        context_level=OuterRef("context_level"),
        object_id=OuterRef("object_id"),
    )
    return PlaceInLine.objects.filter(~Exists(holders))


def grant_free(places: Ids) -> list[Acquired]:
    """Give what these places wait for to the first in its line, if it is free.

    Where somebody else has one of their workstations locked, they are left to the next call.
    """
    found = {
        Lock.of(place)
        for place in PlaceInLine.objects.filter(pk__in=list(places)).defer("dependency_cone")
    }
    if not found:
        return []

    try:
        return _grant_free(found)
    except NeedsLocks as busy:
        theirs = PlaceInLine.objects.filter(rows_about(found), workstation__in=busy.keys)
        found -= {Lock.of(place) for place in theirs.defer("dependency_cone")}
    with suppress(NeedsLocks):
        return _grant_free(found)
    return []


def _grant_free(locks: Collection[Lock]) -> list[Acquired]:
    items = {lock.item_id for lock in locks}
    with transaction.atomic():
        names = {item.pk: item.part_number for item in Item.objects.lock(items)}
        free = set(locks) - EditSession.objects.held(locks).keys()
        holders = EditSession.objects.holders(items)
        audiences = channels.audiences_of(holders, items)
        turns = PlaceInLine.objects.turns(free)
        granted, met = EditSession.objects.grant(turns, holders)
        events = [*payloads.grant_events(granted, audiences), *met]
        lengths = PlaceInLine.objects.lengths({Lock.of(place) for place in turns})
        event_log.append([*events, *payloads.line_events(lengths, names, audiences)])
    return granted


def _changed(
    locks: Collection[Lock], items: Collection[Item], holders: Holders | None = None
) -> Iterator[event_log.NewEvent]:
    """Yield the events of lines that have changed.

    Args:
        locks: what the lines are for.
        items: their items, locked.
        holders: who holds how much on these, if that is known.
    """
    names = {item.pk: item.part_number for item in items}
    known = EditSession.objects.holders(names) if holders is None else holders
    audiences = channels.audiences_of(known, names)
    return payloads.line_events(PlaceInLine.objects.lengths(locks), names, audiences)


def _renew(place: PlaceInLine, wanted: Wanted, connection_id: uuid.UUID | None) -> None:
    """Give a place the cone and the note that are wanted now, and the stream, where who took it named none."""
    changed: dict[str, Any] = {}
    if wanted.dependency_cone:
        changed["dependency_cone"] = list(wanted.dependency_cone)
    if wanted.note is not None:
        changed["note"] = wanted.note
    if connection_id and place.connection_id is None:
        changed["connection_id"] = connection_id
    if changed:
        PlaceInLine.objects.filter(pk=place.pk).update(**changed)
