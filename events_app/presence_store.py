"""Presence in the database: which streams are open, and which server process serves them.

Every function is one transaction over a whole set, whose size the caller bounds, called from a thread of the presence.
The locks it takes and why no interleaving breaks it: docs/architecture.md, "Presence".
"""

import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import DurationField, F, Q, Value
from django.db.models.functions import Now

from events_app import event_log, sql
from events_app.event_log import LogState
from events_app.models import Connection
from events_app.open_stream import OpenStream
from events_app.presence_domain import Key, domain
from events_app.restarting import restarting
from events_app.server_processes import ProcessIdentity, hold, insert


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
    """What new streams begin with, all of one moment.

    Args:
        log: where the event log is.
        held: what the keys hold; of these, as many as were read together.
    """

    log: LogState
    held: Mapping[Key, Any]


def arrive(process: ProcessIdentity, arrivals: Collection[Arrival]) -> Arrived:
    """Record streams that were opened.

    Raises:
        NotRegistered: and nothing was written.
    """
    with transaction.atomic():
        known = domain().lock(_keys(arrivals))
        hold(process)
        return _insert(process, arrivals, known)


def register(process: ProcessIdentity, open_streams: Collection[Arrival] = ()) -> Arrived:
    """Insert this process, and with it some of its open streams, as arrivals."""
    with transaction.atomic():
        known = domain().lock(_keys(open_streams))
        insert(process)
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
        hold(process)
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


def snapshot(keys: Collection[Key]) -> Snapshot:
    """Read where the log is and what the keys hold, at one moment: of as many of the keys as are read together."""
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
        hold(process)
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


def _insert(process: ProcessIdentity, arrivals: Collection[Arrival], known: set[Key]) -> Arrived:
    """Insert the streams of the (locked) keys that exist and are no other machine's; tell the domain of them."""
    claims = {(one.key, one.machine) for one in arrivals if one.key in known and one.machine}
    taken = domain().displaced(claims) if claims else set()
    arrived = Arrived(
        known, {one.connection_id for one in arrivals if (one.key, one.machine) in taken}
    )
    recorded = [arrival for arrival in arrivals if arrived.has(arrival)]
    # What is there already is the process' former self's, or of a set whose commit was not acknowledged, or was dated
    # by a clock that went back.
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
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["process", "opened_at"],
    )
    domain().arrived(_keys(recorded))
    return arrived


def _keys(changes: Iterable[Arrival | Departure]) -> set[Key]:
    return {change.key for change in changes}


def _latest(opened: Iterable[tuple[Key, datetime]]) -> dict[Key, datetime]:
    """Return the latest time of each key."""
    latest: dict[Key, datetime] = {}
    for key, at in opened:
        latest[key] = max(at, latest.get(key, at))
    return latest


def _ask_for_acknowledgement(process: ProcessIdentity) -> set[uuid.UUID]:
    answered = Connection.objects.filter(
        process=process.id, ack=True, acked_at__gte=F("heartbeat_at")
    )
    asked = set(answered.order_by("pk").select_for_update().values_list("pk", flat=True))
    Connection.objects.filter(pk__in=asked).update(heartbeat_at=Now())
    return asked
