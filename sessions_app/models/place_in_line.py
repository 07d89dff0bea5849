"""Places in line: who waits for an edit session that somebody else has."""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Func
from django.db.models.functions import Now

from sessions_app.managers.line import PlaceInLineManager
from sessions_app.models.item import Item
from sessions_app.models.workstation import Workstation
from sessions_app.text import NOTE_MAX


class NextPlaceNumber(Func):
    """Draws the next number. It is drawn under the item's lock, so numbers are first come, first served."""

    template = "nextval('sessions_app_place_number')"
    output_field = models.BigIntegerField()


class PlaceInLine(models.Model):
    """A workstation waits for a lock. Its row is written only by who holds the workstation's lock."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.BigIntegerField(db_default=NextPlaceNumber(), unique=True, editable=False)
    item = models.ForeignKey(Item, on_delete=models.PROTECT, db_index=False)
    workstation = models.ForeignKey(Workstation, on_delete=models.PROTECT)
    # As in `EditSession`, which gets it in the turn.
    connection_id = models.UUIDField("taken by connection", null=True, editable=False)
    context_level = models.CharField(max_length=20)
    object_id = models.CharField(max_length=500, blank=True, default="")
    dependency_cone = ArrayField(models.TextField(), default=list, blank=True)
    # Of the cone; counted by the database.
    node_keys = models.IntegerField(db_default=0, editable=False)
    note = models.CharField(
        max_length=NOTE_MAX, blank=True, default="", db_default="", help_text="The session's then"
    )
    requested_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = PlaceInLineManager()

    class Meta:
        verbose_name_plural = "places in line"
        constraints = [
            models.UniqueConstraint(
                fields=["item", "context_level", "object_id", "workstation"],
                name="place_in_line_one_each",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.item} {self.context_level} {self.object_id}".strip()
