"""Changes of items: each in one transaction, which ends with the event that tells of it."""

import uuid
from collections.abc import Collection, Iterable

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from events_app.database.lock_retry import NeedsLocks, with_lock_retry
from events_app.log import event_log
from sessions_app import channels, payloads
from sessions_app.errors import AlreadyExists
from sessions_app.models import EditSession, HandoffRequest, PlaceInLine, Workstation
from sessions_app.models.item import FormerPartNumber, Item, no_items
from sessions_app.text import name_key


def create(part_number: str, description: str = "", item_type: str = "") -> Item:
    """Make an item known.

    Raises:
        AlreadyExists: an item has this part number, in whichever spelling, or had it before it was renamed.
    """
    with transaction.atomic():
        item = Item(part_number=part_number, description=description, item_type=item_type)
        try:
            with transaction.atomic():
                item.save(force_insert=True)
        except IntegrityError:
            raise AlreadyExists(taken([part_number])[part_number]) from None
        # Asked after the row is there: a number that a rename frees meanwhile is seen now.
        if why := taken([part_number], former_only=True):
            raise AlreadyExists(why[part_number])
    return item


def rename(part_number: str, new: str) -> Item:
    """Give an item another part number, or another spelling of its own. Sessions, line and record stay.

    The former number still finds it, but nothing new is begun by it, and it is no other item's.

    Args:
        part_number: what it is called now, in whichever spelling.
        new: what it is to be called.

    Raises:
        NotFound: there is no such item, or it was renamed.
        AlreadyExists: the new number is, or was, another item's.
    """
    key = name_key(part_number)
    with transaction.atomic():
        item = next(iter(Item.objects.filter(key=key).lock_all()), None)
        if item is None:
            raise no_items([part_number])
        old = item.part_number
        if new == old:
            return item
        item.part_number = new
        try:
            with transaction.atomic():
                item.save(update_fields=["part_number", "key"])
        except IntegrityError:
            raise AlreadyExists(taken([new], but=item)[new]) from None
        # Asked after the row is written, as in `create`.
        if why := taken([new], former_only=True, but=item):
            raise AlreadyExists(why[new])
        if item.key != key:
            former = item.former_part_numbers.filter(merged_id=None)
            former.filter(key__in=[key, item.key]).delete()
            FormerPartNumber.objects.create(item=item, part_number=old)
        [audience] = audiences([item.pk]).values()
        event_log.append([payloads.renamed_event(item, old, audience)])
    return item


def retire(ids: Collection[uuid.UUID]) -> list[Item]:
    """Have nothing new begun on these items: no session, no hand-off, no place in line; those in line leave it.

    What is edited goes on until it is released.

    Returns:
        Those that were not retired already.
    """

    def operation(also: Collection[uuid.UUID]) -> list[Item]:
        line = PlaceInLine.objects.filter(item__in=ids)
        waiting = {*line.values_list("workstation_id", flat=True), *also}
        locked = {workstation.pk for workstation in Workstation.objects.lock(waiting)}
        items = Item.objects.filter(pk__in=ids, retired_at=None).lock_all()
        retired = [item.pk for item in items]
        line = PlaceInLine.objects.filter(item__in=retired)
        # Until the items were locked, others could come.
        if came := set(line.values_list("workstation_id", flat=True)) - locked:
            raise NeedsLocks(came)
        told_of = audiences(retired)
        line.delete()
        HandoffRequest.objects.filter(session__item__in=retired).delete()
        Item.objects.filter(pk__in=retired).update(retired_at=Now())
        items = list(Item.objects.filter(pk__in=retired).order_by("pk"))
        event_log.append([payloads.retired_event(item, told_of[item.pk]) for item in items])
        return items

    return with_lock_retry(operation)


def restore(ids: Collection[uuid.UUID]) -> list[Item]:
    """Have these items be edited again; return those that were retired."""
    with transaction.atomic():
        items = Item.objects.filter(pk__in=ids, retired_at__isnull=False).lock_all()
        told_of = audiences([item.pk for item in items])
        Item.objects.filter(pk__in=list(told_of)).update(retired_at=None)
        event_log.append([payloads.restored_event(item, told_of[item.pk]) for item in items])
    for item in items:
        item.retired_at = None
    return items


def audiences(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, set[str]]:
    """Return who is told of these (locked) items: their watchers, who holds sessions, and who stands in line."""
    ids = list(ids)
    found = channels.audiences_of({}, ids)
    sessions = EditSession.objects.filter(item__in=ids).values_list("item_id", "workstation_id")
    for item_id, workstation_id in sessions:
        found[item_id].add(channels.workstation(workstation_id))
    line = PlaceInLine.objects.filter(item__in=ids).values_list("item_id", "workstation_id")
    for item_id, workstation_id in line:
        found[item_id].add(channels.workstation(workstation_id))
    return found


def taken(
    part_numbers: Collection[str], *, former_only: bool = False, but: Item | None = None
) -> dict[str, str]:
    """Return of part numbers that are some item's why they cannot be another's, in a sentence.

    Args:
        part_numbers: the numbers.
        former_only: only those that an item had before it was renamed.
        but: an item whose they may be.
    """
    keys = {number: name_key(number) for number in part_numbers}
    own: dict[str, Item] = {}
    if not former_only:
        items = Item.objects.exclude(pk=but.pk) if but else Item.objects.all()
        own = {item.key: item for item in items.filter(key__in=set(keys.values()))}
    # Asked after the items: what a rename makes a former number meanwhile is found here or there.
    former = FormerPartNumber.objects.exclude(item=but) if but else FormerPartNumber.objects.all()
    renamed = former.items(set(keys.values()))
    why = {number: _is_there(own[key]) for number, key in keys.items() if key in own}
    return why | {
        number: f"{number} is a former number of {renamed[key]}."
        for number, key in keys.items()
        if key in renamed
    }


def _is_there(item: Item) -> str:
    retired = ", which is retired" if item.retired_at else ""
    return f"There is the item {item}{retired}."
