"""Which sessions those of a list meet."""

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from sessions_app.interference import compare, cones
from sessions_app.interference.choice import How, how_to_compare, load, load_meeting
from sessions_app.models.abstract_edit_session import AbstractEditSession

if TYPE_CHECKING:
    from sessions_app.models.edit_session_queryset import EditSessionQuerySet

# Of the sessions that one of a list meets, named with it.
MAX_LISTED: Final = 20
# Compared for one list, or for the streams that open at one moment.
MAX_LISTED_NODE_KEYS: Final = 200_000
# Sessions on the items of a list that are read to compare with its members. Where there are more, the index says who
# meets: a page of a list costs no more for what is not on it.
MAX_LISTED_COMPANY: Final = 5_000


def met_in_list(
    every: "EditSessionQuerySet", sessions: Sequence[AbstractEditSession]
) -> Mapping[uuid.UUID, Sequence[AbstractEditSession] | None]:
    """Return whom each of these sessions meets, at most `MAX_LISTED` each, with their names.

    A fixed number of queries, of which a list without two workstations on one item needs the first. None stands
    for those that are not compared: their cones are more than `MAX_LISTED_NODE_KEYS` together.

    Args:
        sessions: the sessions, with their names.
    """
    met: dict[uuid.UUID, list[AbstractEditSession] | None] = {one.pk: [] for one in sessions}
    holders = every.holders({one.item_id for one in sessions})
    shared = {item_id: some for item_id, some in holders.items() if len(some) > 1}
    in_company = [one.pk for one in sessions if one.item_id in shared]
    if not in_company:
        return met
    count = sum(held.sessions for some in shared.values() for held in some.values())
    if count > MAX_LISTED_COMPANY:
        return met | _listed_by_index(every, sessions, in_company)
    compared = _up_to_so_many_keys(every, in_company)
    some = [one for one in sessions if one.pk in compared]
    how = how_to_compare(every, some, 0, shared)
    if how is How.NOT:
        return met | _listed_by_index(every, sessions, in_company)
    asked = cones.compared(every, compared)
    everybody = len(asked) == count
    by_index = how is How.REACHED
    company = (
        asked if everybody else cones.company(every, asked, also_among_them=True, by_index=by_index)
    )
    meetings = compare.meetings(asked, company, most=MAX_LISTED)
    loaded = load_meeting(every, sessions, meetings)
    met |= dict.fromkeys(set(in_company) - compared)
    for one in meetings:
        if one.other_id in loaded:
            met[one.session_id] = [*(met[one.session_id] or ()), loaded[one.other_id]]
    return met


def _listed_by_index(
    every: "EditSessionQuerySet", sessions: Sequence[AbstractEditSession], ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, Sequence[AbstractEditSession] | None]:
    """Return the same by the index, for those up to `MAX_LISTED_NODE_KEYS`."""
    looked_up = _up_to_so_many_keys(every, ids)
    most = min(MAX_LISTED, max(1, compare.MAX_MEETINGS // max(1, len(looked_up))))
    pairs = cones.pairs(every, looked_up, most, also_among_them=True)
    loaded = load(every, sessions, {other for some in pairs.values() for other in some})
    met: dict[uuid.UUID, Sequence[AbstractEditSession] | None] = dict.fromkeys(set(ids) - looked_up)
    for pk, some in pairs.items():
        met[pk] = [loaded[other] for other in some if other in loaded]
    return met


def _up_to_so_many_keys(every: "EditSessionQuerySet", ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of these sessions, in this order, whose cones have no more than `MAX_LISTED_NODE_KEYS`."""
    sizes = dict(every.filter(pk__in=ids).values_list("pk", "node_keys"))
    room = MAX_LISTED_NODE_KEYS
    few = set()
    for pk in ids:
        # Outside of a snapshot one of them may have ended.
        if pk in sizes and sizes[pk] <= room:
            room -= sizes[pk]
            few.add(pk)
    return few
