"""The record of ended sessions. Append-only: the database refuses to change or delete a row."""

import uuid
from datetime import datetime
from typing import Final, NamedTuple

from django.db import models
from django.db.models.functions import Now

from sessions_app.models.item import Item
from sessions_app.text import NOTE_MAX, REASON_MAX, name_by


class EndReason(models.TextChoices):
    """How a session ended."""

    RELEASED = "released"
    DISCONNECTED = "disconnected"
    EXPIRED = "expired"
    FORCE_RELEASED = "force_released"
    HANDED_OFF = "handed_off"
    IDLE = "idle"
    WORKSTATION_DELETED = "workstation_deleted"


class Ending(NamedTuple):
    """A locked session that is about to end: what its record and its events need, and no more.

    A row of this kind costs a tenth of the model instances of a session, its item, its user and its workstation.
    """

    pk: uuid.UUID
    item_id: uuid.UUID
    user_id: int
    workstation_id: uuid.UUID
    context_level: str
    object_id: str
    node_keys: int
    note: str
    fencing_token: int
    acquired_at: datetime
    last_heartbeat: datetime
    ended_at: datetime
    # Of its item, its user and its workstation.
    part_number: str
    first_name: str
    last_name: str
    username: str
    workstation_name: str


# The members that the row of a session gives, and the database's clock.
LOCKED_TO_END: Final = Ending._fields[: Ending._fields.index("part_number")]


class Record(NamedTuple):
    """The record of a session that has just ended: the columns of `EndedSession`, but for the id."""

    session_id: uuid.UUID
    item_id: uuid.UUID
    part_number: str
    user_id: int
    username: str
    user_name: str
    workstation_id: uuid.UUID
    workstation_name: str
    context_level: str
    object_id: str
    fencing_token: int
    acquired_at: datetime
    last_heartbeat: datetime
    released_at: datetime
    reason: str
    ended_by: str
    note: str
    session_note: str

    @classmethod
    def of(cls, session: Ending, reason: EndReason, ended_by: str, note: str) -> "Record":
        """Return the record of a session, which is not written yet."""
        return cls(
            session.pk,
            session.item_id,
            session.part_number,
            session.user_id,
            session.username,
            name_by(session.first_name, session.last_name, session.username),
            session.workstation_id,
            session.workstation_name,
            session.context_level,
            session.object_id,
            session.fencing_token,
            session.acquired_at,
            session.last_heartbeat,
            session.ended_at,
            reason.value,
            ended_by,
            note,
            session.note,
        )


class EndedSessionQuerySet(models.QuerySet["EndedSession"]):
    def before(self, pk: int | None) -> "EndedSessionQuerySet":
        """Return the records before that one, the latest first; all for None."""
        older = self if pk is None else self.filter(pk__lt=pk)
        return older.order_by("-pk")

    def of_item(self, part_number: str) -> "EndedSessionQuerySet":
        """Those of the item that has, or had, this part number, under whichever name it was at their end.

        Of an item that is not there any more, those in which it is called so.
        """
        ids = Item.objects.ids_on_record(part_number)
        return self.filter(item_id__in=ids) if ids else self.filter(part_number=part_number)


class EndedSession(models.Model):
    """Who held what, from when to when, and how it ended.

    Plain values without foreign keys: the record outlives what it names.
    """

    id = models.BigAutoField(primary_key=True)
    session_id = models.UUIDField(unique=True, default=uuid.uuid4)
    item_id = models.UUIDField()
    part_number = models.CharField(max_length=200)
    user_id = models.BigIntegerField()
    username = models.CharField(max_length=150)
    user_name = models.CharField(
        "name", max_length=301, blank=True, db_default="", help_text="The full name at the end"
    )
    workstation_id = models.UUIDField()
    workstation_name = models.CharField(max_length=200)
    context_level = models.CharField(max_length=20)
    object_id = models.CharField(max_length=500, blank=True)
    fencing_token = models.BigIntegerField()
    acquired_at = models.DateTimeField()
    last_heartbeat = models.DateTimeField()
    released_at = models.DateTimeField(db_default=Now())
    reason = models.CharField(max_length=30, choices=EndReason)
    ended_by = models.CharField(max_length=150, blank=True, help_text="Who ended it by force")
    note = models.CharField(
        max_length=REASON_MAX, blank=True, help_text="Why it was ended by force"
    )
    session_note = models.CharField(
        max_length=NOTE_MAX, blank=True, db_default="", help_text="Its holder's words"
    )

    objects = EndedSessionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        # A page of the history of one of these is read from its index, however deep.
        indexes = [
            models.Index(fields=["part_number", "id"], name="ended_session_of_item"),
            models.Index(fields=["item_id", "id"], name="ended_session_of_item_id"),
            models.Index(fields=["username", "id"], name="ended_session_of_user"),
            models.Index(fields=["workstation_id", "id"], name="ended_session_of_workstation"),
            models.Index(fields=["reason", "id"], name="ended_session_by_reason"),
            models.Index(fields=["released_at"], name="ended_session_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.part_number} {self.reason}"
