"""What changes items: each in one transaction, which ends with the event that tells of it."""

from collections.abc import Collection

from django.db import IntegrityError, transaction

from sessions_app.errors import AlreadyExists
from sessions_app.models.item import FormerPartNumber, Item
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
    former = FormerPartNumber.objects.exclude(item=but) if but else FormerPartNumber.objects.all()
    renamed = former.items(set(keys.values()))
    why = {
        number: f"{number} is a former number of {renamed[key]}."
        for number, key in keys.items()
        if key in renamed
    }
    if former_only:
        return why
    items = Item.objects.exclude(pk=but.pk) if but else Item.objects.all()
    own = {item.key: item for item in items.filter(key__in=set(keys.values()))}
    return why | {number: _is_there(own[key]) for number, key in keys.items() if key in own}


def _is_there(item: Item) -> str:
    retired = ", which is retired" if item.retired_at else ""
    return f"There is the item {item}{retired}."
