"""Which sessions the database finds to meet, by their cones. See docs/interference.md.

`every` is the query of all sessions: an explicit argument, because these functions stand below the manager.
"""

import uuid
from collections import defaultdict
from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.db.models import (
    BigIntegerField,
    BooleanField,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Sum,
    TextField,
    UUIDField,
    Value,
)

from sessions_app.interference import compare
from sessions_app.interference.compare import Compared, Meeting
from sessions_app.interference.holdings import Held
from sessions_app.models.results import Conflict

if TYPE_CHECKING:
    from sessions_app.models.abstract_edit_session import AbstractEditSession
    from sessions_app.models.edit_session_queryset import EditSessionQuerySet


class ConeKeys(Func):
    """An item and a cone as numbers, one for each node key; what the index on cones holds."""

    function = "sessions_app_cone_keys"
    output_field = ArrayField(BigIntegerField())


class _WantedConeKeys(ConeKeys):
    """The same of a cone that is given, kept from the planner.

    It would take the chance of each of 10,000 keys for a row, expect every row, and read the whole table.
    """

    template = "(SELECT %(function)s(%(expressions)s))"


class HasKeys(Func):
    """Whether a cone is not empty: the index's condition, which a query has to repeat word for word to use it."""

    template = "(%(expressions)s <> '{}')"
    output_field = BooleanField()


class _Unnest(Func):
    """The elements of an array, a row for each."""

    function = "unnest"
    set_returning = True


class _SharedNodeKeys(Func):
    """Those node keys of a cone that are among the given ones, each once, sorted, at most `most` of them.

    Given as a constant, PostgreSQL hashes them once for all rows.
    """

    template = "ARRAY(SELECT DISTINCT key FROM unnest(%(expressions)s) ORDER BY key LIMIT %(most)s)"
    arg_joiner = ") key WHERE key = ANY("
    output_field = ArrayField(TextField())


class _Row(NamedTuple):
    """What two sessions are compared by, next to their cones."""

    id: uuid.UUID
    item_id: uuid.UUID
    workstation_id: uuid.UUID
    object_id: str


# The same as columns.
_COMPARED = ("pk", "item_id", "workstation_id", "object_id")


def meeting(among: "EditSessionQuerySet", edit: Compared, most: int) -> list[Conflict]:
    """Return those of other workstations that interfere softly with an edit.

    Args:
        among: the sessions that are looked at.
        edit: the edit. One of the whole item, without an object, meets every object of it.
        most: how many node keys of each are named at most.

    Returns:
        They, at most `compare.MAX_MEETINGS`, with the node keys that both cones have.
    """
    keys = _text_array(edit.node_keys)
    found = reached(among, edit).with_shared(_SharedNodeKeys("dependency_cone", keys, most=most))
    # Of two keys that are the same number nothing is shared.
    return [
        Conflict(other, other.shared)
        for other in found[: compare.MAX_MEETINGS]
        if other.shared or not (edit.object_id and other.object_id)
    ]


def reached(among: "EditSessionQuerySet", edit: Compared) -> "EditSessionQuerySet":
    """Return those of other workstations whose cones have a number in common with that of an edit."""
    others = among.filter(item=edit.item_id).exclude(workstation=edit.workstation_id)
    if edit.object_id:
        keys = _text_array(edit.node_keys)
        wanted = _WantedConeKeys(Value(edit.item_id, UUIDField()), keys)
        others = others.filter(
            Q(object_id="") | Q(pk__in=_reached_by(among.model._default_manager.all(), wanted))
        )
    return others


def pairs(
    every: "EditSessionQuerySet",
    ids: Collection[uuid.UUID],
    most: int,
    *,
    also_among_them: bool = False,
) -> dict[uuid.UUID, list[uuid.UUID]]:
    """Return whom each of these sessions meets, by the index alone: no cone is read, however large it is.

    Among them may be some whose cones have a number in common and no node key, on the largest of items.

    Args:
        ids: the sessions.
        most: how many others are named with each at most.
        also_among_them: whether they may meet each other.
    """
    others = every if also_among_them else every.exclude(pk__in=ids)
    asked = [_Row(*row) for row in every.filter(pk__in=ids).values_list(*_COMPARED)]
    whole_items = {one.item_id for one in asked if not one.object_id}
    wholes = Q(object_id="", item__in={one.item_id for one in asked})
    on_items: dict[uuid.UUID, list[_Row]] = defaultdict(list)
    on_whole_items: dict[uuid.UUID, list[_Row]] = defaultdict(list)
    rows = others.filter(wholes | Q(item__in=whole_items)).values_list(*_COMPARED)
    for row in map(_Row._make, rows[: compare.MAX_PAIRS]):
        on_items[row.item_id].append(row)
        if not row.object_id:
            on_whole_items[row.item_id].append(row)
    met = {}
    for one in asked:
        on_item = (on_whole_items if one.object_id else on_items)[one.item_id]
        different = (other.id for other in on_item if other.workstation_id != one.workstation_id)
        met[one.id] = list(islice(different, most))
    keys = ConeKeys(OuterRef("item"), OuterRef("dependency_cone"))
    keyed = _reached_by(every, keys).exclude(workstation=OuterRef("workstation"))
    if not also_among_them:
        keyed = keyed.exclude(pk__in=ids)
    found = ArraySubquery(keyed.values("pk")[:most])
    by_index = every.filter(pk__in=ids).exclude(object_id="")
    for pk, some in by_index.values_list("pk", found):
        met[pk] += some
    return {pk: list(dict.fromkeys(some))[:most] for pk, some in met.items()}


def meetings_of(
    every: "EditSessionQuerySet", ids: Collection[uuid.UUID], *, also_among_them: bool = False
) -> list[Meeting]:
    """Return whom these sessions meet: two queries for any number of them.

    Args:
        ids: the sessions, on any number of items.
        also_among_them: whether those that they have with each other count; each is then named from both sides.

    Returns:
        The meetings, in the order of both ids; no more than `compare.MAX_MEETINGS`, but each session that
        meets anybody has one.
    """
    asked = compared(every, ids)
    return compare.meetings(asked, company(every, asked, also_among_them=also_among_them))


def meetings_with(
    every: "EditSessionQuerySet",
    ids: Collection[uuid.UUID],
    new: Collection[uuid.UUID],
    *,
    by_index: bool = True,
) -> tuple[list[Meeting], list[Meeting]]:
    """Return whom these sessions meet, each other among them, and which others meet new ones of these.

    Two queries, and each list is bounded as that of `meetings_of`.
    """
    asked = compared(every, ids)
    together = company(every, asked, also_among_them=True, by_index=by_index)
    known = {one.id for one in asked}
    others = [one for one in together if one.id not in known]
    begun = [one for one in asked if one.id in new]
    return compare.meetings(asked, together), compare.meetings(others, begun)


def met_by(
    every: "EditSessionQuerySet", ids: Collection[uuid.UUID], *, by_index: bool = True
) -> list[Meeting]:
    """Return the same from the other side: each other session that meets any of these, and whom of them."""
    asked = compared(every, ids)
    return compare.meetings(company(every, asked, by_index=by_index), asked)


def compared(every: "EditSessionQuerySet", ids: Collection[uuid.UUID]) -> list[Compared]:
    """Return what these sessions are compared by, each node key once, sorted."""
    rows = every.filter(pk__in=ids)
    of_each = [Compared(*row) for row in rows.values_list(*_COMPARED, "dependency_cone")]
    return [one._replace(node_keys=sorted(set(one.node_keys))) for one in of_each]


def company(
    every: "EditSessionQuerySet",
    asked: Collection[Compared],
    *,
    also_among_them: bool = False,
    by_index: bool = True,
) -> list[Compared]:
    """Return all that may meet one of these, with the node keys that any of these has.

    Args:
        asked: sessions. The cones by which the others are found are those in the database.
        also_among_them: whether they may meet each other.
        by_index: whether they are looked for in the index. It is quicker to read all on the items, if these
            have few node keys.
    """
    others = _company_of(every, asked, by_index=by_index)
    if not also_among_them:
        others = others.exclude(pk__in=[one.id for one in asked])
    keys = _text_array({key for one in asked for key in one.node_keys})
    shared = _SharedNodeKeys("dependency_cone", keys, most=compare.MAX_COMPARED)
    return [Compared(*row) for row in others.values_list(*_COMPARED, shared)]


def node_keys_reached(every: "EditSessionQuerySet", sessions: Collection[Held]) -> int:
    """Return how many node keys those have together that may meet one of these sessions."""
    asked = [_Row(one.pk, one.item_id, one.workstation_id, one.object_id) for one in sessions]
    may_meet = _company_of(every, asked, by_index=True)
    return may_meet.aggregate(keys=Sum("node_keys"))["keys"] or 0


def _company_of(
    every: "EditSessionQuerySet", asked: "Collection[Compared | _Row]", *, by_index: bool
) -> "EditSessionQuerySet":
    others = every.filter(item__in={one.item_id for one in asked})
    workstations = {one.workstation_id for one in asked}
    if len(workstations) == 1:
        # Nobody meets oneself.
        others = others.exclude(workstation__in=workstations)
    if not by_index:
        return others
    whole_items = {one.item_id for one in asked if not one.object_id}
    # For each one a scan of the index: PostgreSQL's time for one scan grows with the square of its keys.
    rows = every.filter(pk__in=[one.id for one in asked])
    by_cone = rows.values_list(
        _Unnest(
            ArraySubquery(
                _reached_by(every, ConeKeys(OuterRef("item"), OuterRef("dependency_cone"))).values(
                    "pk"
                )
            ),
            output_field=UUIDField(),
        )
    )
    return others.filter(Q(object_id="") | Q(item__in=whole_items) | Q(pk__in=by_cone))


def _reached_by(
    every: "QuerySet[AbstractEditSession]", wanted: ConeKeys
) -> "QuerySet[AbstractEditSession]":
    """Those whose cones have one of these keys.

    Nothing else is asked here but what the index asks, the item neither: there is no other index that the planner could
    take for it.
    """
    keyed = every.alias(cone_keys=ConeKeys("item", "dependency_cone"))
    return keyed.filter(HasKeys("dependency_cone"), cone_keys__overlap=wanted)


def _text_array(texts: Collection[str]) -> Value:
    return Value(list(texts), ArrayField(TextField()))
