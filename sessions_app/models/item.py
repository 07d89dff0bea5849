"""Items: parts, assemblies and documents."""

import uuid
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from events_app.database.round_trip import Query, Statement
from sessions_app.errors import NotFound, Retired
from sessions_app.text import PART_NUMBER_KEY_MAX, name_key

if TYPE_CHECKING:
    AnyCharField = models.CharField[str, str]
else:
    AnyCharField = models.CharField

# Of items that do not exist, in one sentence.
MAX_NAMED = 10


class NameKeyField(AnyCharField):
    """By what a part number is known: computed from it, in whichever way its row is written.

    In the collation "C" the index of its uniqueness also finds how it begins, and equal is what has the same bytes.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        fixed = {"max_length": PART_NUMBER_KEY_MAX, "editable": False, "db_collation": "C"}
        super().__init__(*args, **{**options, **fixed})

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        """Return the key of the part number that is about to be written."""
        key = name_key(model_instance.part_number)  # type: ignore[attr-defined]
        setattr(model_instance, self.attname, key)
        return key


class ItemQuerySet(models.QuerySet["Item"]):
    def named(self, part_number: str) -> "Item":
        """Return the item that has this part number, in whichever spelling, or had it before it was renamed.

        Raises:
            NotFound: there is none.
        """
        return self.all_named([part_number])[part_number]

    def all_named(self, part_numbers: Collection[str]) -> dict[str, "Item"]:
        """Return the items that have, or had, these part numbers; see `named`.

        Raises:
            NotFound: some are not there; it names the first of them.
        """
        found = self.known(part_numbers)
        if missing := set(part_numbers) - found.keys():
            raise no_items(missing)
        return found

    def known(self, part_numbers: Collection[str]) -> dict[str, "Item"]:
        """Return those items that have, or had, one of these part numbers, each by the number that was given."""
        keys = {number: name_key(number) for number in part_numbers}
        items = {item.key: item for item in self.filter(key__in=set(keys.values()))}
        if former := set(keys.values()) - items.keys():
            items |= FormerPartNumber.objects.items(former)
        return {number: items[key] for number, key in keys.items() if key in items}

    def lock(self, ids: Collection[uuid.UUID]) -> list["Item"]:
        """Lock these items, the fourth in the order of locks; return those that exist.

        Until the transaction's end nobody else acquires or ends a session on them.
        """
        return self.filter(pk__in=ids).lock_all()

    def locking_names(self, ids: Collection[uuid.UUID]) -> Query:
        """Return the statement that locks these items as `lock` does; its rows are ids and part numbers."""
        return _LOCK_NAMES(ids)

    def lock_all(self) -> list["Item"]:
        """Lock the items of this query in the order of their ids; return them."""
        return list(self.locking())

    def locking(self) -> Self:
        """Return the query that locks these items, as `lock_all` does."""
        return self.order_by("pk").select_for_update(no_key=True)

    def ids_on_record(self, part_number: str) -> list[uuid.UUID]:
        """Return by which ids the record names the item of a part number: its own, and of those merged into it."""
        item = self.known([part_number]).get(part_number)
        if item is None:
            return []
        merged = item.former_part_numbers.values_list("merged_id", flat=True)
        return [item.pk, *filter(None, merged)]


class Item(models.Model):
    """What can be edited, known by its part number in whichever spelling."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    part_number = models.CharField(max_length=200, unique=True, help_text="As it was first written")
    key = NameKeyField(unique=True)
    description = models.CharField(max_length=1000, blank=True)
    item_type = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    retired_at = models.DateTimeField(
        null=True, editable=False, help_text="Since when nothing new can be edited on it"
    )

    objects = ItemQuerySet.as_manager()

    class Meta:
        ordering = ["part_number"]

    def __str__(self) -> str:
        return self.part_number

    def check_not_retired(self) -> None:
        """See that something new may be begun on it; the caller has locked it.

        Raises:
            Retired: it may not.
        """
        if self.retired_at:
            raise Retired(f"{self} is retired: nothing new is begun on it.")


_LOCK_NAMES = Statement(
    lambda ids: Item.objects.filter(pk__any=ids).locking().values_list("pk", "part_number")
)


class FormerPartNumberQuerySet(models.QuerySet["FormerPartNumber"]):
    def items(self, keys: Collection[str]) -> dict[str, Item]:
        """Return the items that had part numbers with these keys, by key; of several the latest."""
        rows = self.filter(key__in=keys).select_related("item").order_by("pk")
        return {row.key: row.item for row in rows}


class FormerPartNumber(models.Model):
    """A part number that an item had before it was renamed, or that was another item's before that was merged into it.

    It still finds the item, but nothing new is begun by it.
    """

    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="former_part_numbers")
    part_number = models.CharField(max_length=200)
    key = NameKeyField(db_index=True)
    merged_id = models.UUIDField(
        null=True, editable=False, help_text="Of the item that was merged: its record names it"
    )
    since = models.DateTimeField(db_default=Now(), editable=False)

    objects = FormerPartNumberQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.part_number}, now {self.item}"


def of_item(part_number: str) -> Q:
    """Return the condition that a session or a place in line is on the item that has, or had, this part number."""
    key = name_key(part_number)
    return Q(item__key=key) | Q(item__in=FormerPartNumber.objects.filter(key=key).values("item"))


def no_items(part_numbers: Collection[str]) -> NotFound:
    """Return what to say of part numbers that no item has. The first that one had is said to be renamed."""
    former = FormerPartNumber.objects.items({name_key(number) for number in part_numbers})
    for number in sorted(part_numbers):
        if item := former.get(name_key(number)):
            return NotFound(f"{number} was renamed to {item}.", renamed_to=item.part_number)
    return NotFound(f"There is no item {', '.join(sorted(part_numbers)[:MAX_NAMED])}.")
