"""Presence in the database: which streams are open, and which server process serves them.

Every function is one transaction over a set whose size the caller bounds, called from a thread of `writer` or
`heartbeats`. The locks it takes, and why no interleaving breaks it: docs/presence.md.
"""

import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.contrib.postgres.expressions import ArraySubquery
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from events_app.database import sql
from events_app.database.lock_retry import with_lock_retry
from events_app.database.round_trip import Query, Row, Statement, rows_of, together
from events_app.log import event_log
from events_app.log.event_log import LogState
from events_app.models import Connection
from events_app.presence.backend import Key, StreamGrant, backend
from events_app.presence.server_processes import NotRegistered, ProcessIdentity, insert
from events_app.presence.stream_interface import OpenStream

# The streams of keys: the key, the stream, and when it acknowledged the last heartbeat.
STREAMS: Final = Statement(
    lambda keys: Connection.objects.filter(key__any=keys).values_list("key", "pk", "acked_at")
)
Stream = tuple[Key, uuid.UUID, datetime | None]
_LOCKED: Final = Statement(
    lambda ids: (
        Connection.objects.filter(pk__any=ids)
        .order_by("pk")
        .select_for_update()
        .values_list("pk", "key", "opened_at")
    )
)
_DELETE: Final = Statement(lambda ids: Connection.objects.filter(pk__any=ids), delete=True)
_OPENED: Final = Statement(
    lambda keys: Connection.objects.filter(key__any=keys).values_list("key", "opened_at")
)
_ACKNOWLEDGE: Final = Statement(
    lambda ids: Connection.objects.filter(
        pk__any=ArraySubquery(
            Connection.objects.filter(pk__any=ids).order_by("pk").select_for_update().values("pk")
        )
    ),
    update={"acked_at": Now()},
)

# The connections of a process whose clients have acknowledged the last heartbeat, locked.
_ANSWERED: Final = Statement(
    lambda ids, processes: (
        Connection.objects.filter(pk__any=ids, process__any=processes, acked_at__isnull=False)
        .order_by("pk")
        .select_for_update()
        .values_list("pk")
    )
)
_ASK: Final = Statement(
    lambda ids: Connection.objects.filter(pk__any=ids),
    update={"heartbeat_at": Now(), "acked_at": None},
)


@dataclass(frozen=True)
class Arrival:
    """A stream with a presence key was opened."""

    connection_id: uuid.UUID
    key: Key
    ack: bool = False
    machine: str = ""
    opened: float = field(default_factory=time.monotonic)
    # Who has to own the key; None if anybody may.
    user_id: int | None = None
    address: str = ""

    @classmethod
    def of(cls, stream: OpenStream, key: Key) -> "Arrival":
        """Return the arrival of a stream with this key."""
        grant = stream.grant
        return cls(
            stream.connection_id,
            key,
            grant.ack,
            grant.machine,
            stream.opened,
            grant.user_id,
            stream.address,
        )

    @property
    def age(self) -> float:
        """How many seconds ago it was opened. A process that registers again does not make its streams younger."""
        return time.monotonic() - self.opened


@dataclass(frozen=True)
class Departure:
    """A stream with a presence key ended: by the client's doing or death, or closed by this server."""

    connection_id: uuid.UUID
    key: Key
    by_client: bool


@dataclass(frozen=True)
class Arrived:
    """The result of recording streams that were opened.

    Args:
        known: the keys that exist. Of the others nothing was recorded.
        displaced: the streams, by connection, whose key belongs to another machine. They were not recorded.
        foreign: those whose key belongs to another user. They were not recorded.
    """

    known: Collection[Key] = ()
    displaced: Collection[uuid.UUID] = ()
    foreign: Collection[uuid.UUID] = ()

    def has(self, arrival: Arrival) -> bool:
        """Whether this stream was recorded."""
        return (
            arrival.key in self.known
            and arrival.connection_id not in self.displaced
            and arrival.connection_id not in self.foreign
        )


@dataclass(frozen=True)
class Snapshot:
    """The contents of `stream-open` for new streams, all of one moment.

    Args:
        log: where the event log is.
        held: the sessions of each key, for as many keys as were read together.
    """

    log: LogState
    held: Mapping[Key, Any]


def arrive(process: ProcessIdentity, arrivals: Collection[Arrival]) -> Arrived:
    """Record streams that were opened.

    Raises:
        NotRegistered: and nothing was written.
    """
    with transaction.atomic():
        locked, held = together(
            backend().locking(_keys(arrivals)), sql.holding_server_process(process.id)
        )
        if not held:
            raise NotRegistered
        return _insert(process, arrivals, locked)


def register(process: ProcessIdentity, open_streams: Collection[Arrival] = ()) -> Arrived:
    """Insert this process, and with it some of its open streams, as arrivals."""
    with transaction.atomic():
        locked = rows_of(backend().locking(_keys(open_streams)))
        insert(process)
        return _insert(process, open_streams, locked)


def depart(process: ProcessIdentity, departures: Collection[Departure]) -> bool:
    """Record streams that ended.

    A key has departed unless a stream that was opened later than the one that ended is still there: then the
    client has only changed its connection.

    Returns:
        Whether this transaction left something to end; see `PresenceBackend.departed`.

    Raises:
        NotRegistered: and nothing was written.
    """

    def operation(also: Collection[Key]) -> bool:
        keys = _keys(departures)
        ids = [change.connection_id for change in departures]
        locked, held, ended, _, stayed = together(
            backend().locking({*keys, *also}),
            sql.holding_server_process(process.id),
            _LOCKED(ids),
            _DELETE(ids),
            _OPENED(keys),
        )
        if not held:
            raise NotRegistered
        known = {key for key, *_ in locked} & keys
        opened = {pk: (key, at) for pk, key, at in ended}
        by_client = {change.connection_id for change in departures if change.by_client}
        left_at = _latest(opened[pk] for pk in by_client & opened.keys())
        ended_at = _latest(opened.values())
        stayed_at = _latest((key, at) for key, at in stayed if key in known)
        departed = {
            key
            for key, at in left_at.items()
            if key in known
            and at == ended_at[key]
            and (key not in stayed_at or stayed_at[key] < at)
        }
        # A stream that this server closes is no departure, whatever was recorded of an earlier one.
        closed = (ended_at.keys() & known) - departed - stayed_at.keys()
        if closed:
            backend().server_stopped(closed)
        gone = departed - stayed_at.keys()
        return bool(departed) and backend().departed(departed, gone, process.id)

    return with_lock_retry(operation)


def snapshot(keys: Collection[Key]) -> Snapshot:
    """Read, in one snapshot, the state of the log and the sessions of as many of the keys as are read together."""
    with sql.one_snapshot():
        if not keys:
            return Snapshot(event_log.state(), {})
        held, state = backend().snapshot(keys, event_log.STATE())
        return Snapshot(event_log.state_of(state), held)


class Touched(NamedTuple):
    """The result of a heartbeat.

    Args:
        asked: the connections whose clients have to acknowledge it: those that did so with the one before.
        withdrawn: the grants that are no longer permitted.
    """

    asked: set[uuid.UUID]
    withdrawn: set[StreamGrant]


def touch(
    process: ProcessIdentity,
    keys: Collection[Key],
    acks: Collection[uuid.UUID],
    grants: Collection[StreamGrant] = (),
) -> Touched:
    """Write a heartbeat of this process.

    Args:
        process: this process.
        keys: the keys whose sessions it refreshes.
        acks: the connections whose clients acknowledge it.
        grants: those of the streams that have it.

    Raises:
        NotRegistered: this process was taken for dead, and has to register first.
    """
    with transaction.atomic():
        reading = [_ANSWERED(acks, [process.id])] if acks else []
        # Heartbeats lost in a crash cost nothing: the next one repeats them.
        held, _, *answered = together(
            sql.holding_server_process(process.id), sql.COMMIT_ASYNCHRONOUSLY, *reading
        )
        if not held:
            raise NotRegistered
        asked = {pk for rows in answered for (pk,) in rows}
        asking = [_ASK(asked)] if asked else []
        withdrawn = backend().withdrawn(grants, [*asking, backend().touching(keys)])
    return Touched(asked, withdrawn)


def connected_elsewhere(key: Key, machine: str, server_dead: timedelta) -> tuple[bool, bool]:
    """Return whether another machine has a stream of the (locked) key: on a live process, and on any process.

    Streams whose clients name no machine count as this machine's.
    """
    others = Connection.objects.filter(key=key).exclude(machine__in=["", machine])
    beating = Q(process__last_beat__gte=Now() - server_dead)
    return others.filter(beating).exists(), others.exists()


def silent(connection_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of the connections whose clients have not acknowledged the heartbeat they were asked for."""
    connections = Connection.objects.filter(pk__in=connection_ids, acked_at__isnull=True)
    return set(connections.values_list("pk", flat=True))


def acknowledging(
    streams: Iterable[Stream], claims: Collection[tuple[Key, uuid.UUID | None]]
) -> Query | None:
    """Return what records acknowledgements, in the caller's transaction, which holds the locks of the keys.

    Args:
        streams: those that the keys have.
        claims: the keys, each with the stream whose heartbeat is acknowledged; None for every one of the key.

    Returns:
        The statement; None where there is nothing to record.
    """
    # Acknowledged connections are left alone: a heartbeat that was written since is not acknowledged by this.
    waited_for = [
        pk
        for key, pk, acked_at in streams
        if acked_at is None and ((key, pk) in claims or (key, None) in claims)
    ]
    return _ACKNOWLEDGE(waited_for) if waited_for else None


def _insert(
    process: ProcessIdentity, arrivals: Collection[Arrival], locked: Iterable[Row]
) -> Arrived:
    """Insert the streams of the locked keys that belong to the same user and machine; notify the backend.

    That is the last act of the transaction.
    """
    rows = [*locked]
    owners = {key: user_id for key, user_id, *_ in rows}
    machines = {key: machine for key, _, machine, _ in rows}
    absent = {key for key, *_, is_absent in rows if is_absent}
    foreign = {
        one.connection_id
        for one in arrivals
        if one.user_id is not None and owners.get(one.key, one.user_id) != one.user_id
    }
    own = [one for one in arrivals if one.key in owners and one.connection_id not in foreign]
    claims = {(one.key, one.machine) for one in own if one.machine}
    taken = backend().displaced(claims, machines) if claims else set()
    displaced = {one.connection_id for one in own if (one.key, one.machine) in taken}
    recorded = [one for one in own if one.connection_id not in displaced]
    if recorded:
        # A row that exists belongs to the former id of this process, or to a set whose commit was not acknowledged, or
        # was dated by a clock that went back.
        inserting = sql.inserting_connections(
            process.id,
            [
                (one.connection_id, one.key, one.age, one.ack, one.machine, one.address)
                for one in recorded
            ],
        )
        keys = _keys(recorded)
        backend().arrived(keys, absent & keys, inserting)
    return Arrived(owners.keys(), displaced, foreign)


def _keys(changes: Iterable[Arrival | Departure]) -> set[Key]:
    return {change.key for change in changes}


def _latest(opened: Iterable[tuple[Key, datetime]]) -> dict[Key, datetime]:
    """Return the latest time of each key."""
    latest: dict[Key, datetime] = {}
    for key, at in opened:
        latest[key] = max(at, latest.get(key, at))
    return latest
