"""Which sessions meet those that begin or end, and the events that tell both sides of it."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from events_app.log.event_log import NewEvent
from sessions_app import payloads
from sessions_app.interference import compare, cones
from sessions_app.interference.choice import (
    How,
    Ids,
    compared_by,
    how_to_compare,
    load,
    load_meeting,
    to_compare,
)
from sessions_app.interference.holdings import Held, HeldRow, Holders, have_others, others_on
from sessions_app.models.abstract_edit_session import AbstractEditSession
from sessions_app.models.results import Conflict
from sessions_app.steps import few_enough

if TYPE_CHECKING:
    from sessions_app.models.edit_session_queryset import EditSessionQuerySet

# As long as reading so many entries of the index takes a pair of sessions by itself.
ENTRIES_BESIDE: Final = 100


@dataclass(frozen=True)
class Conflicts:
    """Whom some sessions meet, and the same from the side of those that they meet.

    Args:
        of: of each session asked about, by its id, whom it meets.
        seen: others that meet a new one of these, and which.
    """

    of: Mapping[uuid.UUID, Sequence[Conflict]] = field(default_factory=dict)
    seen: Sequence[tuple[AbstractEditSession, Conflict]] = ()

    def events(self, new: Collection[AbstractEditSession]) -> Iterator[NewEvent]:
        """Yield `edit.interference` for both sides of each meeting that begins with a new session."""
        for session in new:
            conflicts = self.of.get(session.pk, ())
            shared = compare.shared_each(len(conflicts))
            for one in islice(conflicts, compare.MAX_MEETINGS):
                yield payloads.interference_event(session, one.session, one.shared[:shared])
        for other, one in islice(self.seen, compare.MAX_MEETINGS):
            yield payloads.interference_event(other, one.session, one.shared)


def find(
    every: "EditSessionQuerySet", ours: Collection[AbstractEditSession], new: Ids, holders: Holders
) -> Conflicts:
    """Return whom these active sessions meet, and who meets the new ones among them.

    Args:
        ours: the sessions, with their names.
        new: the ids of those that begin in this transaction.
        holders: who held how much on their items before that.
    """
    if not ours:
        return Conflicts()
    if len(ours) == 1:
        # As nearly always: one query.
        [one] = ours
        return _conflicts_of_one(every, one, one.pk in new, holders)
    ids = {session.pk for session in ours}
    own = sum(len(session.dependency_cone) for session in ours if session.pk in new)
    how = how_to_compare(every, ours, own, holders)
    if how is How.NOT:
        return _conflicts_by_index(every, ours, new)
    meetings, seen = cones.meetings_with(every, ids, new, by_index=how is How.REACHED)
    seen = seen[: compare.MAX_MEETINGS]
    loaded = load_meeting(every, ours, meetings, seen)
    of: dict[uuid.UUID, list[Conflict]] = defaultdict(list)
    for met in meetings:
        of[met.session_id].append(Conflict(loaded[met.other_id], met.shared))
    theirs = [(loaded[met.session_id], Conflict(loaded[met.other_id], met.shared)) for met in seen]
    return Conflicts(of, theirs)


def freed(
    every: "EditSessionQuerySet", ending: Collection[Held], holders: Holders
) -> list[tuple[AbstractEditSession, uuid.UUID]]:
    """Return the sessions of others that interfere softly with one that ends, each with that one's id.

    Args:
        ending: those that end.
        holders: who holds how much on their items then.
    """
    met = [one for one in ending if have_others(holders, one)]
    if not met:
        return []
    ids = {session.pk for session in met}
    how = how_to_compare(every, met, sum(one.node_keys for one in met), holders)
    if how is not How.NOT:
        meetings = cones.met_by(every, ids, by_index=how is How.REACHED)
        pairs = [(meeting.session_id, meeting.other_id) for meeting in meetings]
    else:
        named = cones.pairs(every, ids, max(1, compare.MAX_PAIRS // len(ids)))
        pairs = compare.evenly(
            (other, ended) for ended, others in named.items() for other in others
        )
    # Where both sessions of a meeting end, no event is written.
    ended = {session.pk for session in ending}
    pairs = [pair for pair in pairs if pair[0] not in ended][: compare.MAX_MEETINGS]
    left = every.with_names().in_bulk({session for session, _ in pairs})
    return [(left[session], other) for session, other in pairs]


def few_to_end(ending: Sequence[HeldRow], holders: Holders) -> Sequence[HeldRow]:
    """Return the first of these, one at least, with no more pairs than one transaction looks at by the index.

    Args:
        ending: sessions, with the number of their node keys.
        holders: who holds how much on their items, they too.
    """
    if to_compare(ending, holders) <= compare.MAX_COMPARED:
        return ending
    company = ((one, _entries(one, holders)) for one in ending)
    return few_enough(company, compare.MAX_INDEX_ENTRIES)


def _conflicts_of_one(
    every: "EditSessionQuerySet", one: AbstractEditSession, is_new: bool, holders: Holders
) -> Conflicts:
    edit = compared_by(one, one.dependency_cone)
    theirs = others_on(holders, one)
    named = every.with_names().order_by("pk")
    unread: list[Conflict] = []
    if theirs.node_keys > compare.MAX_LOOKED_THROUGH:
        smallest_first = cones.reached(every, edit).order_by("node_keys", "pk")
        sized = list(smallest_first.values_list("pk", "node_keys")[: compare.MAX_MEETINGS])
        few = few_enough(sized, compare.MAX_LOOKED_THROUGH)
        rest = {pk for pk, _ in sized} - set(few)
        unread = [Conflict(other, ()) for other in named.filter(pk__in=rest)]
        named = named.filter(pk__in=few)
    most = compare.shared_each(theirs.sessions)
    meeting = cones.meeting(named, edit, most)
    shared = compare.shared_each(len(meeting) + len(unread))
    if shared > most and any(len(other.shared) == most for other in meeting):
        # There is room for more, as not all of them meet.
        again = named.filter(pk__in=[other.session.pk for other in meeting])
        meeting = cones.meeting(again, edit, shared)
    met = [*meeting, *unread]
    seen = [(other.session, Conflict(one, other.shared)) for other in met if is_new]
    return Conflicts({one.pk: met}, seen)


def _conflicts_by_index(
    every: "EditSessionQuerySet", ours: Collection[AbstractEditSession], new: Ids
) -> Conflicts:
    """Return whom these sessions meet, without what they share: too much is on their items for reading it."""
    ids = {session.pk for session in ours}
    pairs = cones.pairs(every, ids, max(1, compare.MAX_MEETINGS // len(ids)), also_among_them=True)
    loaded = load(every, ours, {other for some in pairs.values() for other in some})
    of = {pk: [Conflict(loaded[other], ()) for other in some] for pk, some in pairs.items()}
    seen = [
        (loaded[other], Conflict(loaded[pk], ()))
        for pk in new
        for other in pairs.get(pk, ())
        if other not in ids
    ]
    return Conflicts(of, seen)


def _entries(session: Held, holders: Holders) -> int:
    """Return about how many entries of the index are read to find whom a session meets, at most."""
    if not others_on(holders, session).sessions:
        return 0
    on_item = sum(holding.sessions for holding in holders[session.item_id].values())
    return on_item * (session.node_keys + ENTRIES_BESIDE)
