"""The pages of server processes and open streams. They are here because roles and workstations are the domain's."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Now
from django.http import HttpRequest

from events_app import timings
from events_app.models import Connection, ServerProcess
from sessions_app.admin.base import ReadOnlyModelAdmin, how_many
from sessions_app.admin.filters import ConnectionWorkstationFilter, ServerFilter
from sessions_app.admin.sections import Section, section
from sessions_app.admin.shown import NOTHING, TimeColumn, duration_shown, list_of, to_list, to_page
from sessions_app.models import EditSession, SweeperProcess, Workstation


class ProcessAdmin(ReadOnlyModelAdmin):
    """Processes that prove that they live: looked at by the role admin and staff with the view permission."""

    search_fields = ("hostname",)
    ordering = ("hostname", "pid", "pk")

    @admin.display(description="process", ordering="hostname")
    def process(self, process: Any) -> str:
        """Host and process id."""
        return str(process)

    @admin.display(description="silent for", ordering="silence")
    def silent_for(self, process: Any) -> str:
        """Since its last proof, by the annotation `silence`."""
        return duration_shown(process.silence)


@admin.register(ServerProcess)
class ServerProcessAdmin(ProcessAdmin):
    """Running servers."""

    list_help = "Every running manage.py serve. A killed server is listed until another server finds it dead."
    columns: ClassVar[Any] = (
        "state",
        "silent_for",
        "streams",
        "behind",
        "port",
        "version",
        TimeColumn("started_at", "started"),
        TimeColumn("last_beat"),
    )
    list_display = ("process", *columns)
    fields: ClassVar[Any] = ("hostname", "pid", *columns, "id")
    readonly_fields: ClassVar[Any] = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return them with their streams and the time since their last beat."""
        return ServerProcess.objects.annotate(
            stream_count=how_many(Connection.objects.all(), "process"),
            silence=Now() - F("last_beat"),
        )

    def sections(self, request: HttpRequest, obj: Any) -> Sequence[Section | None]:
        """Return its streams."""
        columns = ("stream", "workstation", "user", "open_for", "asked", "acknowledged", "address")
        return [
            section(
                request,
                Connection,
                "Connections",
                list_of(Connection, server=obj.pk),
                columns,
                lambda rows: rows.filter(process=obj.pk).order_by("-opened_at", "pk"),
            )
        ]

    @admin.display(description="state", ordering="last_beat")
    def state(self, process: Any) -> str:
        """Whether it beats, as the other servers judge it; and whether it was ready when it last did."""
        if process.given_up:
            return "dead, being cleaned up"
        if process.silence > timedelta(seconds=timings.configured().server_dead):
            return "silent"
        return f"not ready: {process.unready}" if process.unready else "ready"

    @admin.display(description="connections", ordering="stream_count")
    def streams(self, process: Any) -> str:
        """How many streams of workstations it serves; it leads to them."""
        return to_list(process, Connection, process.stream_count, server=process.pk)

    @admin.display(description="behind", ordering="behind_seconds")
    def behind(self, process: Any) -> str:
        """For how long an acknowledgement waited to be written at its last beat."""
        return f"{process.behind_seconds:.1f} s"


@admin.register(SweeperProcess)
class SweeperProcessAdmin(ProcessAdmin):
    """Sweepers."""

    list_help = (
        "Every running manage.py runsweeper, and the last one with --once. Without a sweeper no session of a silent"
        " workstation ends. A killed sweeper is listed, as silent, until another one has swept for an hour."
    )
    columns: ClassVar[Any] = (
        "state",
        "silent_for",
        TimeColumn("sweep_ended", "last sweep ended"),
        TimeColumn("sweep_began", "last sweep began"),
        "released",
        "pause",
        "version",
        TimeColumn("started_at", "started"),
    )
    list_display = ("process", *columns)
    fields: ClassVar[Any] = (
        "hostname",
        "pid",
        *columns,
        TimeColumn("last_sign", "last sign"),
        "id",
    )
    readonly_fields: ClassVar[Any] = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return them with the time since their last sign of life."""
        return SweeperProcess.objects.annotate(silence=Now() - F("last_sign"))

    @admin.display(description="state")
    def state(self, sweeper: Any) -> str:
        """Whether it sweeps."""
        if sweeper.every_seconds is None:
            return "swept once"
        silent = sweeper.silence.total_seconds() > sweeper.silent_after
        return "silent: it may be dead" if silent else "sweeping"

    @admin.display(description="pause", ordering="every_seconds")
    def pause(self, sweeper: Any) -> str:
        """Between two sweeps."""
        return NOTHING if sweeper.every_seconds is None else f"{sweeper.every_seconds:g} s"


@admin.register(Connection)
class ConnectionAdmin(ReadOnlyModelAdmin):
    """Open streams of workstations: looked at by the role admin and staff with the view permission."""

    list_help = (
        "Every open event stream of a workstation. Streams that only watch are not listed. A client that acknowledges"
        " owes an answer to the last heartbeat until it has given it."
    )
    list_display = (
        "workstation",
        "user",
        "open_for",
        "asked",
        "acknowledged",
        "address",
        "process_link",
        "stream",
    )
    list_display_links = ("stream",)
    list_select_related = ("process",)
    list_filter = (ConnectionWorkstationFilter, ServerFilter)
    search_fields = ("workstation_name", "username", "address")
    ordering = ("-opened_at", "pk")
    fields: ClassVar[Any] = (
        "workstation",
        "user",
        "address",
        "process_link",
        "open_for",
        TimeColumn("opened_at"),
        "asked",
        "acknowledged",
        "machine",
        "stream",
    )
    readonly_fields: ClassVar[Any] = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return them with their workstation's names: a key is no foreign key."""
        workstation = Workstation.objects.filter(pk=OuterRef("key"))
        return Connection.objects.select_related("process").annotate(
            workstation_name=Subquery(workstation.values("name")),
            username=Subquery(workstation.values("user__username")),
            age=Now() - F("opened_at"),
            asked_ago=Now() - F("heartbeat_at"),
            acked_ago=Now() - F("acked_at"),
        )

    @admin.display(description="stream", ordering="pk")
    def stream(self, connection: Any) -> str:
        """Its id, by which requests name it."""
        return str(connection.pk)

    @admin.display(ordering="workstation_name")
    def workstation(self, connection: Any) -> str:
        """The workstation; it leads to it."""
        name = connection.workstation_name
        if name is None:
            return "(deleted)"
        return to_page(connection, Workstation, connection.key, name)

    @admin.display(ordering="username")
    def user(self, connection: Any) -> Any:
        """The workstation's user; it leads to what this user has."""
        name = connection.username
        return to_list(connection, EditSession, name, user=name) if name else None

    @admin.display(description="server", ordering="process__hostname")
    def process_link(self, connection: Any) -> str:
        """The server process; it leads to it."""
        return to_page(connection, ServerProcess, connection.process_id, connection.process)

    @admin.display(description="open for", ordering="age")
    def open_for(self, connection: Any) -> str:
        """Its age."""
        return duration_shown(connection.age)

    @admin.display(ordering="heartbeat_at")
    def asked(self, connection: Any) -> str:
        """How long ago its client was asked for a sign of life, where it acknowledges heartbeats."""
        return f"{duration_shown(connection.asked_ago)} ago" if connection.ack else "(never)"

    @admin.display(ordering="acked_at")
    def acknowledged(self, connection: Any) -> str:
        """How long ago it acknowledged that heartbeat."""
        if not connection.ack:
            return "(does not)"
        if connection.acked_ago is None:
            return "not yet"
        return f"{duration_shown(connection.acked_ago)} ago"
