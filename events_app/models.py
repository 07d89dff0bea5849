"""The tables of streams: the event log, the server processes, and the connections that they serve."""

import secrets
import uuid
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models.functions import Now


def new_epoch() -> str:
    """Return a name for a log that no other log has."""
    return secrets.token_hex(4)


class EventLog(models.Model):
    """The one row of facts about the log itself.

    Cursors of another epoch cannot be continued, nor those before `trimmed_through`.
    """

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    epoch = models.CharField(max_length=16, default=new_epoch)
    trimmed_through = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(pk=1), name="events_app_one_event_log"),
        ]

    def __str__(self) -> str:
        return self.epoch


class Audience(models.Model):
    """Channels that many events of one transaction have in common, named once. Written with them, and trimmed after."""

    id = models.BigAutoField(primary_key=True)
    channels = ArrayField(models.TextField())

    class Meta:
        indexes = [
            GinIndex(fields=["channels"], fastupdate=False, name="events_app_audience_channels"),
        ]

    def __str__(self) -> str:
        return str(self.pk)


class LogEntry(models.Model):
    """One event. Written only by `events_app.log.event_log.append`, which keeps ids in commit order."""

    id = models.BigAutoField(primary_key=True)
    channels = ArrayField(models.TextField())
    # No foreign key: both are written by one transaction, and an audience is deleted after its last entry.
    audience = models.BigIntegerField(
        null=True, help_text="The `Audience` that gets it besides the channels"
    )
    type = models.TextField()
    data = models.TextField(help_text="JSON, as it goes to the streams")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "log entries"
        indexes = [
            # No pending list: cleaning it would make some append slow, under the log's lock, while every writer waits.
            GinIndex(fields=["channels"], fastupdate=False, name="events_app_log_channels"),
            models.Index(
                fields=["audience"],
                condition=models.Q(audience__isnull=False),
                name="events_app_log_audience",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.type}"


class Observation(models.Model):
    """The single row that records since when clients have been observed.

    `last_beat` is the last beat of any server process, null while there never was one; it outlives the processes.
    `since` is when the last outage ended: a time longer than `server_dead_seconds` in which no process beat.
    """

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    last_beat = models.DateTimeField(null=True)
    since = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(pk=1), name="events_app_one_observation"),
        ]

    def __str__(self) -> str:
        return f"since {self.since}"


class ServerProcess(models.Model):
    """One running `manage.py serve`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    hostname = models.TextField()
    pid = models.IntegerField()
    port = models.IntegerField(null=True, help_text="Where it listens")
    version = models.TextField(default="", db_default="", help_text="What it says it is")
    started_at = models.DateTimeField(db_default=Now())
    last_beat = models.DateTimeField(db_default=Now())
    given_up = models.BooleanField(
        default=False, db_default=False, help_text="Taken for dead; being cleaned up"
    )
    behind_seconds = models.FloatField(
        default=0.0,
        db_default=0.0,
        help_text="For how long, at its last beat, an acknowledgement that had come waited to be written",
    )
    unready = models.TextField(
        default="",
        db_default="",
        help_text="Why it was not ready at its last beat; empty if it was",
    )

    class Meta:
        verbose_name_plural = "server processes"

    def __str__(self) -> str:
        return f"{self.hostname}:{self.pid}"


class Connection(models.Model):
    """One open stream that keeps its presence key alive. Its row is guarded by the lock of the key's row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.UUIDField(db_index=True)
    process = models.ForeignKey(ServerProcess, on_delete=models.DO_NOTHING)
    opened_at = models.DateTimeField(db_default=Now())
    ack = models.BooleanField(default=False, help_text="The client acknowledges heartbeats")
    heartbeat_at = models.DateTimeField(
        db_default=Now(), help_text="The last heartbeat that it has to acknowledge"
    )
    # Only whether it is null counts: two times of a clock that may go back have no reliable order.
    acked_at = models.DateTimeField(
        null=True, help_text="When it acknowledged that heartbeat; empty until it does"
    )
    machine = models.TextField(
        default="", db_default="", help_text="The running machine of its client, if it says so"
    )

    address = models.TextField(
        default="",
        db_default="",
        help_text="Of its client, as the server or a trusted proxy saw it",
    )

    def __str__(self) -> str:
        return str(self.pk)


def is_connected(key: str, **further: Any) -> models.Exists:
    """Return the condition of a query that a stream is open, on any server.

    Args:
        key: the field that is the presence key.
        further: what the connection has to be besides.
    """
    return models.Exists(Connection.objects.filter(key=models.OuterRef(key), **further))
