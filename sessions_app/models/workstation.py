"""Workstations: one client installation of one user each."""

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from functools import partial, reduce
from operator import or_
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Case, DurationField, Exists, OuterRef, Q, Value, When
from django.db.models.functions import Now

from events_app import timings
from events_app.database.lock_retry import with_lock_retry
from events_app.models import is_connected
from events_app.presence.outages import observed_for
from sessions_app.models.ended_session import EndReason
from sessions_app.roles import Role
from sessions_app.steps import STEP_WORKSTATIONS, batched


class WorkstationQuerySet(models.QuerySet["Workstation"]):
    """The vocabulary of workstations."""

    def lock(self, ids: Collection[uuid.UUID]) -> list["Workstation"]:
        """Lock these workstations, the first in the order of locks; return those that exist."""
        return list(self.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True))

    def try_lock(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Lock those of these workstations that nobody else has locked; return which. Never waits."""
        free = self.filter(pk__in=ids).select_for_update(no_key=True, skip_locked=True)
        return set(free.values_list("pk", flat=True))

    def remove(
        self, ids: Collection[uuid.UUID], ended_by: str = "", *, only_empty: bool = False
    ) -> int:
        """Delete these workstations and release what they hold, in steps; return how many were deleted.

        Args:
            ids: the workstations.
            ended_by: the name of who does it, if it is not their user.
            only_empty: leave those alone that hold something or wait for it.
        """
        from sessions_app.models.edit_session import EditSession  # which imports this file

        def remove(some: Collection[uuid.UUID], also: Collection[uuid.UUID]) -> int | None:
            # Deleting needs the whole row's lock, so it is taken from the start.
            locked = self.filter(pk__in={*some, *also}).order_by("pk").select_for_update()
            found = set(locked.values_list("pk", flat=True)) & set(some)
            if only_empty:
                found -= set(
                    self.filter(_has_something(), pk__in=found).values_list("pk", flat=True)
                )
            ended = EditSession.objects.release_for_workstation(
                found, EndReason.WORKSTATION_DELETED, ended_by=ended_by, leaving=found
            )
            if ended.more:
                return None
            self.filter(pk__in=found).delete()
            return len(found)

        count = 0
        for some in batched(sorted(set(ids)), STEP_WORKSTATIONS):
            while (removed := with_lock_retry(partial(remove, some))) is None:
                pass
            count += removed
        return count

    def away(self, longer_than: timedelta) -> "WorkstationQuerySet":
        """Those that have been away for longer, by the database's clock."""
        return self.filter(away_since__lt=Now() - Value(longer_than, DurationField()))

    def served(self) -> "WorkstationQuerySet":
        """Those with a stream on a server that lives.

        Right after an outage every server is silent; then each of them counts, until it has had the time to beat.
        """
        server_dead = timedelta(seconds=timings.configured().server_dead)
        since = Now() - Value(server_dead, DurationField())
        beating = is_connected("pk", process__last_beat__gte=since)
        return self.filter(beating | (is_connected("pk") & ~observed_for(server_dead)))

    def reachable(self) -> "WorkstationQuerySet":
        """Those that would hear of their turn, and may have it: served, and of users who may edit."""
        return self.served().filter(user__in=Role.EDITOR.users())

    def idle(self, longer_than: timedelta) -> "WorkstationQuerySet":
        """Those that nobody has touched for longer, by their clients' word and the database's clock."""
        return self.filter(idle_since__lt=Now() - Value(longer_than, DurationField()))

    def become_idle(self, since: Mapping[uuid.UUID, datetime]) -> None:
        """Note since when nobody has touched each of these (locked) workstations, which is going to be told."""
        rows = [Workstation(pk=pk, idle_since=at) for pk, at in sorted(since.items())]
        self.bulk_update(rows, ["idle_since"])
        self.filter(pk__in=since).update(idle_told_at=Now())

    def forget_departure(self) -> None:
        """They are here, or their server was lost: no departure of before counts."""
        self.filter(departed_at__isnull=False).update(
            departed_at=None, departed_by=None, away_since=None
        )

    def with_presence(self) -> "models.QuerySet[Any]":
        """Annotate `connected`, and `seen_at`: now where it is, else when it was last seen."""
        return self.annotate(connected=is_connected("pk")).annotate(
            seen_at=Case(When(connected=True, then=Now()), default="last_seen")
        )


def _has_something() -> Q:
    """The condition that it holds an edit session, stands in line, or has asked for a hand-off."""
    from sessions_app import models as all_models  # which import this file

    things = (all_models.EditSession, all_models.PlaceInLine, all_models.HandoffRequest)
    return reduce(
        or_, (Q(Exists(thing.objects.filter(workstation=OuterRef("pk")))) for thing in things)
    )


class Workstation(models.Model):
    """One client installation, the presence key of its streams."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="workstations"
    )
    name = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_seen = models.DateTimeField(db_default=Now(), editable=False)
    departed_at = models.DateTimeField(
        null=True, editable=False, help_text="When its last stream ended by the client's doing"
    )
    away_since = models.DateTimeField(
        null=True, editable=False, help_text="With a grace: since when it has no stream"
    )
    idle_since = models.DateTimeField(
        null=True, editable=False, help_text="Since when nobody touches it, by its client's word"
    )
    idle_told_at = models.DateTimeField(
        null=True, editable=False, help_text="When others were last told since when it is idle"
    )
    machine = models.TextField(
        default="",
        db_default="",
        editable=False,
        help_text="The running machine that registered it last, if it said so",
    )
    departed_by = models.UUIDField(
        null=True, editable=False, help_text="The server process that saw it depart"
    )

    objects = WorkstationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "fingerprint"], name="workstation_of_user_by_fingerprint"
            )
        ]

    def __str__(self) -> str:
        return self.name
