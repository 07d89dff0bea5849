"""The vocabulary of active edit sessions: which are stale, away, or in each other's way."""

import uuid
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import (
    BigIntegerField,
    DurationField,
    Func,
    OuterRef,
    Q,
    TextField,
    UUIDField,
    Value,
)
from django.db.models.functions import Now

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
    """Those node keys of a cone that are among the given ones, each once, sorted.

    Given as a constant, PostgreSQL hashes them once for all rows.
    """

    template = "ARRAY(SELECT DISTINCT key FROM unnest(%(expressions)s) ORDER BY key)"
    arg_joiner = ") key WHERE key = ANY("
    output_field = ArrayField(TextField())


@dataclass(frozen=True)
class Meeting:
    """Two sessions of different workstations that interfere softly.

    Attributes:
        session_id: the one that was asked about.
        other_id: the one that it meets.
        shared: the node keys that both cones have, sorted.
    """

    session_id: uuid.UUID
    other_id: uuid.UUID
    shared: Sequence[str]


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
        """Return every meeting of these sessions with others: two queries for any number of them.

        Args:
            ids: the sessions, on any number of items.
            also_among_them: whether those that they have with each other count; each is then named from both sides.

        Returns:
            The meetings, in the order of both ids.
        """
        every = self.model._default_manager
        asked = list(every.filter(pk__in=ids).values_list(*_COMPARED, "dependency_cone"))
        whole_items = {item_id for _, item_id, _, object_id, _ in asked if not object_id}
        # For each one a scan of the index: PostgreSQL's time for one scan grows with the square of its keys.
        reached = every.filter(pk__in=ids).values_list(
            _Unnest(
                ArraySubquery(
                    self._reached_by(
                        ConeKeys(OuterRef("item"), OuterRef("dependency_cone"))
                    ).values("pk")
                ),
                output_field=UUIDField(),
            )
        )
        others = self.filter(item__in={item_id for _, item_id, *_ in asked}).filter(
            Q(object_id="") | Q(item__in=whole_items) | Q(pk__in=reached)
        )
        if not also_among_them:
            others = others.exclude(pk__in=ids)
        keys = _text_array({key for *_, cone in asked for key in cone})
        shared = _SharedNodeKeys("dependency_cone", keys)
        return _meetings(asked, others.values_list(*_COMPARED, shared))

    def _reached_by(self, wanted: ConeKeys) -> "models.QuerySet[EditSession]":
        """Those whose cones have one of these keys.

        Nothing else is asked here, the item neither: there is no other index that the planner could take for it.
        """
        every: models.QuerySet[EditSession] = self.model._default_manager.all()
        keyed = every.alias(cone_keys=ConeKeys("item", "dependency_cone"))
        return keyed.filter(cone_keys__overlap=wanted)


# What two sessions are compared by, next to their cones.
_COMPARED = ("pk", "item_id", "workstation_id", "object_id")
_Compared = tuple[uuid.UUID, uuid.UUID, uuid.UUID, str, Sequence[str]]


def _text_array(texts: Collection[str]) -> Value:
    return Value(list(texts), ArrayField(TextField()))


def _meetings(asked: Collection[_Compared], others: Collection[_Compared]) -> list[Meeting]:
    """Return the meetings between two sets of sessions, key by key and not pair by pair."""
    # By item: who has which key, and who edits all of it. The latter meets everyone, whatever the keys.
    having: dict[tuple[uuid.UUID, str], list[_Compared]] = defaultdict(list)
    on_item: dict[uuid.UUID, list[_Compared]] = defaultdict(list)
    for session in asked:
        _, item_id, _, _, cone = session
        on_item[item_id].append(session)
        for key in set(cone):
            having[item_id, key].append(session)
    found: dict[tuple[uuid.UUID, uuid.UUID], list[str]] = {}
    for other_id, item_id, workstation_id, object_id, keys in others:
        for session_id, _, its_workstation_id, its_object_id, _ in on_item[item_id]:
            if its_workstation_id != workstation_id and not (object_id and its_object_id):
                found[session_id, other_id] = []
        # Sorted as the database does it.
        for key in keys:
            for session_id, _, its_workstation_id, _, _ in having.get((item_id, key), ()):
                if its_workstation_id != workstation_id:
                    found.setdefault((session_id, other_id), []).append(key)
    # Ids are compared by Python code, numbers are not.
    in_order = sorted(found, key=lambda pair: (pair[0].int, pair[1].int))
    return [Meeting(*pair, found[pair]) for pair in in_order]
