"""Which sessions meet softly: for the answer to an acquire, the events of both sides, and lists."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import islice
from typing import TYPE_CHECKING, Final

from events_app.log.event_log import NewEvent
from sessions_app import interference, payloads
from sessions_app.interference import Compared, Meeting, Renewed
from sessions_app.managers.base import Base
from sessions_app.models.edit_session_queryset import Holders, Holding
from sessions_app.models.results import Conflict
from sessions_app.steps import few_enough

if TYPE_CHECKING:
    from sessions_app.models.abstract_edit_session import AbstractEditSession

Ids = Collection[uuid.UUID]

# Of the sessions that one of a list meets, named with it.
MAX_LISTED: Final = 20
# Compared for one list, or for the streams that open at one moment.
MAX_LISTED_NODE_KEYS: Final = 200_000
# Sessions on the items of a list that are read to compare with its members. Where there are more, the index says who
# meets: a page of a list costs no more for what is not on it.
MAX_LISTED_COMPANY: Final = 5_000
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
    seen: Sequence[tuple["AbstractEditSession", Conflict]] = ()

    def events(self, new: Collection["AbstractEditSession"]) -> Iterator[NewEvent]:
        """Yield `edit.interference` for both sides of each meeting that begins with a new session."""
        for session in new:
            conflicts = self.of.get(session.pk, ())
            shared = interference.shared_each(len(conflicts))
            for one in islice(conflicts, interference.MAX_MEETINGS):
                yield payloads.interference_event(session, one.session, one.shared[:shared])
        for other, one in islice(self.seen, interference.MAX_MEETINGS):
            yield payloads.interference_event(other, one.session, one.shared)


class How(Enum):
    """How sessions are compared, by the node keys of all on their items."""

    EVERYBODY = auto()  # with all on their items
    REACHED = auto()  # with those that the index names
    NOT = auto()  # the index alone says who meets


class Conflicting(Base):
    """The part of `EditSession.objects` that knows who meets whom."""

    def conflicts(
        self, ours: Collection["AbstractEditSession"], new: Ids, holders: Holders
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
            return self._conflicts_of_one(one, one.pk in new, holders)
        ids = {session.pk for session in ours}
        own = sum(len(session.dependency_cone) for session in ours if session.pk in new)
        how = self._how_to_compare(ours, own, holders)
        if how is How.NOT:
            return self._conflicts_by_index(ours, new)
        meetings, seen = self.meetings_with(ids, new, by_index=how is How.REACHED)
        seen = seen[: interference.MAX_MEETINGS]
        loaded = self._loaded(ours, meetings, seen)
        of: dict[uuid.UUID, list[Conflict]] = defaultdict(list)
        for one in meetings:
            of[one.session_id].append(Conflict(loaded[one.other_id], one.shared))
        theirs = [
            (loaded[one.session_id], Conflict(loaded[one.other_id], one.shared)) for one in seen
        ]
        return Conflicts(of, theirs)

    def freed(
        self, ending: Collection["AbstractEditSession"], holders: Holders
    ) -> list[tuple["AbstractEditSession", uuid.UUID]]:
        """Return the sessions of others that interfere softly with one that ends, each with that one's id.

        Args:
            ending: those that end.
            holders: who holds how much on their items then.
        """
        met = [one for one in ending if others_on(holders, one).sessions]
        if not met:
            return []
        ids = {session.pk for session in met}
        how = self._how_to_compare(met, sum(one.node_keys for one in met), holders)
        if how is not How.NOT:
            meetings = self.met_by(ids, by_index=how is How.REACHED)
            pairs = [(meeting.session_id, meeting.other_id) for meeting in meetings]
        else:
            named = self.pairs(ids, max(1, interference.MAX_PAIRS // len(ids)))
            pairs = interference.evenly(
                (other, ended) for ended, others in named.items() for other in others
            )
        # Nobody is told of an end at which both end.
        ended = {session.pk for session in ending}
        pairs = [pair for pair in pairs if pair[0] not in ended][: interference.MAX_MEETINGS]
        left = self.with_names().in_bulk({session for session, _ in pairs})
        return [(left[session], other) for session, other in pairs]

    def few_enough(
        self, ending: Sequence["AbstractEditSession"], holders: Holders
    ) -> Sequence["AbstractEditSession"]:
        """Return the first of these, one at least, with no more pairs than one transaction looks at by the index.

        Args:
            ending: sessions, with the number of their node keys.
            holders: who holds how much on their items, they too.
        """
        if _to_compare(ending, holders) <= interference.MAX_COMPARED:
            return ending
        company = ((one, _entries(one, holders)) for one in ending)
        return few_enough(company, interference.MAX_INDEX_ENTRIES)

    def met_in_list(
        self, sessions: Sequence["AbstractEditSession"]
    ) -> Mapping[uuid.UUID, Sequence["AbstractEditSession"] | None]:
        """Return whom each of these sessions meets, at most `MAX_LISTED` each, with their names.

        A fixed number of queries, of which a list without two workstations on one item needs the first. None stands
        for those that are not compared: their cones are more than `MAX_LISTED_NODE_KEYS` together.

        Args:
            sessions: the sessions, with their names.
        """
        met: dict[uuid.UUID, list[AbstractEditSession] | None] = {one.pk: [] for one in sessions}
        holders = self.holders({one.item_id for one in sessions})
        shared = {item_id: some for item_id, some in holders.items() if len(some) > 1}
        in_company = [one.pk for one in sessions if one.item_id in shared]
        if not in_company:
            return met
        count = sum(held.sessions for some in shared.values() for held in some.values())
        if count > MAX_LISTED_COMPANY:
            return met | self._listed_by_index(sessions, in_company)
        compared = self._up_to_so_many_keys(in_company)
        some = [one for one in sessions if one.pk in compared]
        how = self._how_to_compare(some, 0, shared)
        if how is How.NOT:
            return met | self._listed_by_index(sessions, in_company)
        asked = self.compared(compared)
        everybody = len(asked) == count
        by_index = how is How.REACHED
        company = (
            asked if everybody else self.company(asked, also_among_them=True, by_index=by_index)
        )
        meetings = interference.meetings(asked, company, most=MAX_LISTED)
        loaded = self._loaded(sessions, meetings)
        met |= dict.fromkeys(set(in_company) - compared)
        for one in meetings:
            if one.other_id in loaded:
                met[one.session_id] = [*(met[one.session_id] or ()), loaded[one.other_id]]
        return met

    def _listed_by_index(
        self, sessions: Sequence["AbstractEditSession"], ids: Sequence[uuid.UUID]
    ) -> dict[uuid.UUID, Sequence["AbstractEditSession"] | None]:
        """Return the same by the index, for those up to `MAX_LISTED_NODE_KEYS`."""
        looked_up = self._up_to_so_many_keys(ids)
        most = min(MAX_LISTED, max(1, interference.MAX_MEETINGS // max(1, len(looked_up))))
        pairs = self.pairs(looked_up, most, also_among_them=True)
        loaded = self._loaded_by_id(sessions, {other for some in pairs.values() for other in some})
        met: dict[uuid.UUID, Sequence[AbstractEditSession] | None] = dict.fromkeys(
            set(ids) - looked_up
        )
        for pk, some in pairs.items():
            met[pk] = [loaded[other] for other in some if other in loaded]
        return met

    def _up_to_so_many_keys(self, ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """Return those of these sessions, in this order, whose cones have no more than `MAX_LISTED_NODE_KEYS`."""
        sizes = dict(self.filter(pk__in=ids).values_list("pk", "node_keys"))
        room = MAX_LISTED_NODE_KEYS
        few = set()
        for pk in ids:
            # Outside of a snapshot one of them may have ended.
            if pk in sizes and sizes[pk] <= room:
                room -= sizes[pk]
                few.add(pk)
        return few

    def renew_cones(
        self, cones: Mapping["AbstractEditSession", Sequence[str]], holders: Holders
    ) -> list[NewEvent]:
        """Give sessions other cones; return what tells both sides of the meetings that stop, or begin, with that.

        Args:
            cones: the new cones of sessions, with their names, that others' sessions may meet. They are locked, and
                so are their items.
            holders: who holds how much on these items.
        """
        if not cones:
            return []
        if _to_compare(cones, holders) > interference.MAX_COMPARED:
            return self._renew_cones_by_index(cones)
        old = dict(
            self.filter(pk__in=[session.pk for session in cones]).values_list(
                "pk", "dependency_cone"
            )
        )
        renewed = [
            Renewed(_compared(session, old[session.pk]), _compared(session, cone))
            for session, cone in cones.items()
            # The whole item meets everybody, whatever its cone.
            if session.object_id and set(old[session.pk]) != set(cone)
        ]
        both = [
            one.old._replace(node_keys=[*one.old.node_keys, *one.new.node_keys]) for one in renewed
        ]
        # Found by the cones of before, and those that are whole items: none of the others changes.
        company = self.company(both, by_index=False) if both else []
        self.set_cones(cones)
        stop, begin = interference.changes(renewed, list({one.id: one for one in company}.values()))
        loaded = self._loaded(cones, stop, begin)
        stopped = (payloads.resolved_event(loaded[one.session_id], one.other_id) for one in stop)
        begun = (
            payloads.interference_event(loaded[one.session_id], loaded[one.other_id], one.shared)
            for one in begin
        )
        return [*stopped, *begun]

    def set_cones(self, cones: Mapping["AbstractEditSession", Sequence[str]]) -> None:
        """Give sessions other cones."""
        if not cones:
            return
        for session, cone in cones.items():
            session.dependency_cone = list(cone)
        self.bulk_update(cones, ["dependency_cone"])

    def _renew_cones_by_index(
        self, cones: Mapping["AbstractEditSession", Sequence[str]]
    ) -> list[NewEvent]:
        """Do the same where too much is on the items for reading it."""
        of_objects = {session.pk: session for session in cones if session.object_id}
        most = max(1, interference.MAX_PAIRS // max(1, len(of_objects)))
        before = self.pairs(of_objects, most, also_among_them=True)
        self.set_cones(cones)
        after = self.pairs(of_objects, most, also_among_them=True)
        # Of those that were not all named, nobody knows which stop.
        known = {pk for pk in of_objects if len(after[pk]) < most}
        stop = [(pk, other) for pk in known for other in set(before[pk]) - set(after[pk])]
        begin = [(pk, other) for pk in of_objects for other in set(after[pk]) - set(before[pk])]
        half = interference.MAX_MEETINGS // 2
        stop, begin = sorted(stop)[:half], sorted(begin)[:half]
        loaded = self._loaded_by_id(cones, {other for _, other in (*stop, *begin)})
        both = [(one, loaded[other]) for pk, other in begin for one in [of_objects[pk]]]
        return [
            *(payloads.resolved_event(of_objects[pk], other) for pk, other in stop),
            *(payloads.resolved_event(loaded[other], pk) for pk, other in stop),
            *(payloads.interference_event(one, other, ()) for one, other in both),
            *(payloads.interference_event(other, one, ()) for one, other in both),
        ]

    def _conflicts_of_one(
        self, one: "AbstractEditSession", is_new: bool, holders: Holders
    ) -> Conflicts:
        edit = _compared(one, one.dependency_cone)
        theirs = others_on(holders, one)
        named = self.with_names().order_by("pk")
        unread: list[Conflict] = []
        if theirs.node_keys > interference.MAX_LOOKED_THROUGH:
            sized = self.reached(edit).order_by("node_keys", "pk").values_list("pk", "node_keys")
            sized = list(sized[: interference.MAX_MEETINGS])
            few = few_enough(sized, interference.MAX_LOOKED_THROUGH)
            rest = {pk for pk, _ in sized} - set(few)
            unread = [Conflict(other, ()) for other in named.filter(pk__in=rest)]
            named = named.filter(pk__in=few)
        most = interference.shared_each(theirs.sessions)
        meeting = named.meeting(edit, most)
        shared = interference.shared_each(len(meeting) + len(unread))
        if shared > most and any(len(other.shared) == most for other in meeting):
            # There is room for more, as not all of them meet.
            meeting = named.filter(pk__in=[other.pk for other in meeting]).meeting(edit, shared)
        met = [*(Conflict(other, other.shared) for other in meeting), *unread]
        seen = [(other.session, Conflict(one, other.shared)) for other in met if is_new]
        return Conflicts({one.pk: met}, seen)

    def _conflicts_by_index(self, ours: Collection["AbstractEditSession"], new: Ids) -> Conflicts:
        """Return whom these sessions meet, without what they share: too much is on their items for reading it."""
        ids = {session.pk for session in ours}
        pairs = self.pairs(ids, max(1, interference.MAX_MEETINGS // len(ids)), also_among_them=True)
        loaded = self._loaded_by_id(ours, {other for some in pairs.values() for other in some})
        of = {pk: [Conflict(loaded[other], ()) for other in some] for pk, some in pairs.items()}
        seen = [
            (loaded[other], Conflict(loaded[pk], ()))
            for pk in new
            for other in pairs.get(pk, ())
            if other not in ids
        ]
        return Conflicts(of, seen)

    def _how_to_compare(
        self, sessions: Collection["AbstractEditSession"], own: int, holders: Holders
    ) -> How:
        """Say how these sessions can be compared with those that they may meet.

        Args:
            sessions: the sessions.
            own: how many node keys they have that are not among those of the holders.
            holders: who holds how much on their items.
        """
        if own + _to_compare(sessions, holders) <= interference.MAX_COMPARED:
            return How.EVERYBODY
        if sum(session.node_keys for session in sessions) > interference.MAX_LOOKED_UP_TWICE:
            return How.NOT
        # Mostly they meet only some of those on the item.
        reached: int = self.node_keys_reached(sessions)
        return How.REACHED if own + reached <= interference.MAX_COMPARED else How.NOT

    def _loaded(
        self, known: Collection["AbstractEditSession"], *meetings: Collection[Meeting]
    ) -> dict[uuid.UUID, "AbstractEditSession"]:
        """Return all that meet, by id, with their names; those that are known have theirs."""
        named = {pk for some in meetings for one in some for pk in (one.session_id, one.other_id)}
        return self._loaded_by_id(known, named)

    def _loaded_by_id(
        self, known: Collection["AbstractEditSession"], ids: Ids
    ) -> dict[uuid.UUID, "AbstractEditSession"]:
        loaded = {session.pk: session for session in known}
        further = set(ids) - loaded.keys()
        return loaded | (self.with_names().in_bulk(further) if further else {})


def others_on(holders: Holders, session: "AbstractEditSession") -> Holding:
    """Return how much others than a session's workstation hold on its item."""
    others = [
        holding
        for workstation, holding in holders[session.item_id].items()
        if workstation != session.workstation_id
    ]
    return Holding(sum(one.sessions for one in others), sum(one.node_keys for one in others))


def take_away(ending: Collection["AbstractEditSession"], holders: Holders) -> None:
    """Take sessions that end out of what is held on their items."""
    for session in ending:
        on_item = holders[session.item_id]
        held = on_item.pop(session.workstation_id)
        if held.sessions > 1:
            less = Holding(held.sessions - 1, held.node_keys - session.node_keys)
            on_item[session.workstation_id] = less


def _to_compare(sessions: Collection["AbstractEditSession"], holders: Holders) -> int:
    """Return how many node keys those have that these sessions may meet; see `company`."""
    if len({session.workstation_id for session in sessions}) > 1:
        return _node_keys_on(holders, {session.item_id for session in sessions})
    on_items = {session.item_id: session for session in sessions}
    return sum(others_on(holders, one).node_keys for one in on_items.values())


def _entries(session: "AbstractEditSession", holders: Holders) -> int:
    """Return about how many entries of the index are read to find whom a session meets, at most."""
    if not others_on(holders, session).sessions:
        return 0
    on_item = sum(holding.sessions for holding in holders[session.item_id].values())
    return on_item * (session.node_keys + ENTRIES_BESIDE)


def _node_keys_on(holders: Holders, items: Ids) -> int:
    return sum(holding.node_keys for item in items for holding in holders[item].values())


def _compared(session: "AbstractEditSession", cone: Sequence[str]) -> Compared:
    return Compared(session.pk, session.item_id, session.workstation_id, session.object_id, cone)
