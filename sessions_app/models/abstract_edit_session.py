"""The columns of an edit session, without what is done with them.

The QuerySet, the manager and the builders of payloads need the type of a row; the table needs the manager. So the
columns stand below all of these, in an abstract model, and `EditSession` above them only adds the manager.
"""

import uuid
from collections.abc import Sequence

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Func
from django.db.models.functions import Now

from sessions_app.models.item import Item
from sessions_app.models.workstation import Workstation
from sessions_app.text import NOTE_MAX


class ContextLevel(models.TextChoices):
    """How deep the edit goes."""

    SKETCH = "sketch"
    PARTDESIGN = "partdesign"
    ASSEMBLY = "assembly"


# The sequence that gives them.
FENCING_TOKENS = "sessions_app_fencing_token"


class NextFencingToken(Func):
    """Draws the next token. A sequence never goes back, not by a rollback and not by a restart."""

    template = f"nextval('{FENCING_TOKENS}')"
    output_field = models.BigIntegerField()


class AbstractEditSession(models.Model):
    """One edit session as a row: this workstation edits this object of this item at this context level."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    item = models.ForeignKey(Item, on_delete=models.PROTECT, db_index=False)
    workstation = models.ForeignKey(Workstation, on_delete=models.PROTECT)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    # The stream that its client named: of a workstation's windows, which one it belongs to. It may have ended.
    connection_id = models.UUIDField("acquired by connection", null=True, editable=False)
    context_level = models.CharField(max_length=20, choices=ContextLevel)
    object_id = models.CharField(max_length=500, blank=True, default="")
    dependency_cone = ArrayField(models.TextField(), default=list, blank=True)
    # Of the cone; counted by the database.
    node_keys = models.IntegerField(db_default=0, editable=False)
    note = models.CharField(
        max_length=NOTE_MAX, blank=True, default="", db_default="", help_text="Its holder's words"
    )
    fencing_token = models.BigIntegerField(
        db_default=NextFencingToken(), unique=True, editable=False
    )
    acquired_at = models.DateTimeField(db_default=Now(), editable=False)
    last_heartbeat = models.DateTimeField(db_default=Now(), editable=False)

    # Not columns: only rows of the queries that annotate them have these.
    shared: Sequence[str]  # `with_shared`
    connected: bool  # `with_connected`

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.item} {self.context_level} {self.object_id}".strip()
