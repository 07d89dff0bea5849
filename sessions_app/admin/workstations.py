"""The page of workstations."""

import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from events_app.models import Connection
from sessions_app import operations
from sessions_app.admin.base import (
    ConnectedColumn,
    ReadOnlyModelAdmin,
    how_many,
    is_admin,
)
from sessions_app.admin.deleting import DeleteForm, DeletesMany
from sessions_app.admin.filters import ChoiceFilter, ConnectedFilter, UserFilter, before
from sessions_app.admin.related import Related, of_workstation
from sessions_app.admin.sections import Section, section
from sessions_app.admin.shown import TimeColumn, list_of, to_list
from sessions_app.models import EditSession, PlaceInLine, Workstation

# Of what they hold together: releasing them takes some 10 s.
MAX_SESSIONS = 10_000


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


class WorkstationsForm(DeleteForm):
    """The filter by the time not seen counts again when they are deleted."""

    unseen = forms.CharField(required=False, widget=forms.HiddenInput)


@admin.register(Workstation)
class WorkstationAdmin(DeletesMany, ConnectedColumn, ReadOnlyModelAdmin):
    """Workstations: looked at, and removed by the role admin.

    Clients register them. Removing one goes the way of the API: its sessions are released, recorded and told.
    """

    list_help = (
        "Clients register their workstations themselves. Deleting one releases its sessions."
    )
    delete_form = WorkstationsForm
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

    def given(self, request: HttpRequest) -> dict[str, Any]:
        """Return the filter by the time not seen."""
        return {"unseen": request.GET.get(UnseenFilter.parameter_name, "")}

    def question(self, request: HttpRequest, ids: Collection[uuid.UUID]) -> str:
        """Return how many sessions they hold, and whether some may be kept.

        Raises:
            ValueError: these are too many sessions.
        """
        text = f"Sessions that will be released: {_held(ids)}."
        if self.given(request)["unseen"]:
            text += " Workstations that are seen again before you confirm are kept."
        return text

    def lines(self, request: HttpRequest, rows: QuerySet[Any]) -> list[str]:
        """Name them, with what they hold."""
        return _lines(rows.select_related("user").order_by("name", "pk"))

    def delete(self, request: HttpRequest, given: dict[str, Any]) -> int:
        """Delete them in steps. Those that were seen again since they were selected by the time not seen are kept.

        Raises:
            ValueError: they hold too many sessions.
        """
        _held(given["ids"])
        _, only = UnseenFilter.options.get(given["unseen"], ("", None))
        return operations.workstations.delete(given["ids"], request.user.get_username(), only=only)

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


def _held(ids: Collection[uuid.UUID]) -> int:
    """Return how many sessions workstations hold.

    Raises:
        ValueError: these are too many to be released at once.
    """
    held = EditSession.objects.filter(workstation__any=ids)[: MAX_SESSIONS + 1].count()
    if held > MAX_SESSIONS:
        raise ValueError(f"They hold more than {MAX_SESSIONS} sessions: select fewer at once.")
    return held


def _lines(workstations: Iterable[Workstation]) -> list[str]:
    """Name workstations, each with how much it holds."""
    named = {one.pk: f"{one.name} of {one.user}" for one in workstations}
    theirs = EditSession.objects.filter(workstation__in=named)
    held = Counter(theirs.values_list("workstation_id", flat=True))
    return [f"{name} (sessions: {held[pk]})" for pk, name in named.items()]
