"""The line for an edit session that another workstation has: standing in it, leaving it, and what it gives."""

import uuid
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef

from events_app.database.lock_retry import NeedsLocks
from events_app.log import event_log
from sessions_app import channels, payloads
from sessions_app.errors import Forbidden, NotFound
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
        event_log.append(here)
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
        PlaceInLine.objects.filter(pk=place_id).delete()
        HandoffRequest.objects.filter(
            workstation=place.workstation_id,
            session__item=place.item_id,
            session__context_level=place.context_level,
            session__object_id=place.object_id,
        ).delete()


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
        Item.objects.lock(items)
        free = set(locks) - EditSession.objects.held(locks).keys()
        holders = EditSession.objects.holders(items)
        audiences = channels.audiences_of(holders, items)
        granted, met = EditSession.objects.grant(PlaceInLine.objects.turns(free), holders)
        event_log.append([*payloads.grant_events(granted, audiences), *met])
    return granted


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
