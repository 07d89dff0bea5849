"""The page of active sessions, and the one that asks why they are force-released."""

import uuid
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from events_app.models import is_connected
from sessions_app import operations
from sessions_app.admin.base import (
    ChoiceFilter,
    ConnectedColumn,
    ConnectedFilter,
    ObjectColumn,
    PartNumberSearch,
    ReadOnlyModelAdmin,
    duration,
    is_admin,
)
from sessions_app.interference import lists
from sessions_app.models import EditSession
from sessions_app.text import text_fault

# One transaction ends them all; an acquire of the same items waits for it.
MAX_AT_ONCE = 1000
# Of the selected sessions, listed on the page that asks.
MAX_LISTED = 100
HEADINGS = (
    "Item",
    "Context level",
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


def _silent_for(**time: float) -> Q:
    return Q(last_heartbeat__lt=Now() - timedelta(**time))


class SilentFilter(ChoiceFilter):
    """By the time since the last heartbeat, by the database's clock."""

    title = parameter_name = "silent"
    options = {
        "1m": ("longer than 1 minute", _silent_for(minutes=1)),
        "5m": ("longer than 5 minutes", _silent_for(minutes=5)),
        "15m": ("longer than 15 minutes", _silent_for(minutes=15)),
        "1h": ("longer than 1 hour", _silent_for(hours=1)),
    }


class SessionIdsField(forms.Field):
    """Ids of sessions, separated by commas: one value, for a form may have only so many."""

    widget = forms.HiddenInput

    def prepare_value(self, value: Any) -> Any:
        """Return the text of ids."""
        return value if isinstance(value, str) else ",".join(map(str, value or ()))

    def to_python(self, value: Any) -> list[uuid.UUID]:
        """Return the ids of a text."""
        try:
            ids = [uuid.UUID(text) for text in (value or "").split(",") if text]
        except ValueError:
            raise ValidationError("These are not sessions; select them again.") from None
        if len(ids) > MAX_AT_ONCE:
            raise ValidationError(f"Select at most {MAX_AT_ONCE} sessions at once.")
        return ids


class ForceReleaseForm(forms.Form):
    """Which sessions, and why; the list's filters come along, to return to it."""

    sessions = SessionIdsField()
    filters = forms.CharField(required=False, widget=forms.HiddenInput)
    reason = forms.CharField(
        max_length=2000,
        widget=forms.TextInput(attrs={"size": 80, "autofocus": True}),
        help_text="The reason, in one line. The record keeps it, and the holders see it.",
    )

    def clean_reason(self) -> str:
        """Refuse what the API refuses."""
        reason: str = self.cleaned_data["reason"]
        if fault := text_fault(reason):
            raise ValidationError(f"{fault}.")
        return reason


class MeetingsChangeList(ChangeList):
    """A page of the list, which knows whom its sessions meet."""

    def get_results(self, request: HttpRequest) -> None:
        """Find the rows, and whom they meet."""
        super().get_results(request)
        self.result_list: Any = list(self.result_list)
        note_meetings(self.result_list)


def note_meetings(sessions: Sequence[Any]) -> None:
    """Have each of these sessions know whom it meets (`met`), in a fixed number of queries."""
    met = lists.met_in_list(EditSession.objects.all(), sessions)
    for session in sessions:
        session.met = met[session.pk]


@admin.register(EditSession)
class EditSessionAdmin(PartNumberSearch, ObjectColumn, ConnectedColumn, ReadOnlyModelAdmin):
    """Active sessions: looked at by staff with the view permission, force-released by the role admin."""

    list_help = (
        "The active sessions. Sessions that have ended are under Ended sessions. "
        "To end one against its holder's wish, select it and choose Force-release."
    )
    actions = ("force_release",)
    list_display = (
        "item",
        "context_level",
        "object",
        "owner",
        "workstation_name",
        "meets",
        "note",
        "connected",
        "away_since",
        "idle_since",
        "silent_for",
        "held_for",
        "fencing_token",
    )
    list_filter = ("context_level", ConnectedFilter, SilentFilter)
    search_fields = ("item__part_number", "user__username", "workstation__name")
    # Newest first, by a unique index.
    ordering = ("-fencing_token",)
    fields = (
        "id",
        "item",
        "context_level",
        "object_id",
        "owner",
        "workstation",
        "meets",
        "note",
        "connected",
        "away_since",
        "idle_since",
        "fencing_token",
        "acquired_at",
        "held_for",
        "last_heartbeat",
        "silent_for",
        "node_keys",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return them with their names, ages and presence; the database's clock counts."""
        sessions: QuerySet[Any] = EditSession.objects.with_names().annotate(
            connected=is_connected("workstation_id"),
            age=Now() - F("acquired_at"),
            silence=Now() - F("last_heartbeat"),
        )
        return sessions

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the class of the list's pages."""
        return MeetingsChangeList

    @admin.display(description="meets")
    def meets(self, session: Any) -> str:
        """Whose sessions interfere softly with it."""
        if not hasattr(session, "met"):
            note_meetings([session])
        if session.met is None:
            return "(not compared)"
        shown = [f"{self.owner(one)} on {one.workstation.name}" for one in session.met]
        names = list(dict.fromkeys(shown))
        more = f" and {len(names) - MAX_MET_SHOWN} more" if len(names) > MAX_MET_SHOWN else ""
        return ", ".join(names[:MAX_MET_SHOWN]) + more

    @admin.display(description="workstation", ordering="workstation__name")
    def workstation_name(self, session: Any) -> str:
        """The workstation."""
        return str(session.workstation.name)

    @admin.display(description="away since", ordering="workstation__away_since")
    def away_since(self, session: Any) -> Any:
        """With a grace: since when its workstation has no stream."""
        return session.workstation.away_since

    @admin.display(description="idle since", ordering="workstation__idle_since")
    def idle_since(self, session: Any) -> Any:
        """Since when nobody touches its workstation, by its client's word."""
        return session.workstation.idle_since

    @admin.display(description="held for", ordering="age")
    def held_for(self, session: Any) -> str:
        """Its age."""
        return duration(session.age)

    @admin.display(description="silent for", ordering="silence")
    def silent_for(self, session: Any) -> str:
        """Since the last heartbeat."""
        return duration(session.silence)

    @admin.display(description="dependency cone")
    def node_keys(self, session: Any) -> str:
        """The first node keys; there may be 10,000."""
        keys = session.dependency_cone
        more = len(keys) - MAX_NODE_KEYS_SHOWN
        shown = ", ".join(keys[:MAX_NODE_KEYS_SHOWN])
        return f"{shown} and {more} more" if more > 0 else shown

    def has_force_release_permission(self, request: HttpRequest) -> bool:
        return is_admin(request)

    @admin.action(description="Force-release…", permissions=["force_release"])
    def force_release(
        self, request: HttpRequest, queryset: QuerySet[EditSession]
    ) -> HttpResponse | None:
        """Ask why, for the selected sessions."""
        ids = list(queryset.order_by().values_list("pk", flat=True)[: MAX_AT_ONCE + 1])
        if len(ids) > MAX_AT_ONCE:
            text = f"Select at most {MAX_AT_ONCE} sessions at once."
            self.message_user(request, text, messages.ERROR)
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
            ids = SessionIdsField().clean(request.GET.get("sessions", ""))
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
                session.get_context_level_display(),
                self.object(session),
                self.owner(session),
                self.workstation_name(session),
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
