"""The page of workstations, and the one that asks before many are deleted."""

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from events_app.models import Connection
from sessions_app import operations
from sessions_app.admin.base import (
    ConnectedColumn,
    ReadOnlyModelAdmin,
    how_many,
    is_admin,
)
from sessions_app.admin.filters import ChoiceFilter, ConnectedFilter, UserFilter, before
from sessions_app.admin.ids import IdsField, too_many
from sessions_app.admin.related import Related, of_workstation
from sessions_app.admin.sections import Section, section
from sessions_app.admin.shown import TimeColumn, list_of, to_list
from sessions_app.models import EditSession, PlaceInLine, Workstation

# Their ids have 370 kB in a form of at most 1 MB. They are deleted in steps, all in one request.
MAX_AT_ONCE = 10_000
# Of what they hold together: releasing them takes some 10 s.
MAX_SESSIONS = 10_000
# Of the selected ones, named on the page that asks.
MAX_LISTED = 100


def _unseen(**time: float) -> Q:
    return Q(connected=False) & before("last_seen", **time)


class UnseenFilter(ChoiceFilter):
    """By the time since it was connected, by the database's clock."""

    title = "not seen for"
    parameter_name = "unseen"
    options = {
        "1d": ("1 day", _unseen(days=1)),
        "7d": ("7 days", _unseen(days=7)),
        "30d": ("30 days", _unseen(days=30)),
        "90d": ("90 days", _unseen(days=90)),
        "365d": ("1 year", _unseen(days=365)),
    }


class DeleteForm(forms.Form):
    """Which workstations; the list's filters come along, to return to it, and that for the time not seen counts."""

    workstations = IdsField("workstations", MAX_AT_ONCE)
    unseen = forms.CharField(required=False, widget=forms.HiddenInput)
    filters = forms.CharField(required=False, widget=forms.HiddenInput)


@admin.register(Workstation)
class WorkstationAdmin(ConnectedColumn, ReadOnlyModelAdmin):
    """Workstations: looked at, and removed by the role admin.

    Clients register them. Removing one goes the way of the API: its sessions are released, recorded and told.
    """

    list_help = (
        "Clients register their workstations themselves. Deleting one releases its sessions."
    )
    actions = ("delete_many",)
    list_display = (
        "name",
        "owner",
        "connected",
        TimeColumn("seen_at", "last seen"),
        TimeColumn("idle_since"),
        "sessions",
        "fingerprint",
    )
    list_display_links = ("name",)
    list_select_related = ("user",)
    list_filter = (ConnectedFilter, UnseenFilter, UserFilter)
    search_fields = ("name", "fingerprint", "user__username")
    ordering = ("name", "pk")
    fields: ClassVar[Any] = (
        "name",
        "owner",
        "connected",
        TimeColumn("seen_at", "last seen"),
        TimeColumn("idle_since"),
        TimeColumn("away_since"),
        TimeColumn("departed_at"),
        "sessions",
        TimeColumn("created_at"),
        "fingerprint",
        "machine",
        "id",
    )
    readonly_fields: ClassVar[Any] = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return them with their presence and how many sessions they hold."""
        workstations: QuerySet[Any] = Workstation.objects.with_presence().annotate(
            sessions_held=how_many(EditSession.objects.all(), "workstation")
        )
        return workstations

    def sections(self, request: HttpRequest, obj: Any) -> Sequence[Section | None]:
        """Return what it has, waits for, and is connected by."""
        own = {"workstation": obj.pk}
        held = ("object", "level", "item_link", "silent_for", "held_for", "waiting", "note_begins")
        places = ("object", "level", "item_link", "place", "holder", "note_begins")
        streams = ("stream", "process_link", "open_for", "asked", "acknowledged", "address")
        return [
            section(
                request,
                EditSession,
                "Sessions",
                list_of(EditSession, **own),
                held,
                lambda rows: rows.filter(**own).order_by("-fencing_token"),
            ),
            section(
                request,
                PlaceInLine,
                "Places in line",
                list_of(PlaceInLine, **own),
                places,
                lambda rows: rows.filter(**own).order_by("number"),
            ),
            section(
                request,
                Connection,
                "Connections",
                list_of(Connection, **own),
                streams,
                lambda rows: rows.filter(key=obj.pk).order_by("opened_at"),
            ),
        ]

    def related(self, request: HttpRequest, obj: Any) -> Related:
        """Return where it leads."""
        return of_workstation(request, obj.pk, obj.name)

    @admin.display(description="sessions", ordering="sessions_held")
    def sessions(self, workstation: Any) -> str:
        """How many sessions it holds; it leads to them."""
        held = workstation.sessions_held
        return to_list(workstation, EditSession, held, workstation=workstation.pk)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_admin(request)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return what can be done, without Django's deletion, whose page lists all that is selected."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.action(description="Delete…", permissions=["delete"])
    def delete_many(
        self, request: HttpRequest, queryset: QuerySet[Workstation]
    ) -> HttpResponse | None:
        """Ask, for the selected workstations."""
        ids = list(queryset.order_by().values_list("pk", flat=True)[: MAX_AT_ONCE + 1])
        if len(ids) > MAX_AT_ONCE:
            self.message_user(request, too_many("workstations", MAX_AT_ONCE), messages.ERROR)
            return None
        held = self._held(request, ids)
        if held is None:
            return None
        given = {
            "workstations": ids,
            "unseen": request.GET.get(UnseenFilter.parameter_name, ""),
            "filters": request.GET.urlencode(),
        }
        few = queryset.model.objects.filter(pk__in=ids[:MAX_LISTED]).select_related("user")
        context = {
            **self.admin_site.each_context(request),
            "title": "Delete workstations",
            "opts": self.opts,
            "form": DeleteForm(initial=given),
            "lines": _lines(few.order_by("name", "pk")),
            "count": len(ids),
            "held": held,
            "more": max(0, len(ids) - MAX_LISTED),
            "media": self.media,
        }
        return TemplateResponse(request, "admin/sessions_app/workstation/delete_many.html", context)

    def get_urls(self) -> list[URLPattern]:
        """Return the addresses, that of the deletion of many among them."""
        view = self.admin_site.admin_view(self.delete_many_view)
        own = path("delete-many/", view, name="sessions_app_workstation_delete_many")
        return [own, *super().get_urls()]

    def delete_many_view(self, request: HttpRequest) -> HttpResponse:
        """POST: delete them. Those that were seen again since they were selected by the time not seen are kept."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        form = DeleteForm(request.POST)
        if request.method != "POST" or not form.is_valid():
            self.message_user(request, "Select the workstations again.", messages.ERROR)
            return HttpResponseRedirect(list_of(Workstation))
        ids, unseen = form.cleaned_data["workstations"], form.cleaned_data["unseen"]
        if self._held(request, ids) is None:
            return HttpResponseRedirect(list_of(Workstation))
        text = f"Workstations that were deleted: {self._delete(request, ids, unseen)} of {len(set(ids))}."
        self.message_user(request, text, messages.SUCCESS)
        filters = form.cleaned_data["filters"]
        return HttpResponseRedirect(
            f"{list_of(Workstation)}?{filters}" if filters else list_of(Workstation)
        )

    def _held(self, request: HttpRequest, ids: Collection[uuid.UUID]) -> int | None:
        """Return how many sessions workstations hold; None where these are too many, which the page says."""
        held = EditSession.objects.filter(workstation__any=ids)[: MAX_SESSIONS + 1].count()
        if held <= MAX_SESSIONS:
            return held
        text = f"They hold more than {MAX_SESSIONS} sessions: select fewer at once."
        self.message_user(request, text, messages.ERROR)
        return None

    def _delete(self, request: HttpRequest, ids: Collection[uuid.UUID], unseen: str) -> int:
        _, only = UnseenFilter.options.get(unseen, ("", None))
        return operations.workstations.delete(ids, request.user.get_username(), only=only)

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Name the workstation and the sessions that its deletion ends; no foreign key protects either."""
        workstations = list(objs)
        lines = _lines(workstations)
        held = EditSession.objects.filter(workstation__in=workstations).count()
        return lines, {"Workstations": len(lines), "Sessions to be released": held}, set(), []

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        operations.workstations.delete([obj.pk], request.user.get_username())


def _lines(workstations: Iterable[Workstation]) -> list[str]:
    """Name workstations, each with how much it holds."""
    named = {one.pk: f"{one.name} of {one.user}" for one in workstations}
    theirs = EditSession.objects.filter(workstation__in=named)
    held = Counter(theirs.values_list("workstation_id", flat=True))
    return [f"{name} (sessions: {held[pk]})" for pk, name in named.items()]
