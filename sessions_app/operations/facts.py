"""What acquires are decided by: the rows that they lock, and what is true as long as these are locked.

Two round trips for all requests of a set, whatever their number. What is rare, such as a session that is held already,
is read by a further statement where there is any.
"""

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from django.contrib.auth.models import User

from events_app.database import sql
from events_app.database.round_trip import Rows, Statement, rows_of, together
from sessions_app.errors import Invalid
from sessions_app.interference.holdings import Holders
from sessions_app.locks import Lock, about
from sessions_app.models.abstract_edit_session import FENCING_TOKENS, AbstractEditSession
from sessions_app.models.edit_session import EditSession
from sessions_app.models.edit_session_queryset import holders_of
from sessions_app.models.item import Item, no_items
from sessions_app.models.place_in_line import PlaceInLine
from sessions_app.models.results import Wanted
from sessions_app.models.session_rows import Drawn
from sessions_app.models.workstation import Workstation
from sessions_app.operations import access, limits
from sessions_app.operations.limits import Counted
from sessions_app.text import name_key

# Each goes by one index of one table, so its plan is right for any size: see `events_app/database/pipeline.py`.
_ITEMS: Final = Rows(Item, "id", "part_number", "key", "retired_at")
_ITEM_IDS: Final = Statement(lambda keys: Item.objects.filter(key__any=keys).values_list("pk"))
_ITEMS_OF: Final = Statement(
    lambda workstations: EditSession.objects.filter(workstation__any=workstations).values_list(
        "item_id"
    )
)
_LOCK_ITEMS: Final = Statement(
    lambda ids: Item.objects.filter(pk__any=ids).locking().values_list(*_ITEMS.columns)
)
_HELD: Final = Statement(
    lambda items, levels, objects: EditSession.objects.filter(
        about(items, levels, objects)
    ).values_list(*Lock._fields)
)
_OWN_PLACES: Final = Statement(
    lambda items, levels, objects, workstations: PlaceInLine.objects.filter(
        about(items, levels, objects), workstation__any=workstations
    ).values_list("pk", "workstation_id", *Lock._fields)
)


@dataclass(frozen=True)
class Acquire:
    """A request for sessions: all of them or none.

    Args:
        user: who asks; the workstation must be theirs.
        workstation_id: the workstation.
        wanted: what it wants to edit.
        connection_id: the stream that the client has open. If it has ended, the client has too.
    """

    user: User
    workstation_id: uuid.UUID
    wanted: Sequence[Wanted]
    connection_id: uuid.UUID | None = None

    @cached_property
    def keys(self) -> dict[str, str]:
        """By what each part number, as it was given, is known."""
        return {number: name_key(number) for number in {want.part_number for want in self.wanted}}

    def check_once_each(self) -> None:
        """Check that nothing is wanted twice.

        Raises:
            Invalid: something is.
        """
        seen: dict[tuple[str, str, str], str] = {}
        for want in self.wanted:
            lock = (self.keys[want.part_number], want.context_level, want.object_id)
            first = seen.get(lock)
            if first is None:
                seen[lock] = want.part_number
                continue
            named = " ".join(filter(None, (want.part_number, want.context_level, want.object_id)))
            other = "" if first == want.part_number else f", the first time as {first}"
            raise Invalid(f"{named} is asked for twice{other}.")


@dataclass(frozen=True)
class Facts:
    """What is true, under the locks of workstations and of items, until the transaction's end.

    Args:
        workstations: by id.
        active: the users who are.
        connected: the connections that were named and are there, each with its workstation.
        items: by key; those of the sessions of workstations that were away or idle too.
        held: the sessions among those wanted, with their names.
        places: those of the workstations in the lines for wanted locks, by workstation and lock.
        holders: who holds how much on the items.
        counted: how much each workstation and each user holds.
        drawn: fencing tokens, ascending, as many as there are sessions wanted, and the time at which they were drawn.
    """

    workstations: Mapping[uuid.UUID, Workstation]
    active: Collection[int]
    connected: Collection[tuple[uuid.UUID, uuid.UUID]]
    items: Mapping[str, Item]
    held: Mapping[Lock, AbstractEditSession]
    places: Mapping[tuple[uuid.UUID, Lock], uuid.UUID]
    holders: Holders
    counted: Counted
    drawn: Iterator[Drawn]

    @property
    def item_ids(self) -> set[uuid.UUID]:
        """The items that are locked."""
        return {item.pk for item in self.items.values()}

    def held_of(self, admitted: "Admitted") -> dict[Lock, AbstractEditSession]:
        """Return the sessions, of whichever workstation, among those that a request wants."""
        if not self.held:
            return {}
        return {lock: self.held[lock] for lock in admitted.wanted if lock in self.held}

    def company_of(self, admitted: "Admitted") -> Holders:
        """Return who holds how much on those items of a request on which other workstations hold sessions."""
        if not self.holders:
            return {}
        own = admitted.workstation.pk
        on_items = {item.pk: self.holders.get(item.pk, {}) for item in admitted.items.values()}
        return {pk: held for pk, held in on_items.items() if held.keys() - {own}}

    def places_of(self, admitted: Collection["Admitted"]) -> dict[uuid.UUID, Lock]:
        """Return the places of workstations in the lines for what they want, each with the lock that it is for."""
        if not self.places:
            return {}
        wanted = ((one.workstation.pk, lock) for one in admitted for lock in one.wanted)
        return {self.places[place]: place[1] for place in wanted if place in self.places}


@dataclass(frozen=True)
class Admitted:
    """A request whose workstation may ask, with what it asks for.

    Args:
        request: the request.
        workstation: the workstation, locked.
        items: the items, locked, by part number as it was given.
        wanted: what is wanted, by lock, in the order of the request.
    """

    request: Acquire
    workstation: Workstation
    items: Mapping[str, Item]
    wanted: Mapping[Lock, Wanted]

    def free(self, held: Collection[Lock]) -> Mapping[Lock, Wanted]:
        """Return what is wanted and not held, in the order of the request."""
        if not held:
            return self.wanted
        return {lock: want for lock, want in self.wanted.items() if lock not in held}


def lock_and_read(requests: Sequence[Acquire]) -> Facts:
    """Lock the workstations and the items of these requests, and read what they are decided by.

    The statements of a round trip are in the order of locks, and those behind a lock see what was committed before it
    was got. The items of the sessions of a workstation that was away or idle are locked too: its return is told of.

    Args:
        requests: no two for one workstation.
    """
    ids = [request.workstation_id for request in requests]
    users = {request.user.pk for request in requests}
    named = [request for request in requests if request.connection_id]
    wanted = [want for request in requests for want in request.wanted]
    rows, active, counted, found, *connected = together(
        access.LOCK(ids),
        # Asked after the lock: a deactivation releases under the same lock, before or after this.
        access.ACTIVE(users),
        limits.counting(users),
        _ITEM_IDS({key for request in requests for key in request.keys.values()}),
        *([access.CONNECTED([one.connection_id for one in named], ids)] if named else []),
    )
    workstations = {one.pk: one for one in access.WORKSTATIONS.instances(rows)}
    item_ids = {pk for (pk,) in found}
    back = [
        one.pk
        for one in workstations.values()
        if (one.departed_at or one.idle_since) and one.user_id in users
    ]
    also = {pk for (pk,) in rows_of(_ITEMS_OF(back))} if back else set()
    locks = item_ids, {want.context_level for want in wanted}, {want.object_id for want in wanted}
    rows, held, places, holdings, drawn = together(
        _LOCK_ITEMS(item_ids | also),
        _HELD(*locks),
        _OWN_PLACES(*locks, ids),
        EditSession.objects.reading_holdings(item_ids),
        sql.drawing(FENCING_TOKENS, len(wanted)),
    )
    items = {item.key: item for item in _ITEMS.instances(rows)}
    # Rare, as are places in line.
    held_locks = {Lock(*row) for row in held} & _locks_of(requests, items) if held else set()
    return Facts(
        workstations,
        {pk for (pk,) in active},
        {(pk, key) for some in connected for pk, key in some},
        items,
        EditSession.objects.held(held_locks) if held_locks else {},
        {(workstation, Lock(*lock)): pk for pk, workstation, *lock in places},
        holders_of(holdings),
        Counted(counted),
        (Drawn(*row) for row in drawn),
    )


def _locks_of(requests: Sequence[Acquire], items: Mapping[str, Item]) -> set[Lock]:
    """Return the locks that are wanted on items that are there."""
    return {
        Lock(items[key].pk, want.context_level, want.object_id)
        for request in requests
        for want in request.wanted
        if (key := request.keys[want.part_number]) in items
    }


def admit(request: Acquire, facts: Facts) -> Admitted:
    """Check that a workstation may ask, and that there is what it asks for.

    Raises:
        NotFound: no such workstation, or no such items.
        Forbidden: somebody else's workstation, or the user was deactivated meanwhile.
        NotConnected: the connection has ended.
    """
    workstation = access.own(
        request.user, facts.workstations.get(request.workstation_id), facts.active
    )
    if connection := request.connection_id:
        access.check(connected=(connection, request.workstation_id) in facts.connected)
    found = facts.items
    if missing := {number for number, key in request.keys.items() if key not in found}:
        # There are none, or they were renamed before they were locked.
        raise no_items(missing)
    items = {number: found[key] for number, key in request.keys.items()}
    wanted = {
        Lock(items[want.part_number].pk, want.context_level, want.object_id): want
        for want in request.wanted
    }
    return Admitted(request, workstation, items, wanted)
