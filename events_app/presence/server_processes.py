"""The rows of the server processes: registering, beating, and which of them count."""

import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from events_app.database import sql
from events_app.database.round_trip import Statement, together
from events_app.models import ServerProcess
from events_app.presence import outages

# The most keys of one transaction that writes arrivals or departures, or cleans up. It stays well below the time-out of
# transactions, and those that wait for it do not wait long.
KEYS_AT_ONCE: Final = 1000

_BEATEN: Final = Statement(
    lambda ids: ServerProcess.objects.filter(pk__any=ids, given_up=False).values_list("last_beat")
)


@lru_cache(maxsize=2)
def _beating(behind_seconds: float, unready: str) -> Statement:
    """Return the statement of a beat. Nearly always no request waits, and the server is ready."""
    return Statement(
        lambda ids: ServerProcess.objects.filter(pk__any=ids, given_up=False),
        update={"last_beat": Now(), "behind_seconds": behind_seconds, "unready": unready},
    )


class NotRegistered(Exception):
    """This process has no row, because it has just started, or was taken for dead."""


@dataclass(eq=False)
class ProcessIdentity:
    """The identity of this server process."""

    id: uuid.UUID = field(default_factory=uuid.uuid4)
    hostname: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    port: int | None = None
    version: str = field(default_factory=lambda: settings.EVENTS_VERSION)
    # Why it is not ready, for its beats; "" if it is.
    why_unready: Callable[[], str] = str

    def renew(self) -> None:
        """Take a new id; the rows of the former one are left to the clean-up."""
        self.id = uuid.uuid4()


def hold(process: ProcessIdentity) -> None:
    """Lock this process's row against a clean-up; a beat does not wait for that lock.

    Raises:
        NotRegistered: there is no row, or it was given up.
    """
    if not sql.hold_server_process(process.id):
        raise NotRegistered


def is_registered(process: ProcessIdentity) -> bool:
    """Return whether this process has a row that was not given up."""
    return ServerProcess.objects.filter(pk=process.id, given_up=False).exists()


def insert(process: ProcessIdentity) -> None:
    """Insert the row of this process, inside the caller's transaction; idempotent."""
    row = ServerProcess(
        id=process.id,
        hostname=process.hostname,
        pid=process.pid,
        port=process.port,
        version=process.version,
    )
    ServerProcess.objects.bulk_create([row], ignore_conflicts=True)


def beat(process: ProcessIdentity, server_dead: timedelta, behind_seconds: float = 0.0) -> datetime:
    """Record that this process is alive, and thereby that clients are observed.

    Args:
        process: this process.
        server_dead: after so long without a beat there was an outage.
        behind_seconds: how long the oldest waiting alive request has waited.

    Returns:
        The time of the beat, by the database's clock.

    Raises:
        NotRegistered: if it was taken for dead.
        outages.ClockWentBack: the last beat lies in the future; nothing was written.
    """
    with transaction.atomic():
        # Without its row the process writes nothing else: the transaction is rolled back.
        _, beaten, _, ahead = together(
            _beating(behind_seconds, process.why_unready())([process.id]),
            _BEATEN([process.id]),
            outages.recording(server_dead)(),
            outages.AHEAD(),
        )
        if not beaten:
            raise NotRegistered
        outages.check_clock(ahead)
        at: datetime
        [(at,)] = beaten
        return at


def is_behind(process: ProcessIdentity, server_dead: timedelta, late: float) -> bool:
    """Return whether another live process has alive requests waiting that came so many seconds ago."""
    others = ServerProcess.objects.exclude(pk=process.id).filter(behind_seconds__gt=late)
    return others.filter(last_beat__gte=Now() - server_dead).exists()
