"""Presence in the database: which streams are open, and which server process serves them.

Every function is one transaction over a whole set, called from a thread of the presence. The locks it takes and
why no interleaving breaks it: docs/architecture.md, "Presence".
"""

import logging
import os
import socket
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import DurationField, F, Q, Value
from django.db.models.functions import Now

from events_app import event_log, observation, sql
from events_app.event_log import LogState
from events_app.models import Connection, ServerProcess
from events_app.open_stream import OpenStream
from events_app.presence_domain import Key, domain
from events_app.restarting import restarting

logger = logging.getLogger(__name__)


class NotRegistered(Exception):
    """This process has no row: it has just started, or was taken for dead."""


@dataclass(frozen=True)
class ProcessIdentity:
    """What tells this server process from every other one."""

    id: uuid.UUID = field(default_factory=uuid.uuid4)
    hostname: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)


@dataclass(frozen=True)
class Arrival:
    """A stream with a presence key was opened."""

    connection_id: uuid.UUID
    key: Key
    ack: bool = False
    machine: str = ""
    opened: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, stream: OpenStream, key: Key) -> "Arrival":
        """Return the arrival of a stream with this key."""
        grant = stream.grant
        return cls(stream.connection_id, key, grant.ack, grant.machine, stream.opened)

    @property
    def age(self) -> timedelta:
        """How long ago it was opened. A process that registers again does not make its streams younger."""
        return timedelta(seconds=time.monotonic() - self.opened)


@dataclass(frozen=True)
class Departure:
    """A stream with a presence key ended: by the client's doing or death, or closed by this server."""

    connection_id: uuid.UUID
    key: Key
    by_client: bool


@dataclass(frozen=True)
class Arrived:
    """What became of streams that were opened.

    Args:
        known: the keys that exist. Of the others nothing was recorded.
        displaced: the streams, by connection, whose key is another machine's. Nothing was recorded of them.
    """

    known: set[Key]
    displaced: set[uuid.UUID]

    def has(self, arrival: Arrival) -> bool:
        """Whether this stream was recorded."""
        return arrival.key in self.known and arrival.connection_id not in self.displaced


@dataclass(frozen=True)
class Snapshot:
    """What new streams begin with, all of one moment."""

    log: LogState
    held: Mapping[Key, Any]


def arrive(process: ProcessIdentity, arrivals: Collection[Arrival]) -> Arrived:
    """Record streams that were opened.

    Raises:
        NotRegistered: and nothing was written.
    """
    with transaction.atomic():
        known = domain().lock(_keys(arrivals))
        _share(process)
        return _insert(process, arrivals, known)


def register(process: ProcessIdentity, open_streams: Collection[Arrival]) -> Arrived:
    """Insert this process with all its open streams, as arrivals."""
    with transaction.atomic():
        known = domain().lock(_keys(open_streams))
        ServerProcess.objects.create(id=process.id, hostname=process.hostname, pid=process.pid)
        return _insert(process, open_streams, known)


def depart(process: ProcessIdentity, departures: Collection[Departure]) -> None:
    """Record streams that ended.

    A key has departed unless a stream that was opened later than the one that ended is still there: then the
    client has only changed its connection.

    Raises:
        NotRegistered: and nothing was written.
    """

    def operation(also: Collection[Key]) -> None:
        known = domain().lock(_keys(departures), also)
        _share(process)
        ended = Connection.objects.filter(pk__in=[change.connection_id for change in departures])
        rows = list(ended.order_by("pk").select_for_update())
        ended.delete()
        by_client = {change.connection_id for change in departures if change.by_client}
        left_at = _latest((row.key, row.opened_at) for row in rows if row.pk in by_client)
        ended_at = _latest((row.key, row.opened_at) for row in rows)
        stayed = Connection.objects.filter(key__in=known)
        stayed_at = _latest(stayed.values_list("key", "opened_at"))
        departed = {
            key
            for key, at in left_at.items()
            if key in known
            and at == ended_at[key]
            and (key not in stayed_at or stayed_at[key] < at)
        }
        if departed:
            domain().departed(departed, departed - stayed_at.keys(), process.id)
        # Whom this server closes has not departed, whatever was noted of an earlier stream.
        closed = (ended_at.keys() & known) - departed - stayed_at.keys()
        if closed:
            domain().server_stopped(closed)

    restarting(operation)


def beat(process: ProcessIdentity, server_dead: timedelta) -> None:
    """Tell that this process is alive, and with it that clients are observed.

    Raises:
        NotRegistered: if it was taken for dead.
    """
    with transaction.atomic():
        if not ServerProcess.objects.filter(pk=process.id).update(last_beat=Now()):
            raise NotRegistered
        observation.note_beat(server_dead)


def unregister(process: ProcessIdentity) -> None:
    """Remove this process and its connections; nobody has departed."""
    _forget(process.id)


def forget_processes() -> None:
    """Remove every process: those that live find out with their next beat and register what they serve."""
    for pk in ServerProcess.objects.order_by("pk").values_list("pk", flat=True):
        _forget(pk)


def snapshot(keys: Collection[Key]) -> Snapshot:
    """Read where the log is and what the keys hold, at one moment."""
    with sql.one_snapshot():
        return Snapshot(log=event_log.state(), held=domain().snapshot(keys) if keys else {})


def touch(process: ProcessIdentity, keys: Collection[Key], *, acks: bool) -> set[uuid.UUID]:
    """The heartbeat of this process.

    Args:
        process: this process.
        keys: what it serves.
        acks: whether any of its clients acknowledges heartbeats.

    Returns:
        The connections whose clients have to acknowledge this heartbeat: those that did so with the one before.

    Raises:
        NotRegistered: nobody counts on what this process serves; it has to register first.
    """
    with transaction.atomic():
        _share(process)
        # Losing the last touches in a crash costs nothing: the next heartbeat repeats them.
        sql.commit_lazily()
        asked = _ask_for_acknowledgement(process) if acks else set()
        domain().touch(keys)
    return asked


def connected_elsewhere(key: Key, machine: str, server_dead: timedelta) -> tuple[bool, bool]:
    """Return whether another machine than this has a stream of the (locked) key: on a process that beats, on any.

    Streams whose clients do not say on which machine they are count as this machine's.
    """
    others = Connection.objects.filter(key=key).exclude(machine__in=["", machine])
    beating = Q(process__last_beat__gte=Now() - Value(server_dead, DurationField()))
    return others.filter(beating).exists(), others.exists()


def silent(connection_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of the connections whose clients have not acknowledged the heartbeat they were asked for."""
    unacknowledged = Q(acked_at__isnull=True) | Q(acked_at__lt=F("heartbeat_at"))
    connections = Connection.objects.filter(unacknowledged, pk__in=connection_ids)
    return set(connections.values_list("pk", flat=True))


def acknowledge(key: Key, connection_id: uuid.UUID | None) -> bool:
    """Note that the client has a heartbeat, inside the caller's transaction, which holds the key's lock.

    Args:
        key: the client's presence key.
        connection_id: the stream it acknowledges; None for every one.

    Returns:
        Whether there is such a stream.
    """
    connections = Connection.objects.filter(key=key)
    if connection_id is not None:
        connections = connections.filter(pk=connection_id)
    in_order = connections.order_by("pk").select_for_update().values("pk")
    return bool(Connection.objects.filter(pk__in=in_order).update(acked_at=Now()))


def clean_up_one(server_dead: timedelta) -> bool:
    """Remove one process that has not beaten for `server_dead`, and tell the domain whom it leaves alone.

    Returns:
        Whether there may be more.
    """
    dead = ServerProcess.objects.filter(
        last_beat__lt=Now() - Value(server_dead, DurationField())
    ).order_by("id")
    candidate = dead.first()
    if candidate is None:
        return False
    connections = Connection.objects.filter(process=candidate)
    keys = set(connections.values_list("key", flat=True))

    def operation(also: Collection[Key]) -> bool:
        if not sql.try_clean_up_lock():
            return False
        domain().lock(keys, also)
        process = dead.select_for_update().filter(pk=candidate.pk).first()
        # It came back, somebody else was first, or it serves one more, whose row is not locked: look again.
        if process is None or set(connections.values_list("key", flat=True)) - keys:
            return True
        _delete_connections(candidate.pk)
        process.delete()
        domain().server_died(keys - _connected(keys), candidate.pk, process.last_beat)
        transaction.on_commit(lambda: _log_removal(process))
        return True

    return restarting(operation)


def _log_removal(process: ServerProcess) -> None:
    logger.warning(
        "removed a dead server process",
        extra={"hostname": process.hostname, "pid": process.pid, "last_beat": process.last_beat},
    )


def _forget(process_id: uuid.UUID) -> None:
    keys = set(Connection.objects.filter(process=process_id).values_list("key", flat=True))
    with transaction.atomic():
        domain().lock(keys)
        ServerProcess.objects.select_for_update().filter(pk=process_id).first()
        _delete_connections(process_id)
        ServerProcess.objects.filter(pk=process_id).delete()
        domain().server_stopped(keys - _connected(keys))


def _share(process: ProcessIdentity) -> None:
    """Hold this process's row against a clean-up; a beat does not wait for it."""
    if not sql.hold_server_process(process.id):
        raise NotRegistered


def _insert(process: ProcessIdentity, arrivals: Collection[Arrival], known: set[Key]) -> Arrived:
    """Insert the streams of the (locked) keys that exist and are no other machine's; tell the domain of them."""
    claims = {(one.key, one.machine) for one in arrivals if one.key in known and one.machine}
    taken = domain().displaced(claims) if claims else set()
    arrived = Arrived(
        known, {one.connection_id for one in arrivals if (one.key, one.machine) in taken}
    )
    recorded = [arrival for arrival in arrivals if arrived.has(arrival)]
    # A set whose commit was not acknowledged is written again: what is there already is left alone.
    Connection.objects.bulk_create(
        (
            Connection(
                id=arrival.connection_id,
                key=arrival.key,
                ack=arrival.ack,
                machine=arrival.machine,
                opened_at=Now() - Value(arrival.age, DurationField()),
                process_id=process.id,
            )
            for arrival in recorded
        ),
        ignore_conflicts=True,
    )
    domain().arrived(_keys(recorded))
    return arrived


def _keys(changes: Iterable[Arrival | Departure]) -> set[Key]:
    return {change.key for change in changes}


def _connected(keys: Collection[Key]) -> set[Key]:
    """Return those of the (locked) keys that have a connection on any process."""
    return set(Connection.objects.filter(key__in=keys).values_list("key", flat=True))


def _latest(opened: Iterable[tuple[Key, datetime]]) -> dict[Key, datetime]:
    """Return the latest time of each key."""
    latest: dict[Key, datetime] = {}
    for key, at in opened:
        latest[key] = max(at, latest.get(key, at))
    return latest


def _delete_connections(process_id: uuid.UUID) -> None:
    connections = Connection.objects.filter(process=process_id)
    list(connections.order_by("pk").select_for_update())
    connections.delete()


def _ask_for_acknowledgement(process: ProcessIdentity) -> set[uuid.UUID]:
    answered = Connection.objects.filter(
        process=process.id, ack=True, acked_at__gte=F("heartbeat_at")
    )
    asked = set(answered.order_by("pk").select_for_update().values_list("pk", flat=True))
    Connection.objects.filter(pk__in=asked).update(heartbeat_at=Now())
    return asked
