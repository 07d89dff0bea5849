"""The vocabulary of active edit sessions: which are stale, away, or in each other's way."""

import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

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
