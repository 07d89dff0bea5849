"""Computes which sessions meet, from two sets of them that `cones.py` has found in the database."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, NamedTuple

# Meetings that one transaction names, spread evenly: two workstations with 1,000 sessions each on one item could meet
# a million times. Each session that meets others is named with one of them at least.
MAX_MEETINGS: Final = 5_000
# Of node keys that both have, likewise; each meeting names these at least.
MAX_SHARED: Final = 100_000
MIN_SHARED_EACH: Final = 10
# Node keys of all that are compared in this process, in one transaction: what takes longer, with the item's lock held,
# keeps others waiting, and in the end the database gives it up. Where there are more, the index alone says who meets.
MAX_COMPARED: Final = 300_000
# Node keys that the database looks through for one edit, whose meetings are named with what they share.
MAX_LOOKED_THROUGH: Final = 3_000_000
# Index entries that are read at most to find the meetings of the sessions that one transaction ends: about a second.
MAX_INDEX_ENTRIES: Final = 5_000_000
# Node keys that are looked up once more, to learn how much there is to compare.
MAX_LOOKED_UP_TWICE: Final = 10_000
# Pairs of sessions that the index names in one transaction.
MAX_PAIRS: Final = 50_000


class Compared(NamedTuple):
    """The data by which sessions are compared; of other sessions, only the node keys that were asked about."""

    id: uuid.UUID
    item_id: uuid.UUID
    workstation_id: uuid.UUID
    object_id: str
    node_keys: Sequence[str]


class Meeting(NamedTuple):
    """Two sessions of different workstations that interfere softly.

    Args:
        session_id: the one that was asked about.
        other_id: the one that it meets.
        shared: the node keys that both cones have, in the order of the other's.
    """

    session_id: uuid.UUID
    other_id: uuid.UUID
    shared: Sequence[str]


ByWorkstation = Mapping[uuid.UUID, Sequence[Compared]]


class Renewed(NamedTuple):
    """A session of an object that has another cone now: as it was, and as it is."""

    old: Compared
    new: Compared


def changes(
    renewed: Collection[Renewed], others: Collection[Compared]
) -> tuple[list[Meeting], list[Meeting]]:
    """Return the meetings that stop and those that begin with new cones, each named from both sides.

    Args:
        renewed: the sessions. Those of a whole item meet everybody before and after.
        others: all that may meet one of them, before or after.
    """
    stop = _only(renewed, others, lambda one: (one.new, one.old))
    begin = _only(renewed, others, lambda one: (one.old, one.new))
    return stop, begin


def _only(
    renewed: Collection[Renewed],
    others: Collection[Compared],
    sides: Callable[[Renewed], tuple[Compared, Compared]],
) -> list[Meeting]:
    """Return the meetings that there are on the second side, and are not on the first."""
    absent: dict[uuid.UUID, frozenset[str]] = {}
    ones: list[Compared] = []
    for one in renewed:
        first, second = sides(one)
        absent[first.id] = frozenset(first.node_keys)
        ones.append(second._replace(node_keys=sorted({*second.node_keys} - absent[first.id])))
    objects = [other for other in others if other.object_id]

    def met(one: Compared, other: Compared) -> bool:
        return not absent[one.id].isdisjoint(other.node_keys)

    return [
        *meetings(ones, objects, but_not=met),
        *meetings(objects, ones, but_not=lambda other, one: met(one, other)),
    ]


def shared_each(count: int) -> int:
    """Return how many node keys each of so many meetings names at most."""
    return max(MIN_SHARED_EACH, MAX_SHARED // max(1, count))


def meetings(
    ones: Collection[Compared],
    others: Collection[Compared],
    *,
    most: int = MAX_MEETINGS,
    but_not: Callable[[Compared, Compared], bool] = lambda one, other: False,
) -> list[Meeting]:
    """Return whom each of the ones meets among the others, in the order of both ids.

    The work grows with the node keys of both, and with what is named, not with the pairs.

    Args:
        ones: those asked about.
        others: those that they may meet.
        most: so many for each of the ones at most, and `MAX_MEETINGS` in all.
        but_not: says which pairs do not count.
    """
    if not ones:
        return []
    each = min(most, max(1, MAX_MEETINGS // len(ones)))
    on_item: dict[Any, dict[uuid.UUID, list[Compared]]] = _groups()
    on_whole_item: dict[Any, dict[uuid.UUID, list[Compared]]] = _groups()
    having: dict[Any, dict[uuid.UUID, list[Compared]]] = _groups()
    for other in others:
        on_item[other.item_id][other.workstation_id].append(other)
        if not other.object_id:
            on_whole_item[other.item_id][other.workstation_id].append(other)
        for key in other.node_keys:
            having[other.item_id, key][other.workstation_id].append(other)

    def candidates(one: Compared) -> Iterator[Compared]:
        if not one.object_id:
            return _not_of(one, on_item[one.item_id])
        by_key = (_not_of(one, having.get((one.item_id, key), {})) for key in one.node_keys)
        return chain(_not_of(one, on_whole_item[one.item_id]), chain.from_iterable(by_key))

    pairs: list[tuple[Compared, Compared]] = []
    for one in ones:
        company = on_item[one.item_id]
        possible = sum(
            len(group)
            for workstation, group in company.items()
            if workstation != one.workstation_id
        )
        met: dict[uuid.UUID, Compared] = {}
        limit = min(each, possible)
        if limit:
            for other in candidates(one):
                if but_not(one, other):
                    continue
                met[other.id] = other
                if len(met) == limit:
                    break
        pairs += [(one, other) for other in met.values()]
    # Ids are compared by Python code, numbers are not.
    pairs.sort(key=lambda pair: (pair[0].id.int, pair[1].id.int))
    named = shared_each(len(pairs))
    cones = {one.id: frozenset(one.node_keys) for one in ones}
    return [
        Meeting(
            one.id,
            other.id,
            list(islice(filter(cones[one.id].__contains__, other.node_keys), named)),
        )
        for one, other in pairs
    ]


def evenly(pairs: Iterable[tuple[uuid.UUID, uuid.UUID]]) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Return no more than `MAX_MEETINGS` of these pairs, evenly for each first one of them, which has one at least.

    Args:
        pairs: each a session and one that it meets.
    """
    met: dict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
    for one, other in pairs:
        met[one].append(other)
    each = max(1, MAX_MEETINGS // max(1, len(met)))
    return [(one, other) for one in sorted(met) for other in sorted(met[one])[:each]]


def _groups() -> dict[Any, dict[uuid.UUID, list[Compared]]]:
    return defaultdict(lambda: defaultdict(list))


def _not_of(one: Compared, groups: ByWorkstation) -> Iterator[Compared]:
    for workstation_id, group in groups.items():
        if workstation_id != one.workstation_id:
            yield from group
