"""The vocabulary of active edit sessions: which are stale, away, or in each other's way."""

import uuid
from collections import defaultdict
from collections.abc import Collection
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import (
    BigIntegerField,
    Count,
    DurationField,
    Func,
    OuterRef,
    Q,
    Sum,
    TextField,
    UUIDField,
    Value,
)
from django.db.models.functions import Now

from sessions_app import interference
from sessions_app.interference import Compared, Meeting

if TYPE_CHECKING:
    from sessions_app.models.edit_session import EditSession


class ConeKeys(Func):
    """An item and a cone as numbers, one for each node key; what the index on cones holds."""

    function = "sessions_app_cone_keys"
    output_field = ArrayField(BigIntegerField())


class _WantedConeKeys(ConeKeys):
    """The same of a cone that is given, kept from the planner.

    It would take the chance of each of 10,000 keys for a row, expect every row, and read the whole table.
    """

    template = "(SELECT %(function)s(%(expressions)s))"


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


class Holding(NamedTuple):
    """How many sessions there are, and node keys in their cones."""

    sessions: int = 0
    node_keys: int = 0


# Who holds how much on each item: item, workstation, how much.
Holders = dict[uuid.UUID, dict[uuid.UUID, Holding]]


class EditSessionQuerySet(models.QuerySet[Any]):
    """The vocabulary of active sessions."""

    def stale(self, timeout: timedelta) -> "EditSessionQuerySet":
        """Those without a heartbeat for longer than `timeout`, by the database's clock."""
        return self.filter(last_heartbeat__lt=Now() - Value(timeout, DurationField()))

    def older_than(self, age: timedelta) -> "EditSessionQuerySet":
        """Those acquired longer ago than `age`, by the database's clock."""
        return self.filter(acquired_at__lt=Now() - Value(age, DurationField()))

    def with_names(self) -> "EditSessionQuerySet":
        """Load what a session is shown with; a cone may have 10,000 keys and is left out."""
        return self.select_related("item", "user", "workstation").defer("dependency_cone")

    def holders(self, items: Collection[uuid.UUID]) -> Holders:
        """Return who holds how much on these items."""
        found: Holders = defaultdict(dict)
        rows = self.filter(item_id__in=items).order_by().values_list("item_id", "workstation_id")
        for item, workstation, count, keys in rows.annotate(Count("pk"), Sum("node_keys")):
            found[item][workstation] = Holding(count, keys)
        return found

    def meeting(self, edit: Compared, most: int) -> "list[EditSession]":
        """Return those of other workstations that interfere softly with an edit. See docs/interference.md.

        Args:
            edit: the edit. One of the whole item, without an object, meets every object of it.
            most: how many node keys of each are named at most.

        Returns:
            They, at most `interference.MAX_MEETINGS`, with `shared`, the node keys that both cones have.
        """
        keys = _text_array(edit.node_keys)
        found = self.reached(edit).annotate(
            shared=_SharedNodeKeys("dependency_cone", keys, most=most)
        )
        # Of two keys that are the same number nothing is shared.
        return [
            other
            for other in found[: interference.MAX_MEETINGS]
            if other.shared or not (edit.object_id and other.object_id)
        ]

    def reached(self, edit: Compared) -> "EditSessionQuerySet":
        """Return those of other workstations whose cones have a number in common with that of an edit."""
        others = self.filter(item=edit.item_id).exclude(workstation=edit.workstation_id)
        if edit.object_id:
            keys = _text_array(edit.node_keys)
            wanted = _WantedConeKeys(Value(edit.item_id, UUIDField()), keys)
            others = others.filter(Q(object_id="") | Q(pk__in=self._reached_by(wanted)))
        return others

    def pairs(
        self, ids: Collection[uuid.UUID], most: int, *, also_among_them: bool = False
    ) -> dict[uuid.UUID, list[uuid.UUID]]:
        """Return whom each of these sessions meets, by the index alone: no cone is read, however large it is.

        Among them may be some whose cones have a number in common and no node key, on the largest of items.

        Args:
            ids: the sessions.
            most: how many others are named with each at most.
            also_among_them: whether they may meet each other.
        """
        every: EditSessionQuerySet = self.model._default_manager.all()
        others = every if also_among_them else every.exclude(pk__in=ids)
        asked = [_Row(*row) for row in every.filter(pk__in=ids).values_list(*_COMPARED)]
        whole_items = {one.item_id for one in asked if not one.object_id}
        wholes = Q(object_id="", item__in={one.item_id for one in asked})
        on_items: dict[uuid.UUID, list[_Row]] = defaultdict(list)
        on_whole_items: dict[uuid.UUID, list[_Row]] = defaultdict(list)
        rows = others.filter(wholes | Q(item__in=whole_items)).values_list(*_COMPARED)
        for row in map(_Row._make, rows[: interference.MAX_PAIRS]):
            on_items[row.item_id].append(row)
            if not row.object_id:
                on_whole_items[row.item_id].append(row)
        met = {}
        for one in asked:
            company = (on_whole_items if one.object_id else on_items)[one.item_id]
            different = (
                other.id for other in company if other.workstation_id != one.workstation_id
            )
            met[one.id] = list(islice(different, most))
        keys = ConeKeys(OuterRef("item"), OuterRef("dependency_cone"))
        reached = self._reached_by(keys).exclude(workstation=OuterRef("workstation"))
        if not also_among_them:
            reached = reached.exclude(pk__in=ids)
        found = ArraySubquery(reached.values("pk")[:most])
        by_index = every.filter(pk__in=ids).exclude(object_id="")
        for pk, some in by_index.values_list("pk", found):
            met[pk] += some
        return {pk: list(dict.fromkeys(some))[:most] for pk, some in met.items()}

    def meetings_of(
        self, ids: Collection[uuid.UUID], *, also_among_them: bool = False
    ) -> list[Meeting]:
        """Return whom these sessions meet: two queries for any number of them.

        Args:
            ids: the sessions, on any number of items.
            also_among_them: whether those that they have with each other count; each is then named from both sides.

        Returns:
            The meetings, in the order of both ids; no more than `interference.MAX_MEETINGS`, but each session that
            meets anybody has one.
        """
        asked = self.compared(ids)
        return interference.meetings(asked, self.company(asked, also_among_them=also_among_them))

    def meetings_with(
        self, ids: Collection[uuid.UUID], new: Collection[uuid.UUID], *, by_index: bool = True
    ) -> tuple[list[Meeting], list[Meeting]]:
        """Return whom these sessions meet, each other among them, and which others meet new ones of these.

        Two queries, and each list is bounded as that of `meetings_of`.
        """
        asked = self.compared(ids)
        company = self.company(asked, also_among_them=True, by_index=by_index)
        known = {one.id for one in asked}
        others = [one for one in company if one.id not in known]
        begun = [one for one in asked if one.id in new]
        return interference.meetings(asked, company), interference.meetings(others, begun)

    def met_by(self, ids: Collection[uuid.UUID], *, by_index: bool = True) -> list[Meeting]:
        """Return the same from the other side: each other session that meets any of these, and whom of them."""
        asked = self.compared(ids)
        return interference.meetings(self.company(asked, by_index=by_index), asked)

    def compared(self, ids: Collection[uuid.UUID]) -> list[Compared]:
        """Return what these sessions are compared by, each node key once, sorted."""
        rows = self.model._default_manager.filter(pk__in=ids)
        of_each = [Compared(*row) for row in rows.values_list(*_COMPARED, "dependency_cone")]
        return [one._replace(node_keys=sorted(set(one.node_keys))) for one in of_each]

    def company(
        self,
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
        others = self._company_of(asked, by_index=by_index)
        if not also_among_them:
            others = others.exclude(pk__in=[one.id for one in asked])
        keys = _text_array({key for one in asked for key in one.node_keys})
        shared = _SharedNodeKeys("dependency_cone", keys, most=interference.MAX_COMPARED)
        return [Compared(*row) for row in others.values_list(*_COMPARED, shared)]

    def node_keys_reached(self, sessions: "Collection[EditSession]") -> int:
        """Return how many node keys those have together that may meet one of these sessions."""
        asked = [_Row(one.pk, one.item_id, one.workstation_id, one.object_id) for one in sessions]
        reached = self._company_of(asked, by_index=True)
        return reached.aggregate(keys=Sum("node_keys"))["keys"] or 0

    def _company_of(
        self, asked: "Collection[Compared | _Row]", *, by_index: bool
    ) -> "EditSessionQuerySet":
        others = self.filter(item__in={one.item_id for one in asked})
        workstations = {one.workstation_id for one in asked}
        if len(workstations) == 1:
            # Nobody meets oneself.
            others = others.exclude(workstation__in=workstations)
        if not by_index:
            return others
        whole_items = {one.item_id for one in asked if not one.object_id}
        # For each one a scan of the index: PostgreSQL's time for one scan grows with the square of its keys.
        rows = self.model._default_manager.filter(pk__in=[one.id for one in asked])
        reached = rows.values_list(
            _Unnest(
                ArraySubquery(
                    self._reached_by(
                        ConeKeys(OuterRef("item"), OuterRef("dependency_cone"))
                    ).values("pk")
                ),
                output_field=UUIDField(),
            )
        )
        return others.filter(Q(object_id="") | Q(item__in=whole_items) | Q(pk__in=reached))

    def _reached_by(self, wanted: ConeKeys) -> "models.QuerySet[EditSession]":
        """Those whose cones have one of these keys.

        Nothing else is asked here, the item neither: there is no other index that the planner could take for it.
        """
        every: models.QuerySet[EditSession] = self.model._default_manager.all()
        keyed = every.alias(cone_keys=ConeKeys("item", "dependency_cone"))
        return keyed.filter(cone_keys__overlap=wanted)


class _Row(NamedTuple):
    """What two sessions are compared by, next to their cones."""

    id: uuid.UUID
    item_id: uuid.UUID
    workstation_id: uuid.UUID
    object_id: str


# The same as columns.
_COMPARED = ("pk", "item_id", "workstation_id", "object_id")


def _text_array(texts: Collection[str]) -> Value:
    return Value(list(texts), ArrayField(TextField()))
