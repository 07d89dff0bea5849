"""The page of the record."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import F, QuerySet
from django.http import HttpRequest

from sessions_app.admin.base import ReadOnlyModelAdmin, duration, object_shown
from sessions_app.models import EndedSession
from sessions_app.text import person

if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
else:
    AnyPaginator = Paginator

# The record grows for ever; nobody turns more pages than these.
MAX_COUNTED = 10_000


class BoundedPaginator(AnyPaginator):
    """Counts and turns through the first rows only; filters and search reach the others."""

    @cached_property
    def count(self) -> int:
        """How many there are, at most `MAX_COUNTED`."""
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[:MAX_COUNTED].count())


@admin.register(EndedSession)
class EndedSessionAdmin(ReadOnlyModelAdmin):
    """The record of ended sessions: looked at by the role admin and staff with the view permission, kept by all."""

    list_help = (
        f"The record: who held what, and how it ended. Newest first, the {MAX_COUNTED:,} newest of what the "
        "filters and the search leave; narrow them to see older ones."
    )
    paginator = BoundedPaginator
    list_display = (
        "part_number",
        "context_level",
        "object",
        "holder",
        "workstation_name",
        "released_at",
        "held_for",
        "reason",
        "ended_by",
    )
    list_filter = ("reason", "released_at")
    search_fields = ("part_number", "username", "workstation_name", "ended_by")
    ordering = ("-id",)
    fields = (
        "session_id",
        "part_number",
        "context_level",
        "object_id",
        "holder",
        "workstation_name",
        "fencing_token",
        "acquired_at",
        "last_heartbeat",
        "released_at",
        "held_for",
        "reason",
        "ended_by",
        "note",
        "session_note",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return them with how long they were held."""
        return EndedSession.objects.annotate(age=F("released_at") - F("acquired_at"))

    @admin.display(description="user", ordering="username")
    def holder(self, record: Any) -> str:
        """Whose it was, by the names of then."""
        return person(record.username, record.user_name or record.username)

    @admin.display(description="object")
    def object(self, record: Any) -> str:
        """The object. Nobody sorts the record by it: there is no index for that."""
        return object_shown(record)

    @admin.display(description="held for")
    def held_for(self, record: Any) -> str:
        """From the acquire to the end."""
        return duration(record.age)
