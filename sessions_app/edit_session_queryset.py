"""The vocabulary of active edit sessions: which are stale, away, or in each other's way."""

import uuid
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import (
    DurationField,
    F,
    Func,
    Q,
    TextField,
    Value,
)
from django.db.models.functions import Now


class _SharedNodeKeys(Func):
    """The node keys that two arrays have in common, sorted."""

    template = "ARRAY(SELECT unnest(%(expressions)s) ORDER BY 1)"
    arg_joiner = ") INTERSECT SELECT unnest("
    output_field = ArrayField(TextField())


class Meeting(NamedTuple):
    """Two sessions of different workstations on one item whose cones meet."""

    session_id: uuid.UUID
    other_id: uuid.UUID
    shared: list[str]


class EditSessionQuerySet(models.QuerySet[Any]):
    """The vocabulary of active sessions."""

    def stale(self, timeout: timedelta) -> "EditSessionQuerySet":
        """Those without a heartbeat for longer than `timeout`, by the database's clock."""
        return self.filter(last_heartbeat__lt=Now() - Value(timeout, DurationField()))

    def with_names(self) -> "EditSessionQuerySet":
        """Load what a session is shown with; a cone may have 10,000 keys and is left out."""
        return self.select_related("item", "user", "workstation").defer("dependency_cone")

    def meeting(
        self, workstation_id: uuid.UUID, object_id: str, cone: Sequence[str]
    ) -> "EditSessionQuerySet":
        """Those of other workstations that interfere softly with an edit of the same item.

        Args:
            workstation_id: the workstation that edits.
            object_id: what it edits; "" is the whole item, which meets every object of it.
            cone: the node keys that the edit can reach.

        Returns:
            They, annotated with `shared`, the node keys that both cones have.
        """
        others = self.exclude(workstation=workstation_id)
        keys = Value(list(cone), ArrayField(TextField()))
        if object_id:
            others = others.filter(Q(object_id="") | Q(dependency_cone__overlap=keys))
        meeting: EditSessionQuerySet = others.annotate(
            shared=_SharedNodeKeys(F("dependency_cone"), keys)
        )
        return meeting

    def meetings_of(self, ids: Collection[uuid.UUID]) -> list[Meeting]:
        """Provisional."""
        out = []
        for s in self.filter(pk__in=ids).order_by("pk"):
            for o in (
                self.filter(item=s.item_id)
                .meeting(s.workstation_id, s.object_id, s.dependency_cone)
                .order_by("pk")
            ):
                out.append(Meeting(s.pk, o.pk, o.shared))
        return out

    def older_than(self, age: timedelta) -> "EditSessionQuerySet":
        """Those acquired longer ago than `age`, by the database's clock."""
        return self.filter(acquired_at__lt=Now() - Value(age, DurationField()))
