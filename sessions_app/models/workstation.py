"""Workstations: one client installation of one user each."""

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Case, When
from django.db.models.functions import Now

from events_app import timings
from events_app.models import is_connected
from events_app.presence.outages import observed_for
from sessions_app.roles import Role


class WorkstationQuerySet(models.QuerySet["Workstation"]):
    """Queries and locks of workstations."""

    def lock(self, ids: Collection[uuid.UUID]) -> list["Workstation"]:
        """Lock these workstations, the first in the order of locks; return those that exist."""
        return list(self.locking(ids)) if ids else []

    def locking(self, ids: Collection[uuid.UUID]) -> Self:
        """Return the query that locks these workstations, as `lock` does."""
        return self.filter(pk__any=ids).order_by("pk").select_for_update(no_key=True)

    def lock_ids(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Lock these workstations as `lock` does; return the ids of those that exist."""
        locked = self.filter(pk__any=ids).order_by("pk").select_for_update(no_key=True)
        return set(locked.values_list("pk", flat=True))

    def try_lock(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Lock those of these workstations that nobody else has locked; return which. Never waits."""
        free = self.filter(pk__in=ids).select_for_update(no_key=True, skip_locked=True)
        return set(free.values_list("pk", flat=True))

    def away(self, longer_than: timedelta) -> Self:
        """Those that have been away for longer, by the database's clock."""
        return self.filter(away_since__lt=Now() - longer_than)

    def served(self) -> Self:
        """Those with a stream on a server that lives.

        Right after an outage every server is silent; then each of them counts, until it has had the time to beat.
        """
        server_dead = timedelta(seconds=timings.configured().server_dead)
        since = Now() - server_dead
        beating = is_connected("pk", process__last_beat__gte=since)
        return self.filter(beating | (is_connected("pk") & ~observed_for(server_dead)))

    def reachable(self) -> Self:
        """Those that would hear of their turn, and may have it: served, and of users who may edit."""
        return self.served().filter(user__in=Role.EDITOR.users())

    def idle(self, longer_than: timedelta) -> Self:
        """Those that nobody has touched for longer, by their clients' word and the database's clock."""
        return self.filter(idle_since__lt=Now() - longer_than)

    def become_idle(self, since: Mapping[uuid.UUID, datetime]) -> None:
        """Note since when each of these (locked) workstations is idle, and that its watchers are notified now."""
        rows = [Workstation(pk=pk, idle_since=at) for pk, at in sorted(since.items())]
        self.bulk_update(rows, ["idle_since"])
        self.filter(pk__in=since).update(idle_told_at=Now())

    def forget_departure(self) -> None:
        """They are here, or their server was lost: no departure of before counts."""
        self.filter(departed_at__isnull=False).update(
            departed_at=None, departed_by=None, away_since=None
        )

    def with_now(self) -> Self:
        """Load `now`, by the database's clock."""
        return self.annotate(now=Now())

    def with_presence(self) -> Self:
        """Load `connected`, and `seen_at`: now where it is, else when it was last seen."""
        return self.annotate(connected=is_connected("pk")).annotate(
            seen_at=Case(When(connected=True, then=Now()), default="last_seen")
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

    # Not columns: only rows of the queries that annotate them have these.
    now: datetime  # `with_now`
    connected: bool  # `with_presence`
    seen_at: datetime  # `with_presence`

    objects = WorkstationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "fingerprint"], name="workstation_of_user_by_fingerprint"
            )
        ]

    def __str__(self) -> str:
        return self.name
