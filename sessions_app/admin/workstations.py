"""The page of workstations."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.timezone import localtime

from sessions_app import operations
from sessions_app.admin.base import (
    ConnectedColumn,
    ConnectedFilter,
    ReadOnlyModelAdmin,
    how_many,
    is_admin,
)
from sessions_app.models import EditSession, Workstation


@admin.register(Workstation)
class WorkstationAdmin(ConnectedColumn, ReadOnlyModelAdmin):
    """Workstations: looked at, and removed by the role admin.

    Clients register them. Removing one goes the way of the API: its sessions are released, recorded and told.
    """

    list_help = (
        "Clients register their workstations themselves. Deleting one releases its sessions."
    )
    list_display = ("name", "owner", "connected", "seen_at", "sessions", "fingerprint")
    list_display_links = ("name",)
    list_select_related = ("user",)
    list_filter = (ConnectedFilter,)
    search_fields = ("name", "fingerprint", "user__username")
    ordering = ("name", "pk")
    fields = (
        "id",
        "name",
        "owner",
        "fingerprint",
        "connected",
        "seen_at",
        "departed_at",
        "away_since",
        "idle_since",
        "sessions",
        "created_at",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return them with their presence and how many sessions they hold."""
        workstations: QuerySet[Any] = Workstation.objects.with_presence().annotate(
            sessions_held=how_many(EditSession.objects.all(), "workstation")
        )
        return workstations

    @admin.display(description="last seen", ordering="seen_at")
    def seen_at(self, workstation: Any) -> str:
        """Now where it is connected."""
        return date_format(localtime(workstation.seen_at), "DATETIME_FORMAT")

    @admin.display(description="sessions", ordering="sessions_held")
    def sessions(self, workstation: Any) -> int:
        """How many sessions it holds."""
        return int(workstation.sessions_held)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_admin(request)

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Name the workstations and the sessions that this deletion ends; no foreign key protects either."""
        workstations = list(objs)
        held = Counter(
            EditSession.objects.filter(workstation__in=workstations).values_list(
                "workstation_id", flat=True
            )
        )
        lines = [
            f"{workstation.name} of {workstation.user} (sessions: {held[workstation.pk]})"
            for workstation in workstations
        ]
        counts = {"Workstations": len(workstations), "Sessions to be released": held.total()}
        return lines, counts, set(), []

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        operations.workstations.delete([obj.pk], request.user.get_username())

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        ids = list(queryset.order_by().values_list("pk", flat=True))
        operations.workstations.delete(ids, request.user.get_username())
