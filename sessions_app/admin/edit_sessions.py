"""The page of active sessions, and the one that asks why they are force-released."""

import uuid
from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import display_for_value
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Exists, F, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from sessions_app import operations
from sessions_app.admin.base import (
    LockColumns,
    PartNumberSearch,
    ReadOnlyModelAdmin,
    counted,
    is_admin,
)
from sessions_app.admin.filters import (
    ChoiceFilter,
    ConnectedFilter,
    HeldFilter,
    IdleFilter,
    ItemFilter,
    LevelFilter,
    SilentFilter,
    UserFilter,
    WorkstationFilter,
)
from sessions_app.admin.ids import IdsField, too_many
from sessions_app.admin.related import Related, of_item
from sessions_app.admin.sections import Section, section
from sessions_app.admin.shown import (
    NOTHING,
    TimeColumn,
    duration_shown,
    list_of,
    time_shown,
    to_list,
    to_page,
)
from sessions_app.csv_answer import Table, fields
from sessions_app.form_texts import PlainTextField
from sessions_app.interference import lists
from sessions_app.models import EditSession, Item, PlaceInLine, Workstation
from sessions_app.models.place_in_line import line_of_outer
from sessions_app.text import REASON_MAX, name_of, person_of

# One transaction ends them all; an acquire of the same items waits for it.
MAX_AT_ONCE = 1000
# Of the selected sessions, listed on the page that asks.
MAX_LISTED = 100
HEADINGS = (
    "Item",
    "Level",
    "Object",
    "User",
    "Workstation",
    "Connected",
    "Silent for",
    "Held for",
)
MAX_NODE_KEYS_SHOWN = 100
# Of those whom a session meets.
MAX_MET_SHOWN = 3
ASKED = TimeColumn("requested_at", "since")
CSV = Table(
    {
        "session_id": attrgetter("id"),
        "part_number": attrgetter("item.part_number"),
        "username": attrgetter("user.username"),
        "user_name": lambda session: name_of(session.user),
        **fields("workstation_id"),
        "workstation_name": attrgetter("workstation.name"),
        **fields("context_level", "object_id", "fencing_token", "acquired_at", "last_heartbeat"),
        "silent_seconds": lambda session: int(session.silence.total_seconds()),
        "held_seconds": lambda session: int(session.age.total_seconds()),
        "idle_since": attrgetter("workstation.idle_since"),
        "away_since": attrgetter("workstation.away_since"),
        **fields("connected"),
        "waiting": attrgetter("in_line"),
        **fields("note"),
    },
    "fencing_token",
    "active-edit-sessions.csv",
)


class WaitedForFilter(ChoiceFilter):
    """By whether somebody stands in line for it."""

    title = "waited for"
    parameter_name = "waited_for"
    options = {"yes": ("Yes", Q(Exists(line_of_outer())))}


class ForceReleaseForm(forms.Form):
    """Which sessions, and why; the list's filters come along, to return to it."""

    sessions = IdsField("sessions", MAX_AT_ONCE)
    filters = forms.CharField(required=False, widget=forms.HiddenInput)
    reason = PlainTextField(
        max_length=REASON_MAX,
        widget=forms.TextInput(attrs={"size": 80, "autofocus": True}),
        help_text="The reason, in one line. The record keeps it, and the holders see it.",
    )


def note_meetings(sessions: Sequence[Any]) -> None:
    """Have each of these sessions know whom it meets (`met`), in a fixed number of queries."""
    met = lists.met_in_list(EditSession.objects.all(), sessions)
    for session in sessions:
        session.met = met[session.pk]


@admin.register(EditSession)
class EditSessionAdmin(PartNumberSearch, LockColumns, ReadOnlyModelAdmin):
    """Active sessions: looked at by staff with the view permission, force-released by the role admin."""

    list_help = (
        "The active sessions. Sessions that have ended are under Ended sessions. "
        "To end one against its holder's wish, select it and choose Force-release."
    )
    change_form_template = "admin/sessions_app/editsession/change_form.html"
    actions = ("force_release",)
    csv = CSV
    list_display = (
        "item_link",
        "owner",
        "silent_for",
        "held_for",
        "idle_since",
        "level",
        "object",
        "workstation_link",
        "connected",
        "waiting",
        "meets",
        "note_begins",
        "token",
    )
    list_display_links = ("object",)
    list_filter = (
        LevelFilter,
        ConnectedFilter,
        SilentFilter,
        HeldFilter,
        IdleFilter,
        WaitedForFilter,
        UserFilter,
        ItemFilter,
        WorkstationFilter,
    )
    search_fields = ("item__part_number", "user__username", "workstation__name")
    # Newest first, by a unique index.
    ordering = ("-fencing_token",)
    fields: ClassVar[Any] = (
        "item_link",
        "level",
        "object_id",
        "owner",
        "workstation_link",
        "silent_for",
        "held_for",
        "idle_since",
        "connected",
        "meets",
        "note",
        "fencing_token",
        TimeColumn("acquired_at"),
        TimeColumn("last_heartbeat"),
        "node_keys",
        "id",
    )
    readonly_fields: ClassVar[Any] = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return them with their names, ages, presence and line; the database's clock counts."""
        named = EditSession.objects.with_names().with_connected()
        sessions: QuerySet[Any] = named.annotate(
            age=Now() - F("acquired_at"),
            silence=Now() - F("last_heartbeat"),
            idleness=Now() - F("workstation__idle_since"),
            in_line=counted(line_of_outer()),
        )
        return sessions

    def note_all(self, rows: Sequence[Any]) -> None:
        """Find out whom they meet."""
        note_meetings(rows)

    def sections(self, request: HttpRequest, obj: Any) -> Sequence[Section | None]:
        """Return its line."""
        lock = {name: getattr(obj, name) for name in ("item_id", "context_level", "object_id")}
        address = list_of(PlaceInLine, item=obj.item.part_number)
        columns = ("place", "owner", "workstation_link", "connected", "note_begins", ASKED)
        return [
            section(
                request,
                PlaceInLine,
                "Waiting for it",
                address,
                columns,
                lambda places: places.filter(**lock).order_by("number"),
            )
        ]

    def related(self, request: HttpRequest, obj: Any) -> Related:
        """Return where it leads: to all about its item."""
        return of_item(request, obj.item)

    @admin.display(description="item", ordering="item__part_number")
    def item_link(self, session: Any) -> str:
        """The part number; it leads to the item."""
        return to_page(session, Item, session.item_id, session.item.part_number)

    @admin.display(description="meets")
    def meets(self, session: Any) -> str:
        """Whose sessions interfere softly with it."""
        if session.met is None:
            return "(not compared)"
        shown = [f"{person_of(one.user)} on {one.workstation.name}" for one in session.met]
        names = list(dict.fromkeys(shown))
        more = f" and {len(names) - MAX_MET_SHOWN} more" if len(names) > MAX_MET_SHOWN else ""
        return (", ".join(names[:MAX_MET_SHOWN]) + more) or NOTHING

    @admin.display(description="workstation", ordering="workstation__name")
    def workstation_link(self, session: Any) -> str:
        """The workstation; it leads to it."""
        return to_page(session, Workstation, session.workstation_id, session.workstation.name)

    @admin.display(ordering="connected")
    def connected(self, session: Any) -> str:
        """Whether the workstation has an open event stream; with a grace, since when it has none."""
        icon = display_for_value(session.connected, "", boolean=True)
        away = session.workstation.away_since
        return format_html("{} away since {}", icon, time_shown(away)) if away else icon

    @admin.display(description="idle since", ordering="idleness")
    def idle_since(self, session: Any) -> str:
        """Since when nobody touches its workstation, by its client's word."""
        return time_shown(session.workstation.idle_since)

    @admin.display(description="held for", ordering="-fencing_token")
    def held_for(self, session: Any) -> str:
        """Its age. The tokens are in the order of beginnings, and have an index."""
        return duration_shown(session.age)

    @admin.display(description="silent for", ordering="silence")
    def silent_for(self, session: Any) -> str:
        """Since the last heartbeat."""
        return duration_shown(session.silence)

    @admin.display(description="waiting")
    def waiting(self, session: Any) -> str:
        """How many stand in line for it; it leads to the lines of its item."""
        number = session.item.part_number
        return (
            to_list(session, PlaceInLine, session.in_line, item=number)
            if session.in_line
            else NOTHING
        )

    @admin.display(ordering="fencing_token")
    def token(self, session: Any) -> int:
        """The fencing token."""
        return int(session.fencing_token)

    @admin.display(description="dependency cone")
    def node_keys(self, session: Any) -> str:
        """The first node keys; there may be 10,000."""
        keys = session.dependency_cone
        more = len(keys) - MAX_NODE_KEYS_SHOWN
        shown = ", ".join(keys[:MAX_NODE_KEYS_SHOWN])
        return (f"{shown} and {more} more" if more > 0 else shown) or NOTHING

    def has_force_release_permission(self, request: HttpRequest) -> bool:
        return is_admin(request)

    @admin.action(description="Force-release…", permissions=["force_release"])
    def force_release(
        self, request: HttpRequest, queryset: QuerySet[EditSession]
    ) -> HttpResponse | None:
        """Ask why, for the selected sessions."""
        ids = list(queryset.order_by().values_list("pk", flat=True)[: MAX_AT_ONCE + 1])
        if len(ids) > MAX_AT_ONCE:
            self.message_user(request, too_many("sessions", MAX_AT_ONCE), messages.ERROR)
            return None
        form = ForceReleaseForm(initial={"sessions": ids, "filters": request.GET.urlencode()})
        return self._ask(request, ids, form)

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses, that of the page that asks among them."""
        return [
            path(
                "force-release/",
                self.admin_site.admin_view(self.force_release_view),
                name="sessions_app_editsession_force_release",
            ),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show one, with a button for the role admin."""
        may = self.has_force_release_permission(request)
        extra = {"may_force_release": may, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, extra)

    def force_release_view(self, request: HttpRequest) -> HttpResponse:
        """GET: ask why for `?sessions=`. POST: end them, with the reason."""
        if not self.has_force_release_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            form = ForceReleaseForm(request.POST)
            if form.is_valid():
                self._end(request, form.cleaned_data["sessions"], form.cleaned_data["reason"])
                return self._to_list(form.cleaned_data["filters"])
            return self._ask(request, form.cleaned_data.get("sessions", []), form)
        try:
            ids = IdsField("sessions", MAX_AT_ONCE).clean(request.GET.get("sessions", ""))
        except ValidationError:
            ids = []
        return self._ask(request, ids, ForceReleaseForm(initial={"sessions": ids}))

    def _ask(
        self, request: HttpRequest, ids: Collection[uuid.UUID], form: ForceReleaseForm
    ) -> HttpResponse:
        sessions = list(self.get_queryset(request).filter(pk__in=ids).order_by("fencing_token"))
        if not sessions:
            self.message_user(request, "There is no such session, or it has ended.", messages.ERROR)
            return self._to_list("")
        rows = [
            (
                session.item.part_number,
                self.level(session),
                self.object(session),
                self.owner(session),
                session.workstation.name,
                "yes" if session.connected else "no",
                self.silent_for(session),
                self.held_for(session),
            )
            for session in sessions[:MAX_LISTED]
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": "Force-release",
            "opts": self.opts,
            "form": form,
            "headings": HEADINGS,
            "rows": rows,
            "count": len(sessions),
            "more": len(sessions) - len(rows),
        }
        template = "admin/sessions_app/editsession/force_release.html"
        return TemplateResponse(request, template, context)

    def _end(self, request: HttpRequest, ids: Collection[uuid.UUID], reason: str) -> None:
        by = request.user.get_username()
        ended = operations.release.force_release_all(ids, by, reason)
        gone = len(set(ids)) - len(ended)
        text = _counted(len(ended), "was released", "were released")
        if gone:
            text += " " + _counted(gone, "had already ended", "had already ended")
        self.message_user(request, text, messages.WARNING if gone else messages.SUCCESS)

    def _to_list(self, filters: str) -> HttpResponseRedirect:
        address = reverse("admin:sessions_app_editsession_changelist")
        return HttpResponseRedirect(f"{address}?{filters}" if filters else address)


def _counted(count: int, one: str, many: str) -> str:
    return f"1 session {one}." if count == 1 else f"{count} sessions {many}."
