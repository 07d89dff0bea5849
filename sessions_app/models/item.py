"""Items: parts, assemblies and documents."""

import uuid
from collections.abc import Collection

from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models.functions import Now, Upper

from sessions_app.errors import NotFound


class ItemQuerySet(models.QuerySet["Item"]):
    """The vocabulary of items."""

    def named(self, part_number: str) -> "Item":
        """Return the item with this part number.

        Raises:
            NotFound: there is none.
        """
        item = self.filter(part_number=part_number).first()
        if item is None:
            raise NotFound(f"There is no item {part_number}.")
        return item

    def lock(self, ids: Collection[uuid.UUID]) -> list["Item"]:
        """Lock these items, the fourth in the order of locks; return those that exist.

        Until the transaction's end nobody else acquires or ends a session on them.
        """
        return self.filter(pk__in=ids).lock_all()

    def lock_all(self) -> list["Item"]:
        """Lock the items of this query in the order of their ids; return them."""
        return list(self.order_by("pk").select_for_update(no_key=True))


class Item(models.Model):
    """What can be edited, known by its part number."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    part_number = models.CharField(max_length=200, unique=True)
    description = models.CharField(max_length=1000, blank=True)
    item_type = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = ItemQuerySet.as_manager()

    class Meta:
        ordering = ["part_number"]
        indexes = [
            # How a number begins, in capitals or not: who completes one asks at each key.
            models.Index(
                OpClass(Upper("part_number"), name="text_pattern_ops"),
                name="item_part_number_begins",
            ),
        ]

    def __str__(self) -> str:
        return self.part_number
