"""The rows of the server processes: which of them live, and which have been given up."""

import os
import socket
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import DurationField, Value
from django.db.models.functions import Now

from events_app.database import sql
from events_app.models import ServerProcess
from events_app.presence import outages

# Of how many keys one transaction writes arrivals or departures, or cleans up: it stays well below the time after which
# the database gives it up, and what waits behind it does not wait long.
KEYS_AT_ONCE: Final = 1000


class NotRegistered(Exception):
    """This process has no row: it has just started, or was taken for dead."""


@dataclass(eq=False)
class ProcessIdentity:
    """What tells this server process from every other one."""

    id: uuid.UUID = field(default_factory=uuid.uuid4)
    hostname: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)

    def renew(self) -> None:
        """Become another one: what is left of the former one goes on being cleaned up."""
        self.id = uuid.uuid4()


def hold(process: ProcessIdentity) -> None:
    """Hold this process's row against a clean-up; a beat does not wait for it.

    Raises:
        NotRegistered: it has none, or was given up.
    """
    if not sql.hold_server_process(process.id):
        raise NotRegistered


def is_registered(process: ProcessIdentity) -> bool:
    """Return whether all count on what this process serves."""
    return ServerProcess.objects.filter(pk=process.id, given_up=False).exists()


def insert(process: ProcessIdentity) -> None:
    """Insert the row of this process, inside the caller's transaction; what is there already is left alone."""
    row = ServerProcess(id=process.id, hostname=process.hostname, pid=process.pid)
    ServerProcess.objects.bulk_create([row], ignore_conflicts=True)


def beat(process: ProcessIdentity, server_dead: timedelta, behind_seconds: float = 0.0) -> datetime:
    """Tell that this process is alive, and with it that clients are observed.

    Args:
        process: this process.
        server_dead: after so long without a beat there was an outage.
        behind_seconds: for how long an acknowledgement that has come waits to be written.

    Returns:
        When that was, by the database's clock.

    Raises:
        NotRegistered: if it was taken for dead.
        observation.ClockWentBack: the last beat lies in the future; nothing was written.
    """
    with transaction.atomic():
        own = ServerProcess.objects.filter(pk=process.id, given_up=False)
        if not own.update(last_beat=Now(), behind_seconds=behind_seconds):
            raise NotRegistered
        outages.record_beat(server_dead)
        return own.values_list("last_beat", flat=True).get()


def is_behind(process: ProcessIdentity, server_dead: timedelta, late: float) -> bool:
    """Return whether another process that beats has acknowledgements waiting that came so many seconds ago."""
    others = ServerProcess.objects.exclude(pk=process.id).filter(behind_seconds__gt=late)
    return others.filter(last_beat__gte=Now() - Value(server_dead, DurationField())).exists()
