"""The record of ended sessions. Append-only: the database refuses to change or delete a row."""

import uuid

from django.db import models
from django.db.models.functions import Now


class EndReason(models.TextChoices):
    """How a session ended."""

    RELEASED = "released"
    DISCONNECTED = "disconnected"
    EXPIRED = "expired"
    FORCE_RELEASED = "force_released"
    WORKSTATION_DELETED = "workstation_deleted"


class EndedSession(models.Model):
    """Who held what, from when to when, and how it ended.

    Plain values without foreign keys: the record outlives what it names.
    """

    id = models.BigAutoField(primary_key=True)
    session_id = models.UUIDField(unique=True, default=uuid.uuid4)
    item_id = models.UUIDField(db_index=True)
    part_number = models.CharField(max_length=200)
    user_id = models.BigIntegerField(db_index=True)
    username = models.CharField(max_length=150)
    workstation_id = models.UUIDField(db_index=True)
    workstation_name = models.CharField(max_length=200)
    context_level = models.CharField(max_length=20)
    object_id = models.CharField(max_length=500, blank=True)
    fencing_token = models.BigIntegerField()
    acquired_at = models.DateTimeField()
    last_heartbeat = models.DateTimeField()
    released_at = models.DateTimeField(db_default=Now())
    reason = models.CharField(max_length=30, choices=EndReason)
    ended_by = models.CharField(max_length=150, blank=True, help_text="Who ended it by force")
    note = models.CharField(max_length=2000, blank=True, help_text="Why it was ended by force")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.part_number} {self.reason}"
