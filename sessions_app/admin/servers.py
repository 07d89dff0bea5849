"""The pages of server processes and open streams. They are here because roles and workstations are the domain's."""

from typing import Any

from django.contrib import admin
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Now
from django.http import HttpRequest

from events_app.models import Connection, ServerProcess
from sessions_app.admin.base import ReadOnlyModelAdmin, duration, how_many
from sessions_app.models import Workstation


@admin.register(ServerProcess)
class ServerProcessAdmin(ReadOnlyModelAdmin):
    """Running servers: looked at by the role admin and staff with the view permission."""

    list_help = "Every running manage.py serve. A killed server is listed until another server finds it dead."
    list_display = ("hostname", "pid", "streams", "started_at", "last_beat", "silent_for")
    search_fields = ("hostname",)
    ordering = ("hostname", "pid", "pk")
    fields = ("id", "hostname", "pid", "streams", "started_at", "last_beat", "silent_for")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return them with their streams and the time since their last beat."""
        return ServerProcess.objects.annotate(
            stream_count=how_many(Connection.objects.all(), "process"),
            silence=Now() - F("last_beat"),
        )

    @admin.display(description="workstations' streams", ordering="stream_count")
    def streams(self, process: Any) -> int:
        """How many streams of workstations it serves."""
        return int(process.stream_count)

    @admin.display(description="silent for", ordering="silence")
    def silent_for(self, process: Any) -> str:
        """Since its last beat."""
        return duration(process.silence)


@admin.register(Connection)
class ConnectionAdmin(ReadOnlyModelAdmin):
    """Open streams of workstations: looked at by the role admin and staff with the view permission."""

    list_help = "Every open event stream of a workstation. Streams that only watch are not listed."
    list_display = ("id", "workstation", "user", "process", "open_for")
    list_select_related = ("process",)
    search_fields = ("workstation_name", "username")
    ordering = ("-opened_at", "pk")
    fields = ("id", "workstation", "user", "process", "opened_at", "open_for")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return them with their workstation's names: a key is no foreign key."""
        workstation = Workstation.objects.filter(pk=OuterRef("key"))
        return Connection.objects.annotate(
            workstation_name=Subquery(workstation.values("name")),
            username=Subquery(workstation.values("user__username")),
            age=Now() - F("opened_at"),
        )

    @admin.display(ordering="workstation_name", empty_value="(deleted)")
    def workstation(self, connection: Any) -> Any:
        """The workstation's name."""
        return connection.workstation_name

    @admin.display(ordering="username")
    def user(self, connection: Any) -> Any:
        """The workstation's user."""
        return connection.username

    @admin.display(description="open for", ordering="age")
    def open_for(self, connection: Any) -> str:
        """Its age."""
        return duration(connection.age)
