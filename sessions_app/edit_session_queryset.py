"""The vocabulary of active edit sessions: which are stale, away, or in each other's way."""

import uuid
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import (
    BigIntegerField,
    DurationField,
    Func,
    IntegerField,
    OuterRef,
    Q,
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


class Cardinality(Func):
    """How many elements an array has."""

    function = "cardinality"
    output_field = IntegerField()


class _Unnest(Func):
    """The elements of an array, a row for each."""

    function = "unnest"
    set_returning = True


class _SharedNodeKeys(Func):
    """Those node keys of a cone that are among the given ones, each once, sorted.

    Given as a constant, PostgreSQL hashes them once for all rows.
    """

    template = "ARRAY(SELECT DISTINCT key FROM unnest(%(expressions)s) ORDER BY key)"
    arg_joiner = ") key WHERE key = ANY("
    output_field = ArrayField(TextField())


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

    def meeting(
        self,
        item_id: uuid.UUID,
        workstation_id: uuid.UUID,
        object_id: str,
        cone: Sequence[str],
    ) -> "list[EditSession]":
        """Return those of other workstations that interfere softly with an edit. See docs/interference.md.

        Args:
            item_id: the item that is edited.
            workstation_id: the workstation that edits.
            object_id: what it edits; "" is the whole item, which meets every object of it.
            cone: the node keys that the edit can reach.

        Returns:
            They, with `shared`, the node keys that both cones have.
        """
        others = self.filter(item=item_id).exclude(workstation=workstation_id)
        keys = _text_array(cone)
        if object_id:
            wanted = _WantedConeKeys(Value(item_id, UUIDField()), keys)
            others = others.filter(Q(object_id="") | Q(pk__in=self._reached_by(wanted)))
        found = others.annotate(shared=_SharedNodeKeys("dependency_cone", keys))
        # Of two keys that are the same number nothing is shared.
        return [other for other in found if other.shared or not (object_id and other.object_id)]

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
        self, ids: Collection[uuid.UUID], new: Collection[uuid.UUID]
    ) -> tuple[list[Meeting], list[Meeting]]:
        """Return whom these sessions meet, each other among them, and which others meet new ones of these.

        Two queries, and each list is bounded as that of `meetings_of`.
        """
        asked = self.compared(ids)
        company = self.company(asked, also_among_them=True)
        known = {one.id for one in asked}
        others = [one for one in company if one.id not in known]
        begun = [one for one in asked if one.id in new]
        return interference.meetings(asked, company), interference.meetings(others, begun)

    def met_by(self, ids: Collection[uuid.UUID]) -> list[Meeting]:
        """Return the same from the other side: each other session that meets any of these, and whom of them."""
        asked = self.compared(ids)
        return interference.meetings(self.company(asked), asked)

    def compared(self, ids: Collection[uuid.UUID]) -> list[Compared]:
        """Return what these sessions are compared by, each node key once, sorted."""
        rows = self.model._default_manager.filter(pk__in=ids)
        of_each = [Compared(*row) for row in rows.values_list(*_COMPARED, "dependency_cone")]
        return [one._replace(node_keys=sorted(set(one.node_keys))) for one in of_each]

    def company(
        self, asked: Collection[Compared], *, also_among_them: bool = False
    ) -> list[Compared]:
        """Return all that may meet one of these, with the node keys that any of these has.

        Args:
            asked: sessions. The cones by which the others are found are those in the database.
            also_among_them: whether they may meet each other.
        """
        ids = [one.id for one in asked]
        whole_items = {one.item_id for one in asked if not one.object_id}
        # For each one a scan of the index: PostgreSQL's time for one scan grows with the square of its keys.
        reached = self.model._default_manager.filter(pk__in=ids).values_list(
            _Unnest(
                ArraySubquery(
                    self._reached_by(
                        ConeKeys(OuterRef("item"), OuterRef("dependency_cone"))
                    ).values("pk")
                ),
                output_field=UUIDField(),
            )
        )
        others = self.filter(item__in={one.item_id for one in asked}).filter(
            Q(object_id="") | Q(item__in=whole_items) | Q(pk__in=reached)
        )
        if not also_among_them:
            others = others.exclude(pk__in=ids)
        keys = _text_array({key for one in asked for key in one.node_keys})
        shared = _SharedNodeKeys("dependency_cone", keys)
        return [Compared(*row) for row in others.values_list(*_COMPARED, shared)]

    def _reached_by(self, wanted: ConeKeys) -> "models.QuerySet[EditSession]":
        """Those whose cones have one of these keys.

        Nothing else is asked here, the item neither: there is no other index that the planner could take for it.
        """
        every: models.QuerySet[EditSession] = self.model._default_manager.all()
        keyed = every.alias(cone_keys=ConeKeys("item", "dependency_cone"))
        return keyed.filter(cone_keys__overlap=wanted)


# What two sessions are compared by, next to their cones.
_COMPARED = ("pk", "item_id", "workstation_id", "object_id")


def _text_array(texts: Collection[str]) -> Value:
    return Value(list(texts), ArrayField(TextField()))
