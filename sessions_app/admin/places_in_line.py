"""The page of the line."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from events_app.models import is_connected
from sessions_app.admin.base import (
    ConnectedColumn,
    ConnectedFilter,
    ObjectColumn,
    PartNumberSearch,
    ReadOnlyModelAdmin,
    user_shown,
)
from sessions_app.models import PlaceInLine


@admin.register(PlaceInLine)
class PlaceInLineAdmin(PartNumberSearch, ObjectColumn, ConnectedColumn, ReadOnlyModelAdmin):
    """Who waits for what: looked at only."""

    list_help = (
        "Workstations that wait for another workstation's session, first come, first served. One whose turn comes"
        " while it is not connected is passed over and keeps its place."
    )
    list_display = (
        "item",
        "context_level",
        "object",
        "owner",
        "workstation",
        "connected",
        "note",
        "requested_at",
    )
    list_filter = ("context_level", ConnectedFilter)
    search_fields = ("item__part_number", "workstation__user__username", "workstation__name")
    ordering = ("number",)
    fields = (
        "id",
        "item",
        "context_level",
        "object_id",
        "owner",
        "workstation",
        "connected",
        "number",
        "note",
        "requested_at",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return them with their names and presence."""
        named = PlaceInLine.objects.select_related("item", "workstation__user")
        places: QuerySet[Any] = named.defer("dependency_cone").annotate(
            connected=is_connected("workstation_id")
        )
        return places

    @admin.display(description="user", ordering="workstation__user__username")
    def owner(self, row: Any) -> str:
        """Whose workstation it is."""
        return user_shown(row.workstation.user)
