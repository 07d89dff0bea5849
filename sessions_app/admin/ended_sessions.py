"""The page of the record."""

import uuid
from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import F, Model, QuerySet
from django.http import HttpRequest

from sessions_app.admin.base import MAX_COUNTED, LockColumns, ReadOnlyModelAdmin
from sessions_app.admin.filters import (
    RecordItemFilter,
    RecordUserFilter,
    WorkstationFilter,
)
from sessions_app.admin.related import Related, of_workstation
from sessions_app.admin.shown import TimeColumn, duration_shown, to_list, to_page
from sessions_app.api.history_csv import HISTORY
from sessions_app.models import EditSession, EndedSession, Item, Workstation
from sessions_app.text import person


@admin.register(EndedSession)
class EndedSessionAdmin(LockColumns, ReadOnlyModelAdmin):
    """The record of ended sessions: looked at by the role admin and staff with the view permission, kept by all."""

    list_help = (
        f"The record: who held what, and how it ended. Newest first, the {MAX_COUNTED:,} newest of what the "
        "filters and the search leave; narrow them to see older ones."
    )
    csv = HISTORY
    list_display = (
        "item_link",
        "holder",
        "how",
        "held_for",
        TimeColumn("released_at", "ended"),
        "level",
        "shown_object",
        "workstation_link",
        "ended_by",
        "note_begins",
    )
    list_display_links = ("shown_object",)
    list_filter = ("reason", "released_at", RecordUserFilter, RecordItemFilter, WorkstationFilter)
    search_fields = ("part_number", "username", "workstation_name", "ended_by")
    ordering = ("-id",)
    fields: ClassVar[Any] = (
        "item_link",
        "level",
        "object_id",
        "holder",
        "workstation_link",
        "how",
        "ended_by",
        "note",
        "held_for",
        TimeColumn("acquired_at"),
        TimeColumn("last_heartbeat"),
        TimeColumn("released_at", "ended"),
        "session_note",
        "fencing_token",
        "session_id",
    )
    readonly_fields: ClassVar[Any] = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return them with how long they were held."""
        return EndedSession.objects.annotate(age=F("released_at") - F("acquired_at"))

    def related(self, request: HttpRequest, obj: Any) -> Related:
        """Return where it leads: to all about its workstation."""
        return of_workstation(request, obj.workstation_id, obj.workstation_name)

    @admin.display(description="item", ordering="part_number")
    def item_link(self, record: Any) -> str:
        """The part number of then; it leads to the item while it is there."""
        return self._to(record, Item, record.item_id, record.part_number)

    @admin.display(description="user", ordering="username")
    def holder(self, record: Any) -> str:
        """Whose it was, by the names of then; it leads to what this user has."""
        name = person(record.username, record.user_name or record.username)
        return to_list(record, EditSession, name, user=record.username)

    @admin.display(description="reason", ordering="reason")
    def how(self, record: Any) -> str:
        """How it ended."""
        return str(record.get_reason_display())

    @admin.display(description="level")
    def level(self, row: Any) -> str:
        """The context level, spelled as in the API. Nobody sorts the record by it: there is no index for that."""
        return str(row.context_level)

    @admin.display(description="object")
    def shown_object(self, record: Any) -> str:
        """The object. Nobody sorts the record by it, either."""
        return self.object(record)

    @admin.display(description="workstation")
    def workstation_link(self, record: Any) -> str:
        """The workstation, by its name of then; it leads to it while it is there."""
        return self._to(record, Workstation, record.workstation_id, record.workstation_name)

    @admin.display(description="held for")
    def held_for(self, record: Any) -> str:
        """From the acquire to the end."""
        return duration_shown(record.age)

    def note_all(self, rows: Sequence[Any]) -> None:
        """Find out which of the items and workstations are there yet: the record outlives them."""
        items = Item.objects.filter(pk__in={record.item_id for record in rows})
        workstations = Workstation.objects.filter(pk__in={record.workstation_id for record in rows})
        there = {*items.values_list("pk", flat=True), *workstations.values_list("pk", flat=True)}
        for record in rows:
            record.there = there

    def _to(self, record: Any, table: type[Model], pk: uuid.UUID, text: str) -> str:
        return to_page(record, table, pk, text) if pk in record.there else text
