"""Merging items that are one part: of before two spellings of a part number were one item.

It also runs on a database whose `Item.key` is not unique yet, and perhaps of an older version otherwise: it names every
column that it reads or writes.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence

from django.db.models import QuerySet

from events_app.database.lock_retry import NeedsLocks, with_lock_retry
from events_app.log import event_log
from sessions_app import channels, payloads
from sessions_app.errors import NotFound
from sessions_app.interference import compare, cones
from sessions_app.interference.compare import Compared
from sessions_app.models import (
    EditSession,
    FormerPartNumber,
    HandoffRequest,
    Item,
    PlaceInLine,
    Workstation,
)
from sessions_app.operations.items import audiences

Ids = Collection[uuid.UUID]
_LOCK = ("context_level", "object_id")
# What a meeting is told with.
_NAMED = (
    *_LOCK,
    "fencing_token",
    "item__part_number",
    "user__username",
    "user__first_name",
    "user__last_name",
    "workstation__name",
)


class TwoHolders(Exception):
    """Two hold the same object of items that are to be one; the message names them."""


def merge(keep: uuid.UUID, others: Ids) -> None:
    """Make items one: what is edited, who waits and what is on record of the others is then that of the one kept.

    Args:
        keep: the item that stays, with its part number.
        others: the items that go. Their part numbers still find the one kept.

    Raises:
        NotFound: one of them is not there.
        TwoHolders: two of them have a session on the same object at the same level; it names the holders.
    """

    def operation(also: Ids) -> None:
        waiting = PlaceInLine.objects.filter(item__in=[keep, *others])
        locked = _lock(Workstation.objects.filter(pk__in={*_workstations(waiting), *also}))
        # To be deleted: the whole row.
        rows = Item.objects.filter(pk__in=[keep, *others]).order_by("pk").select_for_update()
        numbers = dict(rows.values_list("pk", "part_number"))
        if missing := {keep, *others} - numbers.keys():
            raise NotFound(f"There is no item {', '.join(sorted(map(str, missing)))}.")
        if came := _workstations(waiting) - locked:
            raise NeedsLocks(came)
        _refuse_two_holders([keep, *others])
        _merge_lines(waiting, keep, [keep, *others])
        homes = dict(EditSession.objects.filter(item__in=others).values_list("pk", "item_id"))
        EditSession.objects.filter(item__in=others).update(item=keep)
        former = FormerPartNumber.objects
        former.filter(item__in=others).update(item=keep)
        former.bulk_create(
            FormerPartNumber(item_id=keep, part_number=numbers[pk], merged_id=pk) for pk in others
        )
        gone = Item.objects.filter(pk__in=others)
        # Nothing points to them any more; Django would look, in every column.
        gone._raw_delete(gone.db)
        audience = audiences([keep])[keep]
        renamed = [
            event_log.NewEvent(
                audience | {channels.item(pk)},
                "item.renamed",
                {
                    "item_id": keep,
                    "part_number": numbers[keep],
                    "old_part_number": numbers[pk],
                },
            )
            for pk in others
        ]
        event_log.append([*renamed, *_retired(waiting, keep, audience), *_met(homes)])

    with_lock_retry(operation)


def _lock(workstations: QuerySet[Workstation]) -> set[uuid.UUID]:
    rows = workstations.order_by("pk").select_for_update(no_key=True)
    return set(rows.values_list("pk", flat=True))


def _workstations(places: QuerySet[PlaceInLine]) -> set[uuid.UUID]:
    return set(places.values_list("workstation_id", flat=True))


def _refuse_two_holders(items: Sequence[uuid.UUID]) -> None:
    held: dict[tuple[str, str], list[str]] = {}
    names = ("item__part_number", "user__username", "workstation__name")
    sessions = EditSession.objects.filter(item__in=items).order_by("fencing_token")
    for level, object_id, part_number, user, workstation in sessions.values_list(*_LOCK, *names):
        held.setdefault((level, object_id), []).append(f"{user} on {workstation} ({part_number!r})")
    twice = [
        f"{' '.join(filter(None, lock))}: {' and '.join(holders)}"
        for lock, holders in held.items()
        if len(holders) > 1
    ]
    if twice:
        raise TwoHolders(
            "Two sessions hold the same object at the same level; release one of them, then merge again.\n"
            + "\n".join(twice)
        )


def _merge_lines(waiting: QuerySet[PlaceInLine], keep: uuid.UUID, items: Ids) -> None:
    """Make the lines one, in the order of their numbers; nobody stands in it twice, or for what he has."""
    holders = EditSession.objects.filter(item__in=items).values_list(*_LOCK, "workstation_id")
    taken = set(holders)
    twice = []
    for pk, *place in waiting.order_by("number").values_list("pk", *_LOCK, "workstation_id"):
        if tuple(place) in taken:
            twice.append(pk)
        taken.add(tuple(place))
    if twice:
        doubles = PlaceInLine.objects.filter(pk__in=twice)
        doubles._raw_delete(doubles.db)
    waiting.update(item=keep)


def _retired(
    waiting: QuerySet[PlaceInLine], keep: uuid.UUID, audience: set[str]
) -> list[event_log.NewEvent]:
    """If the item kept is retired, delete its line and its hand-off requests; return the events of that."""
    item = Item.objects.only("part_number", "retired_at").get(pk=keep)
    if item.retired_at is None:
        return []
    waiting._raw_delete(waiting.db)
    HandoffRequest.objects.filter(session__item=keep).delete()
    return [payloads.retired_event(item, audience)]


def _met(homes: Mapping[uuid.UUID, uuid.UUID]) -> list[event_log.NewEvent]:
    """Return the events, for both sides, of the meetings that begin because these sessions are on another item now.

    Args:
        homes: the former item of each session that was moved.
    """
    if not homes:
        return []

    def met(one: Compared, other: Compared) -> bool:
        return homes.get(one.id) == homes.get(other.id)

    sessions = EditSession.objects.all()
    moved = cones.compared(sessions, homes)
    company = cones.company(sessions, moved, also_among_them=True)
    others = [one for one in company if one.id not in homes]
    meetings = [
        *compare.meetings(moved, company, but_not=met),
        *compare.meetings(others, moved, but_not=met),
    ]
    named = sessions.select_related("item", "user", "workstation").only(*_NAMED)
    loaded = named.in_bulk({one.session_id for one in meetings})
    return [
        payloads.interference_event(loaded[one.session_id], loaded[one.other_id], one.shared)
        for one in meetings
    ]
