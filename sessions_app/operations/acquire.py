"""Acquiring edit sessions: sets of requests, each for one session or a batch, all of it or none."""

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from django.contrib.auth.models import User
from django.db import transaction

from events_app.database.round_trip import Statement, together
from events_app.log import event_log
from sessions_app import channels, payloads
from sessions_app.errors import BatchInterference, DomainError
from sessions_app.interference import conflicts
from sessions_app.interference.holdings import Holders
from sessions_app.interference.new_cones import renew_cones, set_cones
from sessions_app.locks import Lock
from sessions_app.models import session_log
from sessions_app.models.abstract_edit_session import AbstractEditSession
from sessions_app.models.edit_session import EditSession
from sessions_app.models.place_in_line import PlaceInLine
from sessions_app.models.results import Acquired, Wanted
from sessions_app.models.session_rows import Beginning
from sessions_app.operations import limits, presence
from sessions_app.operations.facts import Acquire, Admitted, Facts, admit, lock_and_read
from sessions_app.steps import few_enough
from sessions_app.text import name_of, person

# Node keys that an answer has of sessions which are held already and get no other cone: as many as a request may have.
ANSWERED_NODE_KEYS: Final = 100_000
LocksHeld = Mapping[Lock, AbstractEditSession]

_LEAVE_LINES: Final = Statement(lambda ids: PlaceInLine.objects.filter(pk__any=ids), delete=True)

Outcome = list[Acquired] | DomainError


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
    """Give a workstation all the sessions that it wants, or those it has; or none of them: a set of one `Acquire`.

    Returns:
        The sessions, in the order in which they were wanted.

    Raises:
        Invalid: something is wanted twice.
        NotFound: no such workstation, or no such items.
        Forbidden: somebody else's workstation, or the user was deactivated meanwhile.
        NotConnected: the connection has ended.
        Retired: nothing new begins on one of the items.
        BatchInterference: other workstations hold some of it; it names all of them.
        TooManySessions, TooManyNodeKeys: the workstation, or its user, may not hold so many.
    """
    [outcome] = acquire_set([Acquire(user, workstation_id, wanted, connection_id)])
    if isinstance(outcome, DomainError):
        raise outcome
    return outcome


def acquire_set(requests: Sequence[Acquire]) -> list[Outcome]:
    """Decide and carry out many requests in one transaction, each by itself: all of what it wants, or its refusal.

    Args:
        requests: no two of them for one workstation or on one item, so that none decides about another.

    Returns:
        The outcome of each, in their order: its sessions, or why it was refused, which has changed nothing.
    """
    with transaction.atomic():
        facts = lock_and_read(requests)
        decided = [_decide(request, facts) for request in requests]
        done = iter(carry_out([one for one in decided if isinstance(one, Admitted)], facts))
        return [next(done) if isinstance(one, Admitted) else one for one in decided]


def _decide(request: Acquire, facts: Facts) -> Admitted | DomainError:
    """Return what is to be carried out of a request, or its refusal."""
    try:
        request.check_once_each()
        admitted = admit(request, facts)
        check_free(admitted, facts)
    except DomainError as refusal:
        return refusal
    return admitted


def check_free(admitted: Admitted, facts: Facts) -> None:
    """Check that a workstation may have all that it wants: this is where an acquire is refused.

    Raises:
        Retired, BatchInterference, TooManySessions, TooManyNodeKeys: see `acquire_all`.
    """
    held = facts.held_of(admitted)
    _refuse_retired(admitted, held)
    _refuse_held_by_others(admitted, held)
    _refuse_too_many(admitted, held, facts)


def come_back(admitted: Collection[Admitted], facts: Facts) -> list[event_log.NewEvent]:
    """Note of workstations that were away or idle that they are here: an acquire by hand says so.

    Returns:
        The events that tell of it.
    """
    back = [
        workstation
        for workstation in (one.workstation for one in admitted)
        if workstation.departed_at is not None or workstation.idle_since is not None
    ]
    ids = [workstation.pk for workstation in back]
    events = presence.come_back(ids, active=ids, items_locked=facts.item_ids) if back else []
    for workstation in back:
        # The answer shows it as it is now.
        workstation.departed_at = workstation.away_since = workstation.idle_since = None
    return events


def carry_out(admitted: Sequence[Admitted], facts: Facts) -> list[list[Acquired]]:
    """Begin or refresh the sessions of requests that are not refused, as the last act of the transaction.

    The transaction may be committed with it.

    Returns:
        Of each request its sessions, in the order in which they were wanted.
    """
    events = come_back(admitted, facts)
    new = [_new_sessions(one, facts) for one in admitted]
    every = [session for some in new for session in some]
    left = facts.places_of(admitted)
    writes = [
        *([_LEAVE_LINES(left)] if left else []),
        *EditSession.objects.beginning(every),
    ]
    if left or any(facts.held_of(one) or facts.company_of(one) for one in admitted):
        # Further statements see what has begun. Elsewhere it goes with the events.
        together(*writes)
        writes = []
        # By one statement, which locks them in their one order.
        refreshed = {one.workstation.pk for one in admitted if facts.held_of(one)}
        if refreshed:
            EditSession.objects.touch_heartbeat(refreshed)
    answers = []
    for one, begun in zip(admitted, new, strict=True):
        answer, told = _answer(one, begun, facts)
        answers.append(answer)
        events += told
    if left:
        events += _lines_left(admitted, set(left.values()), facts)
    event_log.append(events, ahead=writes, commits=True)
    session_log.acquired(answers)
    return answers


def _lines_left(
    admitted: Collection[Admitted], lines: Collection[Lock], facts: Facts
) -> Iterable[event_log.NewEvent]:
    """Yield the events of lines that workstations have left, as they have what they waited for."""
    items = {item.pk: item.part_number for one in admitted for item in one.items.values()}
    audiences = channels.audiences_of(facts.holders, items)
    for one in admitted:
        for item in one.items.values():
            audiences[item.pk].add(channels.workstation(one.workstation.pk))
    return payloads.line_events(PlaceInLine.objects.lengths(lines), items, audiences)


def _new_sessions(admitted: Admitted, facts: Facts) -> list[AbstractEditSession]:
    """Return the sessions of the locks that are free, not yet written, in the order of the request."""
    held, manager = facts.held_of(admitted), EditSession.objects
    items, workstation = admitted.items, admitted.workstation
    connection_id = admitted.request.connection_id
    return [
        manager.drawn(
            Beginning(items[want.part_number], workstation, connection_id, want), next(facts.drawn)
        )
        for want in admitted.free(held).values()
    ]


def _answer(
    admitted: Admitted, new: Sequence[AbstractEditSession], facts: Facts
) -> tuple[list[Acquired], list[event_log.NewEvent]]:
    """Refresh what a workstation held already; return all that it has now, and the events of the request."""
    held, workstation = facts.held_of(admitted), admitted.workstation
    company = facts.company_of(admitted)
    changed = _renew(held, admitted, company)
    ours = _in_order(admitted, new, held)
    begun = {session.pk for session in new}
    met = conflicts.find(
        EditSession.objects.all(),
        [one for one in ours if one.item_id in company] if company else [],
        begun,
        facts.holders,
    )
    answers = [Acquired(one, one.pk not in begun, met.of.get(one.pk, [])) for one in ours]
    items = {item.pk for item in admitted.items.values()}
    audiences = channels.audiences_of(facts.holders, items)
    own = channels.workstation(workstation.pk)
    acquired = [
        payloads.acquired_event(answer, audiences[answer.session.item_id] | {own})
        for answer in answers
        if not answer.existing
    ]
    return answers, [*acquired, *changed, *met.events(new)]


def _in_order(
    admitted: Admitted, new: Sequence[AbstractEditSession], held: LocksHeld
) -> Sequence[AbstractEditSession]:
    """Return the sessions of a request in the order in which they were wanted."""
    if not held:
        return new
    ours = {**held, **dict(zip(admitted.free(held), new, strict=True))}
    return [ours[lock] for lock in admitted.wanted]


def _refuse_retired(admitted: Admitted, held: LocksHeld) -> None:
    """Refuse to begin a session on a retired item; one that is held goes on.

    Raises:
        Retired: one of the items is retired.
    """
    for want in admitted.free(held).values():
        admitted.items[want.part_number].check_not_retired()


def _refuse_held_by_others(admitted: Admitted, held: LocksHeld) -> None:
    """Refuse locks that other workstations hold, for hard interference.

    Raises:
        BatchInterference: it names all sessions in the way, in the order of the request.
    """
    own = admitted.workstation.pk
    theirs = {lock: one for lock, one in held.items() if one.workstation_id != own}
    in_the_way = [theirs[lock] for lock in admitted.wanted if lock in theirs] if theirs else []
    if in_the_way:
        raise _interference(in_the_way)


def _refuse_too_many(admitted: Admitted, held: LocksHeld, facts: Facts) -> None:
    """Refuse more sessions, or node keys, than the workstation or its user may have.

    Raises:
        TooManySessions, TooManyNodeKeys: see `limits`.
    """
    new = len(admitted.wanted) - len(held)
    before = {lock: one.node_keys for lock, one in held.items()}
    node_keys = limits.growth(
        (before.get(lock, 0) if before else 0, len(want.dependency_cone))
        for lock, want in admitted.wanted.items()
    )
    limits.check_sessions(facts.counted.of(admitted.workstation), new, node_keys)
    facts.counted.add(admitted.workstation, new, node_keys)


def _renew(held: LocksHeld, admitted: Admitted, shared: Holders) -> list[event_log.NewEvent]:
    """Refresh the sessions that the workstation holds already and are touched: the cone and the note, if given.

    Args:
        held: the sessions that it holds among the wanted ones.
        admitted: the whole request. Sessions without a connection get the one that it names.
        shared: the items that other workstations hold sessions on, and how much each workstation holds there.

    Returns:
        The events of the interferences that end or begin with the new cones.
    """
    if not held:
        return []
    wanted, connection_id = admitted.wanted, admitted.request.connection_id
    for session in held.values():
        # As it is now: it has just come back.
        session.workstation = admitted.workstation
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


def _interference(holders: Sequence[AbstractEditSession]) -> BatchInterference:
    """Return the refusal of an acquire; `holders` are the sessions in the way, with their names."""
    first = holders[0]
    user = person(first.user.get_username(), name_of(first.user))
    more = f" ({len(holders)} of these are held)" if len(holders) > 1 else ""
    return BatchInterference(
        f"{user} is editing {first.item} on {first.workstation.name}{more}.",
        holders=[payloads.held_item_json(held) for held in holders],
    )
