"""The page of API tokens."""

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from sessions_app.admin.base import ReadOnlyModelAdmin, is_admin
from sessions_app.admin.filters import ChoiceFilter, UserFilter
from sessions_app.admin.new_token import NewTokenForm, make
from sessions_app.admin.shown import TimeColumn, list_of
from sessions_app.models import ApiToken
from sessions_app.models.api_token import TokenState
from sessions_app.roles import Role


class RoleFilter(ChoiceFilter):
    """By the most that a token allows."""

    title = parameter_name = "role"
    options = {role.group: (role.group, Q(role=role.group)) for role in Role}


class StateFilter(ChoiceFilter):
    """By whether a token is good, and why not."""

    title = parameter_name = "state"
    options = {state.label: (state.label, Q(state=state.value)) for state in TokenState}


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyModelAdmin):
    """API tokens: looked at by staff with the view permission, made, limited and revoked by the role admin.

    A token is shown once, on the page that follows on its form; its hash never. `manage.py createtoken` makes them too.
    """

    list_help = (
        "A new token is shown once; manage.py createtoken prints one, too. Later they are told apart by their prefix."
        " Revoking one ends its streams within a heartbeat."
    )
    actions = ("revoke", "limit_to_viewer", "limit_to_editor", "end_in_30_days")
    list_display = (
        "prefix",
        "name",
        "owner",
        "role",
        "state",
        TimeColumn("created_at"),
        TimeColumn("expires_at"),
        TimeColumn("last_used_at"),
    )
    list_select_related = ("user",)
    list_filter = (StateFilter, RoleFilter, UserFilter)
    search_fields = ("name", "shown", "user__username")
    ordering = ("-pk",)
    fields: ClassVar[Any] = (
        "prefix",
        "name",
        "owner",
        "role",
        "state",
        TimeColumn("created_at"),
        TimeColumn("expires_at"),
        TimeColumn("revoked_at"),
        TimeColumn("last_used_at"),
    )
    readonly_fields: ClassVar[Any] = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return them without their hash, and with whether they are good by the database's clock."""
        return ApiToken.objects.defer("digest").with_state()

    @admin.display(ordering="shown")
    def prefix(self, token: Any) -> str:
        """Its first characters."""
        return f"{token.shown}…"

    @admin.display(ordering="state")
    def state(self, token: Any) -> str:
        """Whether it is good."""
        return str(TokenState(token.state).label)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_admin(request)

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """GET: ask whose and what for. POST: make it, and show it once; no address shows it again."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        given = {"user": request.GET.get("user", "")}
        form = NewTokenForm(request.POST or None, initial=given)
        context = {
            **self.admin_site.each_context(request),
            "title": "New API token",
            "opts": self.opts,
            "form": form,
        }
        if request.method == "POST" and form.is_valid():
            row, token = make(request, form)
            context |= {"row": row, "token": token, "list": list_of(ApiToken)}
        return TemplateResponse(request, "admin/sessions_app/apitoken/new.html", context)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return is_admin(request)

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Revoke the selected ones that are not revoked yet; who did it is in their history."""
        ids = list(queryset.order_by().values_list("pk", flat=True))
        with transaction.atomic():
            who: Any = request.user
            revoked = ApiToken.objects.filter(pk__in=ids).revoke(who.get_username())
            if revoked:
                LogEntry.objects.log_actions(who.pk, revoked, CHANGE, "Revoked.")
        count = len(revoked)
        text = "1 token was revoked." if count == 1 else f"{count} tokens were revoked."
        self.message_user(request, text, messages.SUCCESS if count else messages.WARNING)

    @admin.action(description="Limit to the role viewer", permissions=["revoke"])
    def limit_to_viewer(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Have the selected ones allow to look only."""
        more = Q(role__in=[Role.EDITOR.group, Role.ADMIN.group])
        self._limit(request, queryset, more, "Limited to viewer.", role=Role.VIEWER.group)

    @admin.action(description="Limit to the role editor", permissions=["revoke"])
    def limit_to_editor(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Have the selected ones allow no more than to edit."""
        more = Q(role=Role.ADMIN.group)
        self._limit(request, queryset, more, "Limited to editor.", role=Role.EDITOR.group)

    @admin.action(description="End in 30 days", permissions=["revoke"])
    def end_in_30_days(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Have the selected ones end then, if they would not end before."""
        end = Now() + timedelta(days=30)
        longer = Q(expires_at__isnull=True) | Q(expires_at__gt=end)
        self._limit(request, queryset, longer, "Ends in 30 days.", expires_at=end)

    def _limit(
        self,
        request: HttpRequest,
        queryset: QuerySet[ApiToken],
        allowing_more: Q,
        done: str,
        **limit: Any,
    ) -> None:
        """Limit those of the selected ones that allow more; nothing makes a token allow more again."""
        ids = list(queryset.order_by().values_list("pk", flat=True))
        who: Any = request.user
        with transaction.atomic():
            rows = ApiToken.objects.filter(allowing_more, pk__in=ids, revoked_at__isnull=True)
            limited = list(rows.order_by("pk").select_for_update(no_key=True))
            ApiToken.objects.filter(pk__in=[token.pk for token in limited]).update(**limit)
            if limited:
                LogEntry.objects.log_actions(who.pk, limited, CHANGE, done)
        count = len(limited)
        self.message_user(
            request,
            f"Tokens that were limited: {count}.",
            messages.SUCCESS if count else messages.WARNING,
        )
