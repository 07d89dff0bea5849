"""The page of the line."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from events_app.models import is_connected
from sessions_app.admin.base import (
    ConnectedColumn,
    LockColumns,
    PartNumberSearch,
    ReadOnlyModelAdmin,
)
from sessions_app.admin.filters import (
    ConnectedFilter,
    ItemFilter,
    LevelFilter,
    WorkstationFilter,
    WorkstationUserFilter,
)
from sessions_app.admin.related import Related, of_item
from sessions_app.admin.shown import TimeColumn, to_list, to_page
from sessions_app.locks import Lock, by_lock, rows_about
from sessions_app.models import EditSession, Item, PlaceInLine, Workstation
from sessions_app.text import person_of


@admin.register(PlaceInLine)
class PlaceInLineAdmin(PartNumberSearch, LockColumns, ConnectedColumn, ReadOnlyModelAdmin):
    """Who waits for what: looked at only."""

    list_help = (
        "Workstations that wait for another workstation's session, first come, first served. One whose turn comes"
        " while it is not connected is passed over and keeps its place."
    )
    list_display = (
        "item_link",
        "owner",
        "place",
        TimeColumn("requested_at", "waits since"),
        "holder",
        "level",
        "object",
        "workstation_link",
        "connected",
        "note_begins",
    )
    list_display_links = ("object",)
    list_filter = (
        LevelFilter,
        ConnectedFilter,
        WorkstationUserFilter,
        ItemFilter,
        WorkstationFilter,
    )
    search_fields = ("item__part_number", "workstation__user__username", "workstation__name")
    ordering = ("number",)
    fields: ClassVar[Any] = (
        "item_link",
        "level",
        "object_id",
        "owner",
        "place",
        "holder",
        "workstation_link",
        "connected",
        "note",
        TimeColumn("requested_at", "waits since"),
        "number",
        "id",
    )
    readonly_fields: ClassVar[Any] = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return them with their names, presence and position."""
        counted = PlaceInLine.objects.with_names().with_counted_position()
        places: QuerySet[Any] = counted.annotate(connected=is_connected("workstation_id"))
        return places

    def note_all(self, rows: Sequence[Any]) -> None:
        """Find out who holds what they wait for."""
        locks = {Lock.of(place) for place in rows}
        sessions = EditSession.objects.with_names().filter(rows_about(locks))
        held = by_lock(sessions, locks) if locks else {}
        for place in rows:
            place.held = held.get(Lock.of(place))

    def related(self, request: HttpRequest, obj: Any) -> Related:
        """Return where it leads: to all about its item."""
        return of_item(request, obj.item)

    @admin.display(description="item", ordering="item__part_number")
    def item_link(self, place: Any) -> str:
        """The part number; it leads to the item."""
        return to_page(place, Item, place.item_id, place.item.part_number)

    @admin.display(description="user", ordering="workstation__user__username")
    def owner(self, row: Any) -> str:
        """Whose workstation it is; it leads to what this user has."""
        user = row.workstation.user
        return to_list(row, EditSession, person_of(user), user=user.get_username())

    @admin.display(description="workstation", ordering="workstation__name")
    def workstation_link(self, place: Any) -> str:
        """The workstation; it leads to it."""
        return to_page(place, Workstation, place.workstation_id, place.workstation.name)

    @admin.display(description="place")
    def place(self, place: Any) -> int:
        """Its position in its line, from 1."""
        return int(place.position)

    @admin.display(description="held by")
    def holder(self, place: Any) -> str:
        """Who has what it waits for; it leads to that session."""
        held = place.held
        if held is None:
            return "(nobody)"
        text = f"{person_of(held.user)} on {held.workstation.name}"
        return to_page(place, EditSession, held.pk, text)
