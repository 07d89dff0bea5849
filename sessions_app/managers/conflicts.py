"""Which sessions meet softly: for the answer to an acquire, the events of both sides, and lists."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from events_app.event_log import NewEvent
from sessions_app import interference, payloads
from sessions_app.edit_session_queryset import Cardinality
from sessions_app.interference import Compared, Meeting, Renewed
from sessions_app.managers.base import Base

if TYPE_CHECKING:
    from sessions_app.models.edit_session import EditSession

Ids = Collection[uuid.UUID]

# Of the sessions that one of a list meets, named with it.
MAX_LISTED: Final = 20
# Compared for one list, or for the streams that open at one moment.
MAX_LISTED_NODE_KEYS: Final = 200_000


@dataclass(frozen=True)
class Conflict:
    """Another workstation's session whose cone meets ours."""

    session: "EditSession"
    shared: Sequence[str]


@dataclass(frozen=True)
class Conflicts:
    """Whom some sessions meet, and the same from the side of those that they meet.

    Args:
        of: of each session asked about, by its id, whom it meets.
        seen: others that meet a new one of these, and which.
    """

    of: Mapping[uuid.UUID, Sequence[Conflict]] = field(default_factory=dict)
    seen: Sequence[tuple["EditSession", Conflict]] = ()

    def events(self, new: Collection["EditSession"]) -> Iterator[NewEvent]:
        """Yield `edit.interference` for both sides of each meeting that begins with a new session."""
        for session in new:
            conflicts = self.of.get(session.pk, ())
            shared = interference.shared_each(len(conflicts))
            for one in islice(conflicts, interference.MAX_MEETINGS):
                yield payloads.interference_event(session, one.session, one.shared[:shared])
        for other, one in self.seen:
            yield payloads.interference_event(other, one.session, one.shared)


class Conflicting(Base):
    """The part of `EditSession.objects` that knows who meets whom."""

    def conflicts(self, ours: Collection["EditSession"], new: Ids) -> Conflicts:
        """Return whom these active sessions meet, and who meets the new ones among them.

        Args:
            ours: the sessions, with their names.
            new: the ids of those that begin in this transaction.
        """
        if not ours:
            return Conflicts()
        if len(ours) == 1:
            # As nearly always: one query.
            [one] = ours
            return self._conflicts_of_one(one, one.pk in new)
        meetings, seen = self.meetings_with({session.pk for session in ours}, new)
        loaded = self._loaded(ours, meetings, seen)
        of: dict[uuid.UUID, list[Conflict]] = defaultdict(list)
        for one in meetings:
            of[one.session_id].append(Conflict(loaded[one.other_id], one.shared))
        theirs = [
            (loaded[one.session_id], Conflict(loaded[one.other_id], one.shared)) for one in seen
        ]
        return Conflicts(of, theirs)

    def met_in_list(
        self, sessions: Sequence["EditSession"]
    ) -> Mapping[uuid.UUID, Sequence["EditSession"] | None]:
        """Return whom each of these sessions meets, at most `MAX_LISTED` each, with their names.

        A fixed number of queries, of which a list without two workstations on one item needs the first. None stands
        for those that are not compared: their cones are more than `MAX_LISTED_NODE_KEYS` together.

        Args:
            sessions: the sessions, with their names.
        """
        met: dict[uuid.UUID, list[EditSession] | None] = {one.pk: [] for one in sessions}
        on_items = self.filter(item_id__in={one.item_id for one in sessions})
        holders: dict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
        for item_id, workstation_id in on_items.values_list("item_id", "workstation_id"):
            holders[item_id].append(workstation_id)
        shared = {item_id for item_id, some in holders.items() if len(set(some)) > 1}
        in_company = [one.pk for one in sessions if one.item_id in shared]
        if not in_company:
            return met
        compared = self._up_to_so_many_keys(in_company)
        asked = self.compared(compared)
        everybody = len(asked) == sum(len(holders[item_id]) for item_id in shared)
        company = asked if everybody else self.company(asked, also_among_them=True)
        meetings = interference.meetings(asked, company, most=MAX_LISTED)
        loaded = self._loaded(sessions, meetings)
        met |= dict.fromkeys(set(in_company) - compared)
        for one in meetings:
            if one.other_id in loaded:
                met[one.session_id] = [*(met[one.session_id] or ()), loaded[one.other_id]]
        return met

    def _up_to_so_many_keys(self, ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """Return those of these sessions, in this order, whose cones have no more than `MAX_LISTED_NODE_KEYS`."""
        sized = self.filter(pk__in=ids).annotate(size=Cardinality("dependency_cone"))
        sizes = dict(sized.values_list("pk", "size"))
        room = MAX_LISTED_NODE_KEYS
        few = set()
        for pk in ids:
            # Outside of a snapshot one of them may have ended.
            if pk in sizes and sizes[pk] <= room:
                room -= sizes[pk]
                few.add(pk)
        return few

    def renew_cones(self, cones: Mapping["EditSession", Sequence[str]]) -> list[NewEvent]:
        """Give sessions other cones; return what tells both sides of the meetings that stop, or begin, with that.

        Args:
            cones: the new cones of sessions, with their names, that others' sessions may meet. They are locked, and
                so are their items.
        """
        if not cones:
            return []
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
        # Found by the cones of before, and by those of now.
        company = self.company(both) if both else []
        self.set_cones(cones)
        company += self.company(both) if both else []
        stop, begin = interference.changes(renewed, list({one.id: one for one in company}.values()))
        loaded = self._loaded(cones, stop, begin)
        stopped = (payloads.resolved_event(loaded[one.session_id], one.other_id) for one in stop)
        begun = (
            payloads.interference_event(loaded[one.session_id], loaded[one.other_id], one.shared)
            for one in begin
        )
        return [*stopped, *begun]

    def set_cones(self, cones: Mapping["EditSession", Sequence[str]]) -> None:
        """Give sessions other cones."""
        if not cones:
            return
        for session, cone in cones.items():
            session.dependency_cone = list(cone)
        self.bulk_update(cones, ["dependency_cone"])

    def _conflicts_of_one(self, one: "EditSession", is_new: bool) -> Conflicts:
        meeting = (
            self.with_names()
            .order_by("pk")
            .meeting(one.item_id, one.workstation_id, one.object_id, one.dependency_cone)
        )
        shared = interference.shared_each(len(meeting))
        seen = [(other, Conflict(one, other.shared[:shared])) for other in meeting if is_new]
        return Conflicts({one.pk: [Conflict(other, other.shared) for other in meeting]}, seen)

    def _loaded(
        self, known: Collection["EditSession"], *meetings: Collection[Meeting]
    ) -> dict[uuid.UUID, "EditSession"]:
        """Return all that meet, by id, with their names; those that are known have theirs."""
        loaded = {session.pk: session for session in known}
        named = {pk for some in meetings for one in some for pk in (one.session_id, one.other_id)}
        further = named - loaded.keys()
        return loaded | (self.with_names().in_bulk(further) if further else {})


def _compared(session: "EditSession", cone: Sequence[str]) -> Compared:
    return Compared(session.pk, session.item_id, session.workstation_id, session.object_id, cone)
