"""Acquiring edit sessions, one or a batch: all of them or none."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from django.contrib.auth.models import User
from django.db import connection, transaction

from events_app.database.round_trip import Statement, rows_of, together
from events_app.log import event_log
from sessions_app import channels, payloads
from sessions_app.errors import BatchInterference, Invalid
from sessions_app.interference import conflicts
from sessions_app.interference.holdings import Holders
from sessions_app.interference.new_cones import renew_cones, set_cones
from sessions_app.locks import Lock, about, by_lock, lists_about
from sessions_app.models.abstract_edit_session import AbstractEditSession
from sessions_app.models.edit_session import EditSession
from sessions_app.models.edit_session_queryset import holders_of
from sessions_app.models.item import Item, no_items
from sessions_app.models.place_in_line import PlaceInLine
from sessions_app.models.results import Acquired, Wanted
from sessions_app.models.workstation import Workstation
from sessions_app.operations import limits, presence
from sessions_app.operations.access import check_connected, lock_own_workstation
from sessions_app.steps import few_enough
from sessions_app.text import name_key, name_of, person

# Node keys that an answer has of sessions which are held already and get no other cone: as many as a request may have.
ANSWERED_NODE_KEYS: Final = 100_000

_ITEM_COLUMNS: Final = [field.attname for field in Item._meta.concrete_fields]
_LOCK_ITEMS: Final = Statement(
    lambda keys: Item.objects.filter(key__any=keys).locking().values_list(*_ITEM_COLUMNS)
)
_HELD: Final = Statement(
    lambda items, levels, objects: EditSession.objects.filter(
        about(items, levels, objects)
    ).values_list(*Lock._fields)
)
_OWN_PLACES: Final = Statement(
    lambda items, levels, objects, workstations: PlaceInLine.objects.filter(
        about(items, levels, objects), workstation__any=workstations
    ).values_list("pk", *Lock._fields)
)

# The locks that a request asks for, in its order, and the active sessions among them.
LocksWanted = Mapping[Lock, Wanted]
LocksHeld = Mapping[Lock, AbstractEditSession]


def acquire(
    user: User,
    workstation_id: uuid.UUID,
    wanted: Wanted,
    connection_id: uuid.UUID | None = None,
) -> Acquired:
    """Give a workstation the session that it wants, or the one it has; see `acquire_all`.

    Raises:
        HardInterference: another workstation holds it.
        TooManySessions, TooManyNodeKeys: the workstation, or its user, may not hold so many.
    """
    try:
        return acquire_all(user, workstation_id, [wanted], connection_id)[0]
    except BatchInterference as refusal:
        raise refusal.of_one() from None


def acquire_all(
    user: User,
    workstation_id: uuid.UUID,
    wanted: Sequence[Wanted],
    connection_id: uuid.UUID | None = None,
) -> list[Acquired]:
    """Give a workstation all the sessions that it wants, or those it has; or none of them.

    Args:
        user: who asks; the workstation must be theirs.
        workstation_id: the workstation.
        wanted: what it wants to edit.
        connection_id: the stream that the client has open. If it has ended, the client has too.

    Returns:
        The sessions, in the order in which they were wanted.

    Raises:
        Invalid: something is wanted twice.
        NotFound: no such workstation, or no such items.
        Forbidden: somebody else's workstation, or the user was deactivated meanwhile.
        NotConnected: the connection has ended.
        BatchInterference: other workstations hold some of it; it names all of them.
        TooManySessions, TooManyNodeKeys: the workstation, or its user, may not hold so many.
    """
    _check_once_each(wanted)
    with transaction.atomic():
        workstation = lock_own_workstation(user, workstation_id)
        if connection_id:
            check_connected(workstation_id, connection_id)
        items, here = lock_items(workstation, {want.part_number for want in wanted})
        return acquire_locked(workstation, items, wanted, connection_id, here)


def lock_items(
    workstation: Workstation, part_numbers: Collection[str]
) -> tuple[dict[str, Item], list[event_log.NewEvent]]:
    """Lock these items; if the workstation was away or idle, also those of its sessions, whose watchers are notified.

    Returns:
        The items by part number, as it was given, and the events that tell of the workstation.

    Raises:
        NotFound: there are no such items, or they were renamed.
    """
    keys = {number: name_key(number) for number in part_numbers}
    here: list[event_log.NewEvent] = []
    if workstation.departed_at is None and workstation.idle_since is None:
        rows = rows_of(_LOCK_ITEMS(set(keys.values())))
        items = [Item.from_db(connection.alias, _ITEM_COLUMNS, row) for row in rows]
    else:
        found = Item.objects.filter(key__in=set(keys.values()))
        ids = list(found.values_list("pk", flat=True))
        here = presence.come_back([workstation.pk], active=[workstation.pk], also_lock=ids)
        # They could be renamed until they were locked.
        items = list(found.filter(pk__in=ids))
        # The answer shows it as it is now.
        workstation.departed_at = workstation.away_since = workstation.idle_since = None
    by_key = {item.key: item for item in items}
    if missing := {number for number, key in keys.items() if key not in by_key}:
        raise no_items(missing)
    return {number: by_key[key] for number, key in keys.items()}, here


def acquire_locked(
    workstation: Workstation,
    items: Mapping[str, Item],
    wanted: Sequence[Wanted],
    connection_id: uuid.UUID | None,
    here: Sequence[event_log.NewEvent],
) -> list[Acquired]:
    """Do what `acquire_all` does, with everything locked by `lock_items`, as the last act of its transaction.

    Args:
        workstation: the workstation, locked.
        items: the items, locked, by part number as it was given.
        wanted: what the workstation wants to edit.
        connection_id: the stream that the client named, if any.
        here: events of the caller's, which come first.
    """
    by_wanted = {
        Lock(items[want.part_number].pk, want.context_level, want.object_id): want
        for want in wanted
    }
    ids = {item.pk for item in items.values()}
    facts = _read_facts(workstation, by_wanted, ids)
    held = facts.held
    _refuse_retired(items, by_wanted, held)
    _refuse_held_by_others(workstation, by_wanted, held)
    _refuse_too_many(workstation, by_wanted, held)
    if facts.own_places:
        PlaceInLine.objects.filter(pk__in=facts.own_places).delete()
    holders = facts.holders
    audiences = channels.audiences_of(holders, ids)
    shared = {pk: holders[pk] for pk in ids if holders[pk].keys() - {workstation.pk}}
    changed = _renew(held, by_wanted, connection_id, shared)
    new = _begin(workstation, items, by_wanted, held, connection_id)
    ours = by_lock(new, by_wanted) | held
    met = conflicts.find(
        EditSession.objects.all(),
        [one for one in ours.values() if one.item_id in shared],
        {session.pk for session in new},
        holders,
    )
    answers = [
        Acquired(ours[lock], lock in held, met.of.get(ours[lock].pk, [])) for lock in by_wanted
    ]
    own = channels.workstation(workstation.pk)
    acquired = [
        payloads.acquired_event(answer, audiences[answer.session.item_id] | {own})
        for answer in answers
        if not answer.existing
    ]
    event_log.append([*here, *acquired, *changed, *met.events(new)])
    return answers


class _Facts(NamedTuple):
    """What is true, under the locks of a workstation and of items, until the transaction's end.

    Args:
        held: the sessions among those wanted.
        own_places: of the workstation, in the lines for these locks: it leaves them, as it gets the locks.
        holders: who holds how much on the items.
    """

    held: dict[Lock, AbstractEditSession]
    own_places: Sequence[uuid.UUID]
    holders: Holders


def _read_facts(
    workstation: Workstation, wanted: LocksWanted, items: Collection[uuid.UUID]
) -> _Facts:
    """Read them, in one round trip; the sessions with their names only where there are any, which is rare."""
    locks = lists_about(wanted)
    held, places, holdings = together(
        _HELD(*locks),
        _OWN_PLACES(*locks, [workstation.pk]),
        EditSession.objects.reading_holdings(items),
    )
    return _Facts(
        EditSession.objects.held(wanted) if {Lock(*row) for row in held} & wanted.keys() else {},
        [pk for pk, *lock in places if Lock(*lock) in wanted],
        holders_of(holdings),
    )


def _refuse_retired(items: Mapping[str, Item], wanted: LocksWanted, held: LocksHeld) -> None:
    """Refuse to begin a session on a retired item; one that is held goes on.

    Raises:
        Retired: one of the items is retired.
    """
    for lock, want in wanted.items():
        if lock not in held:
            items[want.part_number].check_not_retired()


def _refuse_held_by_others(workstation: Workstation, wanted: LocksWanted, held: LocksHeld) -> None:
    """Refuse locks that other workstations hold: this is where an acquire is refused for hard interference.

    Raises:
        BatchInterference: it names all sessions in the way, in the order of the request.
    """
    in_the_way = [
        held[lock]
        for lock in wanted
        if lock in held and held[lock].workstation_id != workstation.pk
    ]
    if in_the_way:
        raise _interference(in_the_way)


def _refuse_too_many(workstation: Workstation, wanted: LocksWanted, held: LocksHeld) -> None:
    """Refuse more sessions, or node keys, than the workstation or its user may have.

    Raises:
        TooManySessions, TooManyNodeKeys: see `limits`.
    """
    limits.check_sessions(
        workstation,
        len(wanted) - len(held),
        limits.growth(
            (held[lock].node_keys if lock in held else 0, len(want.dependency_cone))
            for lock, want in wanted.items()
        ),
    )


def _begin(
    workstation: Workstation,
    items: Mapping[str, Item],
    wanted: LocksWanted,
    held: LocksHeld,
    connection_id: uuid.UUID | None,
) -> list[AbstractEditSession]:
    """Begin the sessions of the locks that are free, in the order of the request."""
    return EditSession.objects.begin(
        EditSession(
            item=items[want.part_number],
            workstation=workstation,
            user=workstation.user,
            connection_id=connection_id,
            context_level=want.context_level,
            object_id=want.object_id,
            dependency_cone=list(want.dependency_cone),
            note=want.note or "",
        )
        for lock, want in wanted.items()
        if lock not in held
    )


def _renew(
    held: Mapping[Lock, AbstractEditSession],
    wanted: Mapping[Lock, Wanted],
    connection_id: uuid.UUID | None,
    shared: Holders,
) -> list[event_log.NewEvent]:
    """Refresh the sessions that the workstation holds already: heartbeat, and the cone and the note if given.

    Args:
        held: the sessions that it holds among the wanted ones.
        wanted: the whole request, by lock.
        connection_id: the stream that sessions without a connection get; None leaves them without one.
        shared: the items that other workstations hold sessions on, and how much each workstation holds there.

    Returns:
        The events of the interferences that end or begin with the new cones.
    """
    if not held:
        return []
    # First, because it locks them in their one order.
    EditSession.objects.touch_heartbeat({session.workstation_id for session in held.values()})
    cones = {
        session: wanted[lock].dependency_cone
        for lock, session in held.items()
        if wanted[lock].dependency_cone
    }
    in_company = {one: cone for one, cone in cones.items() if one.item_id in shared}
    set_cones(
        EditSession.objects.all(),
        {one: cone for one, cone in cones.items() if one not in in_company},
    )
    events = renew_cones(EditSession.objects.all(), in_company, shared)
    _note({session: wanted[lock].note for lock, session in held.items()})
    without = [session for session in held.values() if session.connection_id is None]
    if connection_id and without:
        EditSession.objects.filter(pk__in=[session.pk for session in without]).update(
            connection_id=connection_id
        )
        for session in without:
            session.connection_id = connection_id
    touched = EditSession.objects.filter(pk__in=[session.pk for session in held.values()])
    heartbeats = dict(touched.values_list("pk", "last_heartbeat"))
    for session in held.values():
        session.last_heartbeat = heartbeats[session.pk]
    in_order = [held[lock] for lock in wanted if lock in held]
    _read_cones([session for session in in_order if session not in cones])
    return events


def _read_cones(held: Iterable[AbstractEditSession]) -> None:
    """Read the cones of the first of these (locked) sessions; those of the others are not answered."""
    sized = [(session, session.node_keys) for session in held]
    few = few_enough(sized, ANSWERED_NODE_KEYS) if sized else []
    read = EditSession.objects.filter(pk__in=[session.pk for session in few])
    cones = dict(read.values_list("pk", "dependency_cone"))
    for session in few:
        session.dependency_cone = cones[session.pk]


def _note(notes: Mapping[AbstractEditSession, str | None]) -> None:
    """Give sessions their new notes; None leaves one as it is."""
    changed = []
    for session, note in notes.items():
        if note is not None and note != session.note:
            session.note = note
            changed.append(session)
    if changed:
        EditSession.objects.bulk_update(changed, ["note"])


def _check_once_each(wanted: Sequence[Wanted]) -> None:
    seen: dict[tuple[str, str, str], str] = {}
    for want in wanted:
        lock = (name_key(want.part_number), want.context_level, want.object_id)
        first = seen.get(lock)
        if first is None:
            seen[lock] = want.part_number
            continue
        named = " ".join(filter(None, (want.part_number, want.context_level, want.object_id)))
        other = "" if first == want.part_number else f", the first time as {first}"
        raise Invalid(f"{named} is asked for twice{other}.")


def _interference(holders: Sequence[AbstractEditSession]) -> BatchInterference:
    """Return the refusal of an acquire; `holders` are the sessions in the way, with their names."""
    first = holders[0]
    user = person(first.user.get_username(), name_of(first.user))
    more = f" ({len(holders)} of these are held)" if len(holders) > 1 else ""
    return BatchInterference(
        f"{user} is editing {first.item} on {first.workstation.name}{more}.",
        holders=[payloads.held_item_json(held) for held in holders],
    )
