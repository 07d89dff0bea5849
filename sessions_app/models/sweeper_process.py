"""The rows of the sweepers: which run, and when each of them last swept."""

import os
import socket
import uuid
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now

# During a sweep that takes long, the row says so often that the sweeper is alive.
SIGN_SECONDS: Final = 10.0
# A killed sweeper leaves its row, which says so until then: so long after its last sign another one deletes it.
FORGOTTEN_AFTER: Final = timedelta(hours=1)
# A sweeper is silent when it has given no sign for so many of its pauses, and for so long beside them.
SILENT_PAUSES: Final = 3
SILENT_SECONDS: Final = 30.0


class SweeperProcess(models.Model):
    """One running `manage.py runsweeper`, or the last that ran with `--once`, and its last sweep.

    All times are the database's. A sweep that has begun and not ended has `sweep_ended` of the one before.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    hostname = models.TextField()
    pid = models.IntegerField()
    version = models.TextField(help_text="The version of Silo Sessions that it runs")
    every_seconds = models.FloatField(
        null=True, help_text="Its pause between two sweeps; empty for runsweeper --once"
    )
    started_at = models.DateTimeField(db_default=Now())
    last_sign = models.DateTimeField(
        db_default=Now(), help_text="When it last showed that it is alive"
    )
    sweep_began = models.DateTimeField(null=True, help_text="When its last sweep began")
    sweep_ended = models.DateTimeField(
        null=True, help_text="When a sweep of it last ended; empty until one has"
    )
    released = models.IntegerField(
        default=0, help_text="How many sessions the last sweep that ended has released"
    )

    class Meta:
        verbose_name_plural = "sweeper processes"

    def __str__(self) -> str:
        return f"{self.hostname}:{self.pid}"

    @property
    def silent_after(self) -> float:
        """After how many seconds without a sign this sweeper is silent; endless for one with `--once`."""
        if self.every_seconds is None:
            return float("inf")
        return SILENT_PAUSES * self.every_seconds + SILENT_SECONDS


class SweeperSigns:
    """What this process writes of itself as a sweeper: one small statement each, in a transaction of its own.

    Args:
        every_seconds: its pause between two sweeps; None for one sweep only.
    """

    def __init__(self, every_seconds: float | None) -> None:
        self._id = uuid.uuid4()
        self._every_seconds = every_seconds
        self._registered = False

    def begin(self) -> None:
        """Write that a sweep begins; insert the row where it is not there, or no more."""
        if not self._write(sweep_began=Now()):
            SweeperProcess.objects.create(
                id=self._id,
                hostname=socket.gethostname(),
                pid=os.getpid(),
                version=settings.SESSIONS_VERSION,
                every_seconds=self._every_seconds,
                sweep_began=Now(),
            )
        self._registered = True

    def go_on(self) -> None:
        """Write that the sweep goes on."""
        self._write()

    def end(self, released: int) -> None:
        """Write that the sweep has ended, and delete the rows of sweepers that are gone.

        Args:
            released: how many sessions it has released.
        """
        self._write(sweep_ended=Now(), released=released)
        gone = models.Q(last_sign__lt=Now() - FORGOTTEN_AFTER, every_seconds__isnull=False)
        if self._every_seconds is None:
            # The last of them stays: it is the trace of sweeps that a timer starts.
            gone |= models.Q(every_seconds__isnull=True)
        others = SweeperProcess.objects.filter(gone).exclude(pk=self._id)
        with transaction.atomic():
            # Those that another sweeper is deleting are not waited for.
            rows = others.select_for_update(skip_locked=True).values_list("pk", flat=True)
            SweeperProcess.objects.filter(pk__in=list(rows)).delete()

    def stop(self) -> None:
        """Delete the row: this sweeper has stopped in order."""
        if self._registered:
            SweeperProcess.objects.filter(pk=self._id).delete()

    def _write(self, **values: object) -> int:
        own = SweeperProcess.objects.filter(pk=self._id)
        return own.update(last_sign=Now(), **values)
